package messageproxy_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

func TestTargetsThatCanNeverWorkAreRefused(t *testing.T) {
	for target, says := range map[string]string{
		"":                      "is empty",
		"localhost":             "is not an address",
		"localhost:":            "has no port",
		"localhost:notaport":    "has no port",
		"localhost:70000":       "has no port",
		":7070":                 "has no host",
		"http://localhost:7070": "is a URL",
		"HTTPS://localhost":     "is a URL",
		"dns:///localhost":      "is not an address",
		"dns:///":               "is not an address",
		"DNS:localhost:0":       "has no port",
		"dns://1.2.3.4/:7070":   "has no host",
	} {
		_, err := messageproxy.NewClient(target)
		require.ErrorIs(t, err, messageproxy.CodeInvalidArgument, target)
		require.ErrorContains(t, err, says)
	}
	for _, target := range []string{
		"localhost:7070", "127.0.0.1:7070", "[::1]:7070", "dns:///proxies.example.com:7070", "dns:localhost:7070", "dns://1.2.3.4/[::1]:7070", "passthrough:///x", "unix:/run/proxy.sock",
	} {
		client, err := messageproxy.NewClient(target)
		require.NoError(t, err, target)
		require.NoError(t, client.Close())
	}
}
