package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
	"github.com/messageproxy/messageproxy/sdk/go/messageproxytest"
)

func TestEachLineIsStored(t *testing.T) {
	server := messageproxytest.NewServer()
	defer server.Close()
	addr, err := server.ListenLoopback()
	require.NoError(t, err)

	stored, err := run(t.Context(), addr, "orders", strings.NewReader("one\ntwo\nthree\n"))
	require.NoError(t, err)
	assert.EqualValues(t, 3, stored)
	messages := server.Messages("orders")
	require.Len(t, messages, 3)
	assert.Equal(t, "two", string(messages[1].Value))
}

func TestAFailureIsReported(t *testing.T) {
	server := messageproxytest.NewServer()
	defer server.Close()
	addr, err := server.ListenLoopback()
	require.NoError(t, err)
	server.OnProduce(func(m *messageproxy.Message) error {
		if string(m.Value) == "two" {
			return messageproxy.CodeTopicNotFound
		}
		return nil
	})

	stored, err := run(t.Context(), addr, "orders", strings.NewReader("one\ntwo\n"))
	require.ErrorIs(t, err, messageproxy.CodeTopicNotFound)
	assert.EqualValues(t, 1, stored)
}
