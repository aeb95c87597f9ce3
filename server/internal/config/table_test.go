package config

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/server"
)

func TestNamesAreUnique(t *testing.T) {
	seen := map[string]bool{fileFlag: true, FileEnv: true}
	for _, s := range table {
		for _, name := range []string{s.Flag, s.Env(), "key " + s.Key} {
			require.False(t, seen[name], name)
			seen[name] = true
		}
		require.NotEmpty(t, s.Usage)
		require.NotZero(t, s.Commands)
		require.False(t, isForOthers(s.Env(), "tcp://1.2.3.4:5"), s.Env())
	}
}

// The server checks more fields than there are settings, but every setting whose
// field the server checks is known by its right name.
func TestFieldsExistInTheServersConfig(t *testing.T) {
	checked := make(map[string]bool)
	for _, e := range server.FieldErrors((server.Config{}).Validate()) {
		checked[e.Field] = true
	}
	for _, s := range table {
		if s.field != "" {
			require.True(t, checked[s.field], s.field)
		}
	}
}

func TestMarkdown(t *testing.T) {
	requireGolden(t, "settings.md", "## serve\n\n"+Markdown(Serve)+"\n## dev\n\n"+Markdown(DevServe))
}

func TestWriteYAML(t *testing.T) {
	in := input{
		flags: []string{"--ack-timeout=90s", "--listen", "[::1]:0"},
		env:   []string{"MESSAGEPROXY_KAFKA_BROKERS=kafka-1:9092,kafka-2:9092", "MESSAGEPROXY_KAFKA_CREATE_TOPICS=1"},
		file:  "produce: {max_message_bytes: 1000}",
	}
	loaded := in.mustLoad(t, Serve)
	var out bytes.Buffer
	require.NoError(t, loaded.WriteYAML(&out))
	requireGolden(t, "in-force.yaml", out.String())

	again := input{file: out.String()}.mustLoad(t, Serve)
	require.Equal(t, loaded.Settings, again.Settings, "what is printed can be read")
}

func TestWriteYAMLOfDefaultsReadsBack(t *testing.T) {
	for _, c := range []Command{Serve, DevServe} {
		loaded := input{}.mustLoad(t, c)
		var out bytes.Buffer
		require.NoError(t, loaded.WriteYAML(&out))
		require.Equal(t, loaded.Settings, input{file: out.String()}.mustLoad(t, c).Settings, out.String())
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	secret := Setting{
		Flag: "log-secret", Key: "log.secret", Commands: Serve, Secret: true, Usage: "a secret",
		in: func(s *Settings) value { return listenValue{to: &s.Dev.DataDir} },
	}
	before := table
	table = append(table[:len(table):len(table)], secret)
	defer func() { table = before }()

	var out bytes.Buffer
	require.NoError(t, input{}.mustLoad(t, Serve).WriteYAML(&out))
	require.Contains(t, out.String(), "# secret: not set\n")

	out.Reset()
	loaded := input{env: []string{secret.Env() + "=hunter2:77"}}.mustLoad(t, Serve)
	require.Equal(t, "hunter2:77", loaded.Dev.DataDir)
	require.NoError(t, loaded.WriteYAML(&out))
	require.Contains(t, out.String(), "# secret: set, not shown ("+secret.Env()+")\n")
	require.NotContains(t, out.String(), "hunter2")

	_, err := input{env: []string{secret.Env() + "=hunter2"}}.load(t, Serve)
	require.ErrorContains(t, err, secret.Env()+"=(not shown): not an address")
	require.NotContains(t, err.Error(), "hunter2")
}
