package config

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzParseSize(f *testing.F) {
	for _, text := range []string{"64MiB", "1 GB", "9223372036854775807", "8388608TiB", "1.5KiB", "", "B", "0x1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := ParseSize(text)
		if err != nil {
			return
		}
		require.GreaterOrEqual(t, n, int64(0))
		back, err := ParseSize(FormatSize(n))
		require.NoError(t, err)
		require.Equal(t, n, back)
	})
}

// FuzzFile: whatever a file says, it is refused or can be written and read again.
func FuzzFile(f *testing.F) {
	for _, text := range []string{
		"listen: :7070", "kafka:\n  brokers: [a:1, 'b:2']\n  create_topics: true", "consume: {ack_timeout: 5s}",
		"kafka: &x\n  brokers: a:1\nproduce: *x", "? [a]\n: b", "1: 2", "listen: !!binary aGk=", "listen: 2001-01-01",
		"log: {level: debug}\n---\nlisten: :1", "<<: {listen: ':1'}", "consume: {max_unacked_bytes: 0o17}", "kafka:\n  1: {}",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		loaded, err := input{file: "#\n" + text}.load(t, Serve)
		if err != nil {
			return
		}
		requireReadsBack(t, loaded)
	})
}

func FuzzEnvironment(f *testing.F) {
	f.Add("KAFKA_BROKERS", "a:1,b:2")
	f.Add("LISTEN", "[::1]:0")
	f.Add("ACK_TIMEOUT", "1h0.5s")
	f.Add("MAX_UNACKED_BYTES", "7 kb")
	f.Add("A.B", "x")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, name, text string) {
		loaded, err := input{env: []string{EnvPrefix + name + "=" + text}}.load(t, Serve)
		if err != nil || name == "CONFIG" {
			return
		}
		requireReadsBack(t, loaded)
	})
}

func requireReadsBack(t *testing.T, loaded *Loaded) {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, loaded.WriteYAML(&out))
	again, err := input{file: out.String()}.load(t, Serve)
	require.NoError(t, err, out.String())
	require.Equal(t, loaded.Settings, again.Settings, out.String())
}
