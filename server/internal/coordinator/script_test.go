package coordinator

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
)

var update = flag.Bool("update", false, "write what the scripts in testdata print into them")

// TestScripts runs testdata/*.txt. A line before "----" is one command, or several
// that happen at once, separated by " ; "; behind it stand the effects, up to an
// empty line. After every command the invariants are checked.
//
//	config unacked=1000 bytes=1000 timeout=60s max-timeout=10m
//	join c1 [topics=a,b] [start=latest] [unacked=5] [timeout=30s]
//	opened, closed, open-failed unavailable|topic-not-found
//	assigned t/0 t/1, revoking 10s t/0, lost t/0, expired t/0 5
//	messages t/0 1..10 [size=100]
//	ack c1 t/0 1..3 t/0 5, ack c1 ?nonsense, leave c1, gone c1, reject c1
//	tick 60s (in steps of half a second), leap 1h (at once)
//	poll-failed unavailable|internal, poll-recovered, ack-trouble, ack-recovered
//	memory over 100, memory ok, drain, drain-timeout
//	state (prints it)
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runScriptFile(t, file) })
	}
}

func runScriptFile(t *testing.T, file string) {
	script, err := os.ReadFile(file)
	require.NoError(t, err)
	var out bytes.Buffer
	r := newScriptRunner(t)
	inOutput := false
	for line := range strings.Lines(string(script)) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "----":
			inOutput = true
		case line == "":
			inOutput = false
		case strings.HasPrefix(line, "#"):
			fmt.Fprintln(&out, line)
		case !inOutput:
			fmt.Fprintf(&out, "%s\n----\n%s\n", line, r.run(line))
		}
	}
	if *update {
		require.NoError(t, os.WriteFile(file, out.Bytes(), 0o644))
		return
	}
	require.Equal(t, string(script), out.String(), "run the test with -update, and read the difference with care")
}

// scriptRunner runs the commands of a script against a State.
type scriptRunner struct {
	t     *testing.T
	state *State
	out   strings.Builder
}

func newScriptRunner(t *testing.T) *scriptRunner {
	return &scriptRunner{t: t, state: New(Config{
		Subscription: "s", MaxUnackedMessages: 1000, MaxUnackedBytes: 1 << 20,
		AckTimeout: time.Minute, MaxAckTimeout: 10 * time.Minute,
	})}
}

func (r *scriptRunner) run(line string) string {
	r.out.Reset()
	for command := range strings.SplitSeq(line, " ; ") {
		r.command(strings.Fields(command))
	}
	r.settle()
	return r.out.String()
}

func (r *scriptRunner) settle() {
	for _, e := range r.state.Settle() {
		fmt.Fprintln(&r.out, describe(e))
	}
	checkInvariants(r.t, r.state)
}

func (r *scriptRunner) command(words []string) {
	args := words[1:]
	switch words[0] {
	case "config":
		r.configure(args)
	case "join":
		r.state.Step(parseJoin(r.t, args))
	case "ack":
		r.state.Step(parseAck(r.t, args))
	case "leave":
		r.state.Step(Leave{parseClient(args[0])})
	case "gone":
		r.state.Step(Gone{parseClient(args[0])})
	case "reject":
		r.state.Step(Reject{parseClient(args[0]), &messageproxyv1.Error{
			Code: messageproxyv1.ErrorCode_ERROR_CODE_INVALID_ARGUMENT, Message: "rejected",
		}})
	case "opened":
		r.state.Step(Opened{})
	case "open-failed":
		r.state.Step(OpenFailed{parseError(args[0])})
	case "closed":
		r.state.Step(Closed{})
	case "poll-failed":
		r.state.Step(PollFailed{parseError(args[0])})
	case "poll-recovered":
		r.state.Step(PollRecovered{})
	case "memory":
		r.memory(args)
	case "drain":
		r.state.Step(Drain{})
	case "drain-timeout":
		r.state.Step(DrainTimeout{})
	case "tick":
		r.tick(parseDuration(r.t, args[0]))
	case "leap":
		r.state.Step(Tick{parseDuration(r.t, args[0])})
	case "state":
		r.out.WriteString(describeState(r.state))
	default:
		r.state.Step(Polled{broker.Events{parseBrokerEvent(r.t, words)}})
	}
}

func (r *scriptRunner) configure(args []string) {
	options := parseOptions(args)
	cfg := r.state.cfg
	for name, value := range options {
		switch name {
		case "unacked":
			cfg.MaxUnackedMessages = parseInt(r.t, value)
		case "bytes":
			cfg.MaxUnackedBytes = int64(parseInt(r.t, value))
		case "timeout":
			cfg.AckTimeout = parseDuration(r.t, value)
		case "max-timeout":
			cfg.MaxAckTimeout = parseDuration(r.t, value)
		default:
			r.t.Fatalf("unknown setting %q", name)
		}
	}
	r.state = New(cfg)
}

func (r *scriptRunner) memory(args []string) {
	if args[0] == "ok" {
		r.state.Step(MemoryPressure{})
		return
	}
	r.state.Step(MemoryPressure{Over: true, FairShare: int64(parseInt(r.t, args[1])), Full: args[0] == "full"})
}

// tick passes time as the loop does.
func (r *scriptRunner) tick(d time.Duration) {
	const step = 500 * time.Millisecond
	for d > 0 {
		r.state.Step(Tick{min(step, d)})
		d -= min(step, d)
		if d > 0 {
			r.settle()
		}
	}
}

func parseOptions(args []string) map[string]string {
	options := make(map[string]string)
	for _, arg := range args {
		if name, value, ok := strings.Cut(arg, "="); ok {
			options[name] = value
		}
	}
	return options
}

func parseJoin(t *testing.T, args []string) Join {
	join := Join{Client: parseClient(args[0]), Spec: Spec{Topics: []string{"t"}}}
	for name, value := range parseOptions(args[1:]) {
		switch name {
		case "topics":
			join.Spec.Topics = strings.Split(value, ",")
		case "start":
			join.Spec.Start = broker.StartLatest
		case "unacked":
			join.MaxUnackedMessages = parseInt(t, value)
		case "timeout":
			join.AckTimeout = parseDuration(t, value)
		default:
			t.Fatalf("unknown option %q", name)
		}
	}
	return join
}

func parseAck(t *testing.T, args []string) Ack {
	ack := Ack{Client: parseClient(args[0])}
	var partition broker.TopicPartition
	for _, arg := range args[1:] {
		switch {
		case strings.HasPrefix(arg, "?"):
			ack.IDs = append(ack.IDs, broker.MessageID{})
			ack.Texts = append(ack.Texts, arg[1:])
		case strings.Contains(arg, "/"):
			partition = parsePartition(t, arg)
		default:
			for _, position := range parseRange(t, arg) {
				ack.IDs = append(ack.IDs, broker.MessageID{Partition: partition, Position: position})
				ack.Texts = append(ack.Texts, fmt.Sprintf("%v@%d", partition, position))
			}
		}
	}
	return ack
}

func parseBrokerEvent(t *testing.T, words []string) broker.Event {
	args := words[1:]
	switch words[0] {
	case "assigned":
		return broker.EventAssigned{Partitions: parsePartitions(t, args)}
	case "revoking":
		return broker.EventRevoking{Partitions: parsePartitions(t, args[1:]), TimeLeft: parseDuration(t, args[0])}
	case "lost":
		return broker.EventLost{Partitions: parsePartitions(t, args)}
	case "expired":
		return broker.EventExpired{Partition: parsePartition(t, args[0]), Count: uint64(parseInt(t, args[1]))}
	case "ack-trouble":
		return broker.EventAckTrouble{Err: parseError("unavailable")}
	case "ack-recovered":
		return broker.EventAckRecovered{}
	case "messages":
		size := 1
		if value, ok := parseOptions(args)["size"]; ok {
			size = parseInt(t, value)
		}
		return broker.EventMessages{Partition: parsePartition(t, args[0]), Messages: messagesAt(parseRange(t, args[1]), size)}
	}
	t.Fatalf("unknown command %q", words[0])
	return nil
}

func messagesAt(positions []uint64, size int) []broker.Message {
	messages := make([]broker.Message, len(positions))
	for i, position := range positions {
		messages[i] = broker.Message{Position: position, Value: make([]byte, size)}
	}
	return messages
}

func parseError(kind string) error {
	switch kind {
	case "unavailable":
		return &broker.Error{Code: broker.CodeUnavailable, Retryable: true, Message: "no route"}
	case "topic-not-found":
		return &broker.Error{Code: broker.CodeTopicNotFound, Topic: "t", Partition: broker.AnyPartition, Retryable: true}
	}
	return &broker.Error{Code: broker.CodeInternal, Message: "broken"}
}

func parseClient(word string) ClientID {
	n, err := strconv.ParseUint(strings.TrimPrefix(word, "c"), 10, 64)
	if err != nil {
		panic(err)
	}
	return ClientID(n)
}

func parsePartition(t *testing.T, word string) broker.TopicPartition {
	topic, number, ok := strings.Cut(word, "/")
	require.True(t, ok, word)
	return broker.TopicPartition{Topic: topic, Partition: int32(parseInt(t, number))}
}

func parsePartitions(t *testing.T, words []string) []broker.TopicPartition {
	var partitions []broker.TopicPartition
	for _, word := range words {
		if topic, numbers, ok := strings.Cut(word, "/"); ok && strings.Contains(numbers, "..") {
			for _, n := range parseRange(t, numbers) {
				partitions = append(partitions, broker.TopicPartition{Topic: topic, Partition: int32(n)})
			}
			continue
		}
		partitions = append(partitions, parsePartition(t, word))
	}
	return partitions
}

// parseRange reads "5" or "1..10".
func parseRange(t *testing.T, word string) []uint64 {
	from, to, ok := strings.Cut(word, "..")
	if !ok {
		to = from
	}
	var numbers []uint64
	for n := parseInt(t, from); n <= parseInt(t, to); n++ {
		numbers = append(numbers, uint64(n))
	}
	return numbers
}

func parseInt(t *testing.T, word string) int {
	n, err := strconv.Atoi(word)
	require.NoError(t, err)
	return n
}

func parseDuration(t *testing.T, word string) time.Duration {
	d, err := time.ParseDuration(word)
	require.NoError(t, err)
	return d
}
