package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
	"github.com/messageproxy/messageproxy/sdk/go/messageproxytest"
)

func TestTheStoryAddsUp(t *testing.T) {
	server := messageproxytest.NewServer()
	defer server.Close()
	server.CreateTopic(topic, partitions)
	addr, err := server.ListenLoopback()
	require.NoError(t, err)

	var out strings.Builder
	require.NoError(t, story(t.Context(), addr, &out))
	assert.Contains(t, out.String(), "bob leaves, while 300 more orders come")
	assert.Contains(t, out.String(), "600 produced, 600 handled")
	assert.Len(t, server.Acked(subscription), firstOrders+moreOrders)
}

func TestAFailureToProduceFailsTheStory(t *testing.T) {
	server := messageproxytest.NewServer()
	defer server.Close()
	server.OnProduce(func(*messageproxy.Message) error { return messageproxy.CodePermissionDenied })
	addr, err := server.ListenLoopback()
	require.NoError(t, err)
	require.ErrorIs(t, story(t.Context(), addr, &strings.Builder{}), messageproxy.CodePermissionDenied)
}

func TestWhatDoesNotAddUpIsSaid(t *testing.T) {
	b := newBoard(names)
	for _, order := range []int{0, 2, 1, 2, 7} {
		b.handle(0, "customer-1", order)
	}
	err := b.check(4)
	require.ErrorContains(t, err, "1 orders were not handled: [3]")
	require.ErrorContains(t, err, "2 orders were handled several times, or never produced: [2 7]")
	require.ErrorContains(t, err, "1 orders were handled after a later one of their customer: [1]")

	fine := newBoard(names)
	for order := range 4 {
		fine.handle(order%3, "customer-1", order)
	}
	require.NoError(t, fine.check(4))
}

// script makes an executable that stands for the proxy.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "messageproxy")
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755))
	return path
}

func TestTheProxysAddressIsReadFromItsLog(t *testing.T) {
	path := script(t, `trap 'exit 0' INT
echo 'time=now level=INFO msg="embedded Kafka started" addr=1.2.3.4:5' >&2
echo 'time=now level=INFO msg=listening addr=127.0.0.1:7070' >&2
while :; do sleep 0.01; done
`)
	p, err := startProxy(t.Context(), path)
	require.NoError(t, err)
	assert.Equal(t, "127.0.0.1:7070", p.addr)
	require.NoError(t, p.stop())
}

func TestAProxyThatDoesNotStartIsAnError(t *testing.T) {
	_, err := startProxy(t.Context(), filepath.Join(t.TempDir(), "missing"))
	require.ErrorContains(t, err, "make build")
	_, err = startProxy(t.Context(), script(t, "echo 'the port is taken' >&2; exit 3"))
	require.ErrorContains(t, err, "the port is taken")
	require.ErrorContains(t, err, "exit status 3")

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = startProxy(ctx, script(t, "exec sleep 60"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestAProxyThatFailsWhenItStopsIsAnError(t *testing.T) {
	p, err := startProxy(t.Context(), script(t, `trap 'exit 4' INT
echo 'msg=listening addr=127.0.0.1:7070' >&2
while :; do sleep 0.01; done
`))
	require.NoError(t, err)
	require.ErrorContains(t, p.stop(), "exit status 4")
}
