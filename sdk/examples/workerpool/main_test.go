package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
	"github.com/messageproxy/messageproxy/sdk/go/messageproxytest"
)

func TestThePoolSurvivesTheDeathOfAWorker(t *testing.T) {
	const workers, subscription, poison = 3, "workerpool-example", "41"
	server := messageproxytest.NewServer()
	defer server.Close()
	addr, err := server.ListenLoopback()
	require.NoError(t, err)

	var mu sync.Mutex
	dead := map[int]bool{}
	after := map[int]int{} // messages by worker once one is dead
	work := func(_ context.Context, worker int, m *messageproxy.Message) error {
		mu.Lock()
		defer mu.Unlock()
		if dead[worker] || (string(m.Value) == poison && len(dead) == 0) {
			dead[worker] = true
			return errors.New("out of order")
		}
		if len(dead) > 0 {
			after[worker]++
		}
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx, addr, workers, work) }()
	require.NoError(t, server.WaitMembers(t.Context(), subscription, workers))
	for i := range 100 {
		server.Add(&messageproxy.Message{Topic: "orders", Value: fmt.Append(nil, i)})
	}
	require.NoError(t, server.WaitMembers(t.Context(), subscription, workers-1))
	for i := range 100 {
		server.Add(&messageproxy.Message{Topic: "orders", Value: fmt.Append(nil, 100+i)})
	}
	_, err = server.WaitAcked(t.Context(), subscription, 200)
	require.NoError(t, err, "what the dead worker held went to the others")
	cancel()
	require.ErrorContains(t, <-done, "out of order")
	assert.Len(t, dead, 1)
	assert.Len(t, after, workers-1, "both others worked")
}
