package main

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
	"github.com/messageproxy/messageproxy/sdk/go/messageproxytest"
)

func TestEachOrderBecomesAnInvoice(t *testing.T) {
	const orders = 500
	server := messageproxytest.NewServer()
	defer server.Close()
	addr, err := server.ListenLoopback()
	require.NoError(t, err)
	failures := 0
	server.OnProduce(func(m *messageproxy.Message) error {
		if failures < 3 { // the handler is called again
			failures++
			return messageproxy.CodeBrokerUnavailable
		}
		return nil
	})

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx, addr) }()
	for i := range orders {
		server.Add(&messageproxy.Message{Topic: "orders", Key: fmt.Append(nil, "customer-", i%20), Value: fmt.Append(nil, "cup ", i)})
	}
	_, err = server.WaitAcked(t.Context(), "pipeline-example", orders)
	require.NoError(t, err)
	cancel()
	require.NoError(t, <-done)

	made := map[string]bool{}
	for _, invoice := range server.Messages("invoices") {
		made[string(invoice.Headers[0].Value)] = true
		assert.Contains(t, string(invoice.Value), "invoice for CUP ")
	}
	assert.Len(t, made, orders, "each order has one")
	assert.Len(t, server.Messages("invoices"), orders, "and one alone")
}
