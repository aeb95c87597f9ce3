package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/server"
)

// samples has for each kind of setting four texts that differ from each other and
// from every default.
var samples = map[string][3]string{
	"address":               {"a:7001", "b:7002", "[::1]:7003"},
	"addresses":             {"a:1", "b:2,c:3", "[::1]:9092"},
	"duration":              {"31s", "32s", "33s"},
	"size":                  {"17MiB", "18MiB", "19MiB"},
	"int":                   {"21", "22", "23"},
	"bool":                  {"true", "false", "true"},
	"path":                  {"/one", "/two", "/three"},
	"text|json":             {"json", "text", "json"},
	"debug|info|warn|error": {"debug", "warn", "error"},
}

// limits keep the samples of one setting from contradicting others.
var limits = []string{"--max-outstanding-bytes=256MiB", "--max-ack-timeout=10m"}

func TestPrecedenceOfEverySetting(t *testing.T) {
	for _, c := range []Command{Serve, DevServe} {
		for _, s := range Of(c) {
			t.Run(c.String()+" "+s.Flag, func(t *testing.T) { precedence(t, c, s) })
		}
	}
}

func precedence(t *testing.T, c Command, s Setting) {
	texts, ok := samples[s.Kind()]
	require.True(t, ok, "no samples of %q", s.Kind())
	var other []string
	for _, l := range limits {
		if !strings.HasPrefix(l, "--"+s.Flag+"=") {
			other = append(other, l)
		}
	}
	flags := append([]string{"--" + s.Flag + "=" + texts[2]}, other...)
	env := []string{s.Env() + "=" + texts[1]}
	file := yamlOf(s.Key, texts[0])
	if s.Flag == "max-outstanding-bytes" {
		other = append(other, "--max-message-bytes=1MiB")
		flags = append(flags, "--max-message-bytes=1MiB")
	}
	if s.Flag == "max-ack-timeout" {
		other = append(other, "--ack-timeout=1s")
		flags = append(flags, "--ack-timeout=1s")
	}
	check := func(in input, text, from string) {
		t.Helper()
		loaded := in.mustLoad(t, c)
		require.Equal(t, text, s.in(&loaded.Settings).String())
		require.Equal(t, from, loaded.origins[s.Key].String())
	}
	check(input{flags: other}, s.Default(c), "default")
	check(input{flags: other, file: file}, texts[0], "proxy.yaml")
	check(input{flags: other, file: file, env: env}, texts[1], s.Env())
	check(input{flags: flags, file: file, env: env}, texts[2], "--"+s.Flag)
	check(input{flags: flags}, texts[2], "--"+s.Flag)
	check(input{flags: other, env: []string{s.Env() + "="}}, s.Default(c), "default")
}

func yamlOf(key, text string) string {
	var b strings.Builder
	parts := strings.Split(key, ".")
	for i, part := range parts {
		b.WriteString(strings.Repeat("  ", i) + part + ":")
		if i < len(parts)-1 {
			b.WriteString("\n")
		}
	}
	b.WriteString(" '" + text + "'\n")
	return b.String()
}

func TestDefaultsAreTheServersOwn(t *testing.T) {
	for _, c := range []Command{Serve, DevServe} {
		loaded := input{}.mustLoad(t, c)
		require.Equal(t, server.DefaultConfig(), loaded.Server)
		require.Equal(t, Defaults(c), loaded.Settings)
	}
}

func TestTheFileMayBeNamedInTheEnvironment(t *testing.T) {
	in := input{env: []string{"MESSAGEPROXY_CONFIG=missing.yaml"}}
	_, err := in.load(t, Serve)
	require.ErrorContains(t, err, "missing.yaml")

	in = input{env: in.env, file: "listen: :1"} // --config goes before it
	require.Equal(t, ":1", in.mustLoad(t, Serve).Listen)

	in = input{env: in.env, flags: []string{"--config="}}
	require.Equal(t, ":7070", in.mustLoad(t, Serve).Listen)
}

func TestYAMLForms(t *testing.T) {
	loaded := input{file: `
# the kinds of values
listen: :7001
kafka:
  brokers: [a:1, b:2]
  commit_messages: 5
  create_topics: true
consume:
produce:
  max_message_bytes: 1048576
  timeout: 1m30s
`}.mustLoad(t, Serve)
	require.Equal(t, []string{"a:1", "b:2"}, loaded.Kafka.Brokers)
	require.Equal(t, 5, loaded.Kafka.CommitMessages)
	require.True(t, loaded.Kafka.CreateTopics)
	require.Equal(t, 1<<20, loaded.Server.Produce.MaxMessageBytes)
	require.Equal(t, "1m30s", loaded.Server.Produce.Timeout.String())
	require.Equal(t, Defaults(Serve), input{file: "# nothing\n"}.mustLoad(t, Serve).Settings)
}

func TestBrokersAddUpWhenRepeated(t *testing.T) {
	loaded := input{flags: []string{"--kafka-brokers=a:1", "--kafka-brokers", "b:2, c:3"}}.mustLoad(t, Serve)
	require.Equal(t, []string{"a:1", "b:2", "c:3"}, loaded.Kafka.Brokers)
}

func TestVariablesForOthersAreNoSettings(t *testing.T) {
	in := input{env: []string{
		"MESSAGEPROXY_SERVICE_HOST=10.0.0.1", "MESSAGEPROXY_SERVICE_PORT=7070", "MESSAGEPROXY_SERVICE_PORT_GRPC=7070",
		"MESSAGEPROXY_PORT=tcp://10.0.0.1:7070", "MESSAGEPROXY_PORT_7070_TCP=tcp://10.0.0.1:7070",
		"MESSAGEPROXY_PORT_7070_TCP_PROTO=tcp", "MESSAGEPROXY_PORT_7070_TCP_PORT=7070", "MESSAGEPROXY_PORT_7070_TCP_ADDR=10.0.0.1",
		"MESSAGEPROXY_ADDR=localhost:7070", "MESSAGEPROXY_TEST_KAFKA=a:1", "OTHER=thing", "HOME=/",
	}}
	require.Equal(t, Defaults(Serve), in.mustLoad(t, Serve).Settings)
	_, err := input{env: []string{"MESSAGEPROXY_PORT=8080"}}.load(t, Serve)
	require.ErrorContains(t, err, "MESSAGEPROXY_PORT: there is no such setting")
}
