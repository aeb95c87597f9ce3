package coordinator

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	r.state.Step(MemoryPressure{Over: true, FairShare: int64(parseInt(r.t, args[1]))})
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

// ---- what scripts print

func describe(effect Effect) string {
	switch e := effect.(type) {
	case Subscribed:
		return fmt.Sprintf("c%d <- subscribed unacked=%d timeout=%v", e.Client, e.MaxUnackedMessages, e.AckTimeout)
	case Deliver:
		return fmt.Sprintf("c%d <- messages %v %s", e.Client, e.Partition, describeDeliveries(e.Deliveries))
	case Assignment:
		return fmt.Sprintf("c%d <- assignment [%s]", e.Client, describePartitions(e.Partitions))
	case Withdrawn:
		return fmt.Sprintf("c%d <- withdrawn [%s] time left %v", e.Client, describePartitions(e.Partitions), e.TimeLeft)
	case Trouble:
		return fmt.Sprintf("c%d <- error %s", e.Client, describeCode(e.Err.GetCode()))
	case Recovered:
		return fmt.Sprintf("c%d <- recovered %s", e.Client, describeCode(e.Code))
	case NotHeld:
		return fmt.Sprintf("c%d <- notice NOT_HELD %d %v", e.Client, e.Count, e.IDs[:min(len(e.IDs), 10)])
	case Notice:
		return fmt.Sprintf("c%d <- notice %s", e.Client, describeCode(e.Err.GetCode()))
	case End:
		if e.Err == nil {
			return fmt.Sprintf("c%d <- end OK", e.Client)
		}
		return fmt.Sprintf("c%d <- end %s", e.Client, describeCode(e.Err.GetCode()))
	case OpenConsumer:
		return fmt.Sprintf("broker <- open %v start=%d", e.Spec.Topics, e.Spec.Start)
	case CloseConsumer:
		return "broker <- close"
	case AckMessages:
		return "broker <- ack " + describeIDs(e.IDs)
	case ReleasePartition:
		return fmt.Sprintf("broker <- release %v", e.Partition)
	case PausePartition:
		return fmt.Sprintf("broker <- pause %v", e.Partition)
	case ResumePartition:
		return fmt.Sprintf("broker <- resume %v", e.Partition)
	}
	return fmt.Sprintf("%T", effect)
}

func describeCode(code messageproxyv1.ErrorCode) string {
	return strings.TrimPrefix(code.String(), "ERROR_CODE_")
}

func describePartitions(partitions []broker.TopicPartition) string {
	words := make([]string, len(partitions))
	for i, p := range partitions {
		words[i] = p.String()
	}
	return strings.Join(words, " ")
}

// describeDeliveries prints runs of positions, and attempts that aren't the first.
func describeDeliveries(deliveries []Delivery) string {
	var words []string
	for i := 0; i < len(deliveries); {
		j := i + 1
		for j < len(deliveries) && deliveries[j].Attempt == deliveries[i].Attempt &&
			deliveries[j].Message.Position == deliveries[j-1].Message.Position+1 {
			j++
		}
		word := describeRun(deliveries[i].Message.Position, deliveries[j-1].Message.Position)
		if deliveries[i].Attempt > 1 {
			word += fmt.Sprintf("(attempt %d)", deliveries[i].Attempt)
		}
		words = append(words, word)
		i = j
	}
	return strings.Join(words, " ")
}

func describeIDs(ids []broker.MessageID) string {
	var words []string
	var partition broker.TopicPartition
	for i := 0; i < len(ids); {
		j := i + 1
		for j < len(ids) && ids[j].Partition == ids[i].Partition && ids[j].Position == ids[j-1].Position+1 {
			j++
		}
		if ids[i].Partition != partition {
			partition = ids[i].Partition
			words = append(words, partition.String())
		}
		words = append(words, describeRun(ids[i].Position, ids[j-1].Position))
		i = j
	}
	return strings.Join(words, " ")
}

func describeRun(from, to uint64) string {
	if from == to {
		return strconv.FormatUint(from, 10)
	}
	return fmt.Sprintf("%d..%d", from, to)
}

func describeState(s *State) string {
	var b strings.Builder
	phases := map[phase]string{idle: "idle", opening: "opening", open: "open", closing: "closing", waiting: "waiting"}
	fmt.Fprintf(&b, "consumer %s, %d bytes\n", phases[s.phase], s.bytes)
	for _, c := range s.order {
		fmt.Fprintf(&b, "c%d: owns %d, unacked %d", c.id, c.owned, c.unacked)
		if c.unacked > 0 {
			fmt.Fprintf(&b, ", oldest for %v", s.now-c.oldestSince)
		}
		if c.left {
			b.WriteString(", left")
		}
		b.WriteString("\n")
	}
	for _, p := range s.sorted {
		fmt.Fprintf(&b, "%v: owner %s, holder %s, in flight %d, waiting %d\n",
			p.TopicPartition, describeClient(p.owner), describeClient(p.holder), p.inFlight, p.waiting())
	}
	return b.String()
}

func describeClient(c *client) string {
	if c == nil {
		return "none"
	}
	return fmt.Sprintf("c%d", c.id)
}

// checkInvariants checks what must hold after every Settle.
func checkInvariants(t require.TestingT, s *State) {
	require.Len(t, s.order, len(s.clients))
	require.Len(t, s.sorted, len(s.partitions))
	var bytes int64
	inFlight := make(map[*client]int)
	inFlightBytes := make(map[*client]int64)
	owned := make(map[*client]int)
	for _, p := range s.sorted {
		bytes += p.bytes
		owned[p.owner]++
		inFlight[p.holder] += p.inFlight
		inFlightBytes[p.holder] += p.inFlightBytes
		checkBacklog(t, s, p)
	}
	require.Equal(t, s.bytes, bytes, "sum of bytes")
	for _, c := range s.order {
		require.Equal(t, owned[c], c.owned, "owned by c%d", c.id)
		require.Equal(t, inFlight[c], c.unacked, "unacked of c%d", c.id)
		require.Equal(t, inFlightBytes[c], c.bytes, "bytes of c%d", c.id)
		require.LessOrEqual(t, c.unacked, c.maxUnacked, "window of c%d (C2)", c.id)
		require.True(t, c.bytes <= s.cfg.MaxUnackedBytes || c.unacked == 1, "byte window of c%d (C2)", c.id)
		require.Equal(t, c.unacked == 0, len(c.spans) == 0, "clock of c%d (C6)", c.id)
	}
	checkFairness(t, s)
}

func checkBacklog(t require.TestingT, s *State, p *partition) {
	require.Equal(t, p.holder != nil, p.inFlight > 0, "%v: a holder means in flight", p.TopicPartition)
	require.LessOrEqual(t, p.first, p.next)
	if p.holder != nil {
		require.Same(t, s.clients[p.holder.id], p.holder, "%v: the holder is connected", p.TopicPartition)
	}
	if p.revoking {
		require.Zero(t, p.waiting(), "%v: nothing waits while it is revoked", p.TopicPartition)
	}
	unacked := 0
	for i, e := range p.entries[p.head:] {
		if i > 0 {
			require.Less(t, p.entries[p.head+i-1].position, e.position, "%v: order", p.TopicPartition)
		}
		if e.message != nil {
			unacked++
		}
	}
	require.Equal(t, p.inFlight+p.waiting(), unacked, "%v: unacked entries", p.TopicPartition)
	checkNotForgotten(t, s, p)
}

// checkNotForgotten: what could be delivered has been delivered (C5), and what can't
// for want of room is in its owner's queue.
func checkNotForgotten(t require.TestingT, s *State, p *partition) {
	if s.draining {
		return
	}
	if !p.deliverable() {
		require.Nil(t, p.queuedFor, "%v: in the queue for nothing", p.TopicPartition)
		return
	}
	require.Same(t, p.owner, p.queuedFor, "%v: in its owner's queue", p.TopicPartition)
	// The message of another partition, first in the queue, may be too large.
	require.False(t, hasRoomFor(s, p.owner, p.owner.queue.first), "%v: a deliverable message waits", p.TopicPartition)
}

func hasRoomFor(s *State, c *client, p *partition) bool {
	size := int64(p.at(p.next).message.Size())
	return c.unacked == 0 ||
		c.unacked < c.maxUnacked && c.bytes < s.cfg.MaxUnackedBytes && c.bytes+size <= s.cfg.MaxUnackedBytes
}

// checkFairness: no two clients differ by more than one partition (C4).
func checkFairness(t require.TestingT, s *State) {
	if s.phase != open || s.draining {
		return
	}
	var counts []int
	for _, c := range s.order {
		if c.left {
			require.Zero(t, c.owned, "c%d has left", c.id)
		} else {
			counts = append(counts, c.owned)
		}
	}
	if len(counts) > 0 {
		require.LessOrEqual(t, slices.Max(counts)-slices.Min(counts), 1, "quotas")
	}
}
