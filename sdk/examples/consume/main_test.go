package main

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
	"github.com/messageproxy/messageproxy/sdk/go/messageproxytest"
)

func TestMessagesArePrintedAndAcked(t *testing.T) {
	server := messageproxytest.NewServer()
	defer server.Close()
	addr, err := server.ListenLoopback()
	require.NoError(t, err)
	server.CreateTopic("orders", 1)
	server.Add(
		&messageproxy.Message{Topic: "orders", Key: []byte("ada"), Value: []byte("a cup")},
		&messageproxy.Message{Topic: "orders", Key: []byte("bob"), Value: []byte("a pot")},
	)

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	var out strings.Builder
	go func() { done <- run(ctx, addr, "orders", "billing", &out) }()
	_, err = server.WaitAcked(t.Context(), "billing", 2)
	require.NoError(t, err)
	cancel()
	require.NoError(t, <-done)
	assert.Equal(t, "orders/0 ada: a cup\norders/0 bob: a pot\n", out.String())
}
