package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMistakesAreExplained(t *testing.T) {
	tests := []struct {
		name string
		in   input
		want string
	}{
		{"unknown variable", input{env: []string{"MESSAGEPROXY_ACK_TIMOUT=5s"}}, "MESSAGEPROXY_ACK_TIMOUT: there is no such setting: is MESSAGEPROXY_ACK_TIMEOUT meant?"},
		{"unknown variable, not similar", input{env: []string{"MESSAGEPROXY_COLOUR=red"}}, `MESSAGEPROXY_COLOUR: there is no such setting: see "messageproxy serve --help"`},
		{"unknown key", input{file: "consume:\n  ack_timout: 5s"}, "proxy.yaml: consume.ack_timout: there is no such setting: is consume.ack_timeout meant?"},
		{"a flag's name as a key", input{file: "ack-timeout: 5s"}, "proxy.yaml: ack-timeout: there is no such setting: is consume.ack_timeout meant?"},
		{"unknown section", input{file: "kafak:\n  brokers: a:1"}, "proxy.yaml: kafak: there is no such setting"},
		{"a section that is a value", input{file: "kafka: a:1"}, "proxy.yaml: kafka: is a section"},
		{"a value that is a section", input{file: "listen:\n  port: 1"}, "proxy.yaml: listen: can't be a section: write one value"},
		{"a dotted key", input{file: "kafka.brokers: a:1"}, "proxy.yaml: kafka.brokers: write sections as headings"},
		{"no value", input{file: "listen:"}, "proxy.yaml: listen: has no value"},
		{"a fraction", input{file: "kafka:\n  commit_messages: 1.5"}, "proxy.yaml: kafka.commit_messages: can't be a number with a fraction"},
		{"a list of lists", input{file: "kafka:\n  brokers: [[a:1]]"}, "proxy.yaml: kafka.brokers: a list may only have texts in it"},
		{"a key twice", input{file: "listen: :1\nlisten: :2"}, "proxy.yaml: not a YAML file with settings"},
		{"not YAML", input{file: "\t:"}, "proxy.yaml: not a YAML file with settings"},
		{"text in several lines", input{file: "#\n0\n\n00000"}, "proxy.yaml: not a YAML file with settings"},
		{"two documents", input{file: "listen: :1\n---\nlisten: :2"}, "proxy.yaml: not a YAML file with settings: it has a second document"},
		{"a list at the top", input{file: "- listen"}, "proxy.yaml: not a YAML file with settings"},
		{"no file", input{flags: []string{"--config=nowhere.yaml"}}, "read the settings in nowhere.yaml"},
		{"another command's key", input{file: "dev:\n  data_dir: x"}, "proxy.yaml: dev.data_dir: is a setting of the command dev, not of serve"},

		{"duration without a unit", input{flags: []string{"--ack-timeout=5"}}, "--ack-timeout=5: not a duration: write a number with its unit"},
		{"duration in YAML without a unit", input{file: "drain_timeout: 5"}, "proxy.yaml: drain_timeout: 5: not a duration"},
		{"size with a doubtful unit", input{env: []string{"MESSAGEPROXY_MAX_UNACKED_BYTES=64M"}}, "MESSAGEPROXY_MAX_UNACKED_BYTES=64M: not a size: write a whole number of bytes"},
		{"size too large", input{flags: []string{"--max-buffered-bytes=9000000TiB"}}, "--max-buffered-bytes=9000000TiB: too large"},
		{"number with a unit", input{flags: []string{"--partition-window=1k"}}, "--partition-window=1k: not a whole number"},
		{"number out of range", input{flags: []string{"--partition-window=99999999999999999999"}}, "--partition-window=99999999999999999999: out of range"},
		{"yes or no", input{flags: []string{"--kafka-create-topics=maybe"}}, "--kafka-create-topics=maybe: not a yes or no"},
		{"unknown word", input{flags: []string{"--log-level=loud"}}, "--log-level=loud: unknown: write one of debug, info, warn, error"},
		{"address without a port", input{flags: []string{"--listen=localhost"}}, "--listen=localhost: not an address to listen on"},
		{"broker without a port", input{flags: []string{"--kafka-brokers=a:1,b"}}, "--kafka-brokers=a:1,b: not a list of addresses"},
		{"broker as a URL", input{flags: []string{"--kafka-brokers=kafka://a:1"}}, "--kafka-brokers=kafka://a:1: not a list of addresses"},
		{"empty flag", input{flags: []string{"--ack-timeout="}}, "--ack-timeout=: not a duration"},

		{"below the range", input{flags: []string{"--max-unacked-messages=0"}}, "--max-unacked-messages=0: must be at least 1"},
		{"below the range of Kafka's", input{env: []string{"MESSAGEPROXY_KAFKA_COMMIT_MESSAGES=0"}}, "MESSAGEPROXY_KAFKA_COMMIT_MESSAGES=0: must be at least 1"},
		{"above the range", input{file: "consume:\n  handover_timeout: 6m"}, "proxy.yaml: consume.handover_timeout: 6m: must be at most 5m"},
		{"negative", input{flags: []string{"--drain-timeout=-1s"}}, "--drain-timeout=-1s: must be more than 0"},
		{
			"contradiction with a default",
			input{flags: []string{"--ack-timeout=20m"}},
			"--ack-timeout=20m: must not be longer than --max-ack-timeout, 10m by default",
		},
		{
			"contradiction of a default",
			input{flags: []string{"--max-ack-timeout=10s"}},
			"--ack-timeout, 60s by default: must not be longer than --max-ack-timeout=10s",
		},
		{
			"contradiction with a default, in the environment",
			input{env: []string{"MESSAGEPROXY_MAX_ACK_TIMEOUT=10s"}},
			"MESSAGEPROXY_ACK_TIMEOUT, 60s by default: must not be longer than MESSAGEPROXY_MAX_ACK_TIMEOUT=10s",
		},
		{
			"contradiction with a default, in a file",
			input{file: "consume: {max_ack_timeout: 10s}"},
			"consume.ack_timeout, 60s by default: must not be longer than proxy.yaml: consume.max_ack_timeout: 10s",
		},
		{
			"contradiction of two places",
			input{env: []string{"MESSAGEPROXY_MAX_MESSAGE_BYTES=512MiB"}, file: "produce:\n  max_outstanding_bytes: 300MiB"},
			"proxy.yaml: produce.max_outstanding_bytes: 300MiB: must not be less than MESSAGEPROXY_MAX_MESSAGE_BYTES=512MiB",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := test.in.load(t, Serve)
			require.ErrorContains(t, err, test.want)
			require.NotContains(t, err.Error(), "\n", "one mistake, one line")
		})
	}
}

func TestAllMistakesAreReportedAtOnce(t *testing.T) {
	_, err := input{
		flags: []string{"--ack-timeout=5"}, env: []string{"MESSAGEPROXY_FOO=1"}, file: "bar: 1\nlisten: x",
	}.load(t, Serve)
	require.Len(t, strings.Split(err.Error(), "\n"), 4, "%v", err)
}

func TestAWrongValueIsAMistakeEvenIfAnotherGoesBeforeIt(t *testing.T) {
	_, err := input{flags: []string{"--ack-timeout=5s"}, env: []string{"MESSAGEPROXY_ACK_TIMEOUT=x"}}.load(t, Serve)
	require.ErrorContains(t, err, "MESSAGEPROXY_ACK_TIMEOUT=x")
}

func TestDevHasNoSettingsOfARealKafka(t *testing.T) {
	_, err := input{env: []string{"MESSAGEPROXY_KAFKA_BROKERS=a:1"}}.load(t, DevServe)
	require.ErrorContains(t, err, "MESSAGEPROXY_KAFKA_BROKERS: is a setting of the command serve, not of dev")
}

func TestLongAndOddTextsStayReadable(t *testing.T) {
	_, err := input{flags: []string{"--ack-timeout=" + strings.Repeat("x", 5000)}}.load(t, Serve)
	require.Less(t, len(err.Error()), 500)
	_, err = input{flags: []string{"--ack-timeout=a\x1b[31m\nb"}}.load(t, Serve)
	require.NotContains(t, err.Error(), "\x1b")
	require.NotContains(t, err.Error(), "\n")
}
