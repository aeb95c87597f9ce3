package config

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	goyaml "go.yaml.in/yaml/v3"
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
			for line := range strings.SplitSeq(err.Error(), "\n") {
				require.Contains(t, line, "proxy.yaml: ")
			}
			return
		}
		requireReadsBack(t, loaded, Serve)
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
		if strings.Contains(name, "=") {
			return // no variable is called so
		}
		loaded, err := input{env: []string{EnvPrefix + name + "=" + text}}.load(t, Serve)
		switch {
		case name == "CONFIG":
		case err != nil:
			require.ErrorContains(t, err, EnvPrefix+name)
		default:
			requireReadsBack(t, loaded, Serve)
		}
	})
}

// FuzzFlags: whatever is on the command line, an argument a line.
func FuzzFlags(f *testing.F) {
	f.Add("--kafka-brokers=a:1\n--kafka-brokers=b:2\n--ack-timeout\n10s")
	f.Add("--kafka-create-topics\n--max-ack-timeout=1s\n--ack-timeout=")
	f.Add("--config=proxy.yaml\n--\n-")
	f.Fuzz(func(t *testing.T, arguments string) {
		in := input{flags: strings.Split(arguments, "\n")}
		flags, err := in.parse(Serve)
		if err != nil {
			return
		}
		loaded, err := in.loadParsed(Serve, flags)
		if err == nil {
			requireReadsBack(t, loaded, Serve)
		}
	})
}

// FuzzSetting gives one setting the same text in each way that there is: all take it
// or none does, what they take is the same, and errors name the setting as it was
// given.
func FuzzSetting(f *testing.F) {
	for i, text := range []string{
		"1s", "10m", "-5ns", "64MiB", "1GB", "0", "007", "2147483648", "true", "No", "info", "JSON", ":7070", "[::]:1",
		"a:1,b:2", "a:1, ", "./data dir", "~", "null", "# no", "1e3", "0x10", "\"'", "é", " ", "a\nb", "{}", "[a]", "*x", "- a",
	} {
		f.Add(uint8(i), text)
	}
	f.Fuzz(func(t *testing.T, which uint8, text string) {
		s := table[int(which)%len(table)]
		command := Serve
		if s.Commands&Serve == 0 {
			command = DevServe
		}
		if text == "" || strings.ContainsRune(text, 0) || isForOthers(s.Env(), text) {
			return // no variable can hold it, or it would be another's
		}
		byFlag, flagErr := input{flags: []string{"--" + s.Flag + "=" + text}}.load(t, command)
		byEnv, envErr := input{env: []string{s.Env() + "=" + text}}.load(t, command)
		requireSame(t, "--"+s.Flag, byFlag, flagErr, s.Env(), byEnv, envErr)
		if file, ok := fileOf(t, s, text); ok {
			byFile, fileErr := input{file: file}.load(t, command)
			requireSame(t, "--"+s.Flag, byFlag, flagErr, s.Key, byFile, fileErr)
		}
		if flagErr == nil {
			requireReadsBack(t, byFlag, command)
		}
	})
}

func requireSame(t *testing.T, name string, a *Loaded, aErr error, otherName string, b *Loaded, bErr error) {
	t.Helper()
	if aErr != nil || bErr != nil {
		require.ErrorContains(t, aErr, name)
		require.ErrorContains(t, bErr, otherName)
		return
	}
	require.Equal(t, a.Settings, b.Settings)
}

// fileOf writes a file that gives the setting a text, unless YAML has no way to.
func fileOf(t *testing.T, s Setting, text string) (string, bool) {
	for _, r := range text {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return "", false
		}
	}
	var entry any = text
	names := strings.Split(s.Key, ".")
	for _, name := range slices.Backward(names) {
		entry = map[string]any{name: entry}
	}
	file, err := goyaml.Marshal(entry)
	require.NoError(t, err)
	return string(file), true
}

func requireReadsBack(t *testing.T, loaded *Loaded, command Command) {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, loaded.WriteYAML(&out))
	again, err := input{file: out.String()}.load(t, command)
	require.NoError(t, err, out.String())
	require.Equal(t, loaded.Settings, again.Settings, out.String())
}
