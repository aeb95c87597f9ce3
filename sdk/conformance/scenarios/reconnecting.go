package scenarios

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"

	"github.com/messageproxy/messageproxy/sdk/conformance/driver"
	"github.com/messageproxy/messageproxy/sdk/conformance/protocol"
	"github.com/messageproxy/messageproxy/sdk/conformance/script"
	"github.com/messageproxy/messageproxy/sdk/conformance/suite"
)

func reconnecting() []suite.Scenario {
	return []suite.Scenario{
		{Name: "back-off of consume streams", Shows: []string{"R1"}, Run: consumeBackoff, Alone: true},
		{Name: "back-off of produce streams", Shows: []string{"R1"}, Run: produceBackoff, Alone: true},
		{Name: "back-off of connections", Shows: []string{"R1", "R3"}, Run: connectionBackoff, Alone: true},
		{Name: "a result is progress", Shows: []string{"R2"}, Run: resultIsProgress, Alone: true},
		{Name: "a message is progress", Shows: []string{"R2"}, Run: messageIsProgress, Alone: true},
		{Name: "a consume stream that lasted is progress", Shows: []string{"R2"}, Run: lastingIsProgress, Alone: true},
		{Name: "no number of attempts makes a client give up", Shows: []string{"R3", "P17"}, Run: neverGivesUp},
		{Name: "codes that end consume for good", Shows: []string{"R4", "S1", "E1", "E2"}, Run: consumeEndsForGood},
		{Name: "codes after which consume connects again", Shows: []string{"R5", "S13"}, Run: consumeTriesAgain},
		{Name: "codes that count by their retryable", Shows: []string{"R6"}, Run: consumeByRetryable},
		{Name: "codes that end a produce stream for good", Shows: []string{"R4", "P11", "P13"}, Run: produceEndsForGood},
		{Name: "calls that wait for room when a stream ends for good", Shows: []string{"P10", "P13"}, Run: waitingEndsForGood},
		{Name: "codes after which produce goes on with another stream", Shows: []string{"R5", "P11"}, Run: produceTriesAgain},
		{Name: "codes of produce streams that count by their retryable", Shows: []string{"R6", "P13"}, Run: produceByRetryable},
		{Name: "why a stream ended", Shows: []string{"R7"}, Run: whyAStreamEnded},
		{Name: "responses that can't be decoded", Shows: []string{"R8"}, Run: undecodableResponses},
	}
}

// slack is how much later than it should something may come on a slow machine.
const slack = 1500 * time.Millisecond

// jitter is waits whose limits doubled from a first to a last one.
type jitter struct {
	limits []time.Duration
	waits  [][]time.Duration // by limit
}

func newJitter(first, last time.Duration, n int) *jitter {
	j := &jitter{waits: make([][]time.Duration, n)}
	for limit := first; len(j.limits) < n; limit = min(2*limit, last) {
		j.limits = append(j.limits, limit)
	}
	return j
}

func (j *jitter) add(i int, wait time.Duration) { j.waits[i] = append(j.waits[i], wait) }

// check checks that the waits are uniform between zero and their limits, as far as their
// number tells: a false alarm is as likely as 24 heads in a row.
func (j *jitter) check(h *suite.Harness) {
	last := j.limits[len(j.limits)-1]
	var long, short, all int
	for i, limit := range j.limits {
		for _, wait := range j.waits[i] {
			assert.LessOrEqual(h, wait, limit+slack, "wait %d, of at most %v", i+1, limit)
			if limit < last {
				continue
			}
			all++
			if wait > last/2 {
				long++
			} else {
				short++
			}
		}
	}
	require.GreaterOrEqual(h, all, 24)
	assert.Positive(h, long, "of %d waits of at most %v none was above half of that: the limit doesn't grow, or the waits aren't uniform", all, last)
	assert.Positive(h, short, "of %d waits of at most %v none was below half of that: no full jitter", all, last)
}

func consumeBackoff(h *suite.Harness) {
	const calls, attempts = 8, 7 // limits of 100, 200, 400 and then 800 ms
	j := newJitter(100*time.Millisecond, 800*time.Millisecond, attempts)
	type server struct {
		*script.Server
		ended   time.Time
		attempt int
	}
	servers := make([]*server, calls)
	for i := range servers {
		servers[i] = &server{Server: h.Server(script.Options{})}
		c := h.Open(servers[i].Addr(), protocol.ClientOptions{ReconnectBackoff: &[2]int64{100, 800}})
		c.Consume("billing", topics, nil)
	}
	for left := calls; left > 0; {
		for _, s := range servers {
			if s.attempt > attempts || !s.HasConsume() {
				continue
			}
			stream := s.AwaitConsume()
			if s.attempt > 0 {
				j.add(s.attempt-1, stream.Opened.Sub(s.ended))
			}
			if s.attempt++; s.attempt > attempts {
				left--
			}
			s.ended = time.Now()
			stream.EndWithStatus(codes.Unavailable, "not now")
		}
		h.Pause()
	}
	j.check(h)
}

func produceBackoff(h *suite.Harness) {
	const calls, attempts = 8, 7
	j := newJitter(100*time.Millisecond, 800*time.Millisecond, attempts)
	type server struct {
		*script.Server
		ended   time.Time
		attempt int
	}
	servers := make([]*server, calls)
	for i := range servers {
		servers[i] = &server{Server: h.Server(script.Options{})}
		c := h.Open(servers[i].Addr(), protocol.ClientOptions{ReconnectBackoff: &[2]int64{100, 800}})
		c.Produce(msg("goes out again each time"))
	}
	for left := calls; left > 0; {
		for _, s := range servers {
			if s.attempt > attempts || !s.HasProduce() {
				continue
			}
			stream := s.AwaitProduce()
			if s.attempt > 0 {
				j.add(s.attempt-1, stream.Opened.Sub(s.ended))
			}
			if s.attempt++; s.attempt > attempts {
				left--
			}
			s.ended = time.Now()
			stream.Terminate(script.Err(shuttingDown, "not now", true))
		}
		h.Pause()
	}
	j.check(h)
}

func connectionBackoff(h *suite.Harness) {
	const attempts = 12
	s := h.Server(script.Options{})
	s.Slam(true)
	calls := []*driver.Client{}
	for range 2 {
		calls = append(calls, h.Open(s.Addr(), protocol.ClientOptions{ReconnectBackoff: &[2]int64{20, 100}}))
	}
	produced := calls[0].Produce(msg("v"))
	all := s.AwaitConnections(attempts)
	for i := 1; i < len(all); i++ {
		wait := all[i].Accepted.Sub(all[i-1].Accepted)
		assert.LessOrEqual(h, wait, 100*time.Millisecond+slack, "between connections %d and %d", i, i+1)
	}
	took := all[attempts-1].Accepted.Sub(all[0].Accepted)
	assert.Greater(h, took, 60*time.Millisecond, "%d connections without a wait", attempts)
	consuming := calls[1].Consume("billing", topics, nil)
	s.AwaitConnections(len(s.Connections()) + attempts)
	s.Slam(false)
	s.AwaitProduce().AnswerAll()
	produced.Receipt()
	s.AwaitConsume().Subscribed(1000, time.Minute)
	for consuming.Events()[len(consuming.Events())-1].Kind != "connected" {
		h.Pause()
	}
}

func resultIsProgress(h *suite.Harness) {
	s := h.Server(script.Options{})
	c := h.Open(s.Addr(), protocol.ClientOptions{ReconnectBackoff: &[2]int64{20, 10_000}})
	const rounds = 10 // without a new beginning they would take 15 s on average
	began := time.Now()
	call := c.Produce(msg("0"))
	for i := range rounds {
		next := c.Produce(msg(fmt.Sprint(i + 1)))
		stream := s.AwaitProduce()
		stream.AwaitValue(fmt.Sprint(i + 1))
		stream.Answer(1)
		call.Receipt()
		// The next message, which is unanswered, has the client open another stream.
		stream.Terminate(script.Err(shuttingDown, "again", true))
		call = next
	}
	assert.Less(h, time.Since(began), 3*time.Second+slack)
}

func messageIsProgress(h *suite.Harness) {
	s := h.Server(script.Options{})
	c := h.Open(s.Addr(), protocol.ClientOptions{ReconnectBackoff: &[2]int64{20, 10_000}})
	call := c.ConsumeAuto("billing", topics, nil)
	const rounds = 10
	began := time.Now()
	for i := range rounds {
		stream := s.AwaitConsume()
		stream.AwaitSubscribe()
		stream.Subscribed(1000, time.Minute)
		stream.Deliver(topic, 0, script.Message(fmt.Sprint(i)))
		call.HandlingOf(fmt.Sprint(i))
		stream.EndWithStatus(codes.Internal, "again")
	}
	assert.Less(h, time.Since(began), 3*time.Second+slack)
}

func lastingIsProgress(h *suite.Harness) {
	const limit = 600 * time.Millisecond
	s := h.Server(script.Options{})
	c := h.Open(s.Addr(), protocol.ClientOptions{ReconnectBackoff: &[2]int64{1, limit.Milliseconds()}})
	c.Consume("billing", topics, nil)
	end := func() time.Duration { // and how long the client waits
		s.AwaitConsume().EndWithStatus(codes.Unavailable, "again")
		ended := time.Now()
		for !s.HasConsume() {
			h.Pause()
		}
		return time.Since(ended)
	}
	for range 11 {
		end()
	}
	var waits time.Duration
	const rounds = 6
	for range rounds {
		time.Sleep(limit + 50*time.Millisecond) // the stream lasts
		waits += end()
	}
	assert.Less(h, waits, rounds*limit/6, "%d waits, which would be half of %v each if the limit didn't begin anew", rounds, limit)
}

func neverGivesUp(h *suite.Harness) {
	s := h.Server(script.Options{})
	c := h.Open(s.Addr(), protocol.ClientOptions{ReconnectBackoff: &[2]int64{1, 5}})
	produced := c.Produce(msg("v"))
	for range 60 {
		s.AwaitProduce().Terminate(script.Err(shuttingDown, "not now", true))
	}
	require.False(h, produced.Answered())
	s.AwaitProduce().AnswerAll()
	produced.Receipt()

	call := c.Consume("billing", topics, nil)
	for range 60 {
		s.AwaitConsume().EndWithStatus(codes.Unavailable, "not now")
		call.Event("disconnected")
	}
	require.False(h, call.Answered())
	s.AwaitConsume().Subscribed(1000, time.Minute)
	call.Event("connected")
}

// forGood are the codes that end a stream for good, whatever their retryable says, and
// again those after which the client tries again.
var (
	forGood = []messageproxyv1.ErrorCode{
		invalidArgument, topicNotFound, partitionNotFound, subscriptionConflict, unauthenticated, permissionDenied, unsupported,
	}
	again     = []messageproxyv1.ErrorCode{shuttingDown, brokerUnavailable, consumeFailed, ackFailed, ackTimeout, resourceExhausted, internalError}
	retryable = []messageproxyv1.ErrorCode{
		messageproxyv1.ErrorCode_ERROR_CODE_UNSPECIFIED, messageTooLarge, unknownOutcome, notHeld, messagesExpired, newerCode,
	}
)

func consumeEndsForGood(h *suite.Harness) {
	for _, code := range forGood {
		s := h.Server(script.Options{})
		call := h.Open(s.Addr(), fast()).Consume("billing", topics, nil)
		stream := s.AwaitConsume()
		stream.AwaitSubscribe()
		stream.Terminate(script.Err(code, "for good", true, "id-1"))
		e := call.Failed(protocol.KindError, int32(code))
		assert.Contains(h, e.Message, "for good")
		assert.True(h, e.Retryable, "as the server said")
		assert.Equal(h, []string{"id-1"}, e.MessageIDs)
		h.Quiet()
		_, streams := s.Streams()
		assert.Equal(h, 1, streams, "nothing is tried again after %v", code)
	}
}

func consumeTriesAgain(h *suite.Harness) {
	s := h.Server(script.Options{})
	call := h.Open(s.Addr(), fast()).Consume("billing", topics, nil)
	for _, code := range again {
		stream := s.AwaitConsume()
		stream.AwaitSubscribe()
		stream.Subscribed(1000, time.Minute)
		call.Event("connected")
		stream.Terminate(script.Err(code, "again", false))
		e := call.Event("disconnected").Error
		require.NotNil(h, e)
		assert.EqualValues(h, code, e.Code)
		assert.Contains(h, e.Message, "again")
	}
	s.AwaitConsume().AwaitSubscribe()
	require.False(h, call.Answered())
}

func consumeByRetryable(h *suite.Harness) {
	s := h.Server(script.Options{})
	c := h.Open(s.Addr(), fast())
	for _, code := range retryable {
		call := c.Consume("billing", topics, nil)
		s.AwaitConsume().Terminate(script.Err(code, "once more", true))
		assert.EqualValues(h, code, call.Event("disconnected").Error.Code)
		s.AwaitConsume().Terminate(script.Err(code, "no more", false))
		e := call.Failed(protocol.KindError, int32(code))
		assert.Contains(h, e.Message, "no more")
		assert.False(h, e.Retryable)
	}
}

// blocked is a client that has a message on the wire, which isn't read, and others behind
// it that can't be put there.
type blocked struct {
	server *script.Server
	client *driver.Client
	stream *script.ProduceStream
	// first is on the wire, others are not.
	first  *driver.Call
	others []*driver.Call
}

// blockedBytes is more than fits into what is between a client and a stream that isn't
// read.
const blockedBytes = 600 << 10

func block(h *suite.Harness, others ...protocol.Message) *blocked {
	b := &blocked{server: h.Server(script.Options{Paused: true})}
	b.client = h.Open(b.server.Addr(), fast())
	// A gRPC library may take a message over that it can't send. So there are two, of which
	// the first is on the wire, the second in doubt, and the others can't be.
	large := protocol.Message{Topic: topic, Value: make([]byte, blockedBytes)}
	b.first = b.client.Produce(large)
	b.stream = b.server.AwaitProduce()
	b.client.Produce(large)
	h.Ping()
	for _, m := range others {
		b.others = append(b.others, b.client.Produce(m))
	}
	h.Quiet()
	return b
}

// small are the values of messages but for those that block.
func small(messages []*messageproxyv1.OutgoingMessage) []string {
	return slices.DeleteFunc(values(messages), func(value string) bool { return len(value) == blockedBytes })
}

// endProduce ends a stream with e, and checks that this ends it for good, or not.
func endProduce(h *suite.Harness, e *messageproxyv1.Error, forGood bool) {
	b := block(h, msg("2"), msg("3"))
	b.server.Pause(false)
	b.stream.Terminate(e)
	what := fmt.Sprintf("after %v, retryable %t", e.GetCode(), e.GetRetryable())
	if e.GetCode() != shuttingDown {
		assert.EqualValues(h, unknownOutcome, b.first.Error().Code, what)
	}
	if !forGood {
		stream := b.server.AwaitProduce()
		stream.AnswerAll()
		assert.Equal(h, []string{"2", "3"}, small(stream.AwaitValue("3")), what)
		for _, call := range b.others {
			call.Receipt()
		}
		return
	}
	for _, call := range b.others {
		other := call.Error()
		assert.EqualValues(h, e.GetCode(), other.Code, what)
		assert.Contains(h, other.Message, e.GetMessage(), what)
	}
	h.Quiet()
	streams, _ := b.server.Streams()
	assert.Equal(h, 1, streams, "%s nothing is tried", what)
	later := b.client.Produce(msg("later"))
	stream := b.server.AwaitProduce()
	assert.Equal(h, []string{"later"}, values(stream.Await(1)), what)
	stream.Answer(1)
	later.Receipt()
}

func produceEndsForGood(h *suite.Harness) {
	for _, code := range forGood {
		endProduce(h, script.Err(code, "for good", true), true)
	}
}

func waitingEndsForGood(h *suite.Harness) {
	for _, room := range [][2]int64{{2, 1 << 20}, {100, 100}} {
		s := h.Server(script.Options{})
		o := fast()
		o.MaxOutstanding = &room
		c := h.Open(s.Addr(), o)
		large := strings.Repeat("v", 40) // two have room, by number or by bytes
		calls := produceAll(c, "1"+large, "2"+large, "3"+large, "4"+large, "5"+large)
		stream := s.AwaitProduce()
		stream.Await(2)
		h.Quiet()
		require.Len(h, stream.Messages(), 2)
		stream.Terminate(script.Err(topicNotFound, "for good", true))
		for i, call := range calls {
			e := call.Error()
			want := topicNotFound
			if i < 2 {
				want = unknownOutcome
			}
			assert.EqualValues(h, want, e.Code, "message %d: %s", i+1, e.Message)
		}
		h.Quiet()
		streams, _ := s.Streams()
		assert.Equal(h, 1, streams, "nothing is tried")
		later := c.Produce(msg("later"))
		stream = s.AwaitProduce()
		assert.Equal(h, []string{"later"}, values(stream.Await(1)))
		stream.Answer(1)
		later.Receipt()
	}
}

func produceTriesAgain(h *suite.Harness) {
	for _, code := range again {
		endProduce(h, script.Err(code, "again", false), false)
	}
}

func produceByRetryable(h *suite.Harness) {
	for _, code := range retryable {
		endProduce(h, script.Err(code, "once more", true), false)
		endProduce(h, script.Err(code, "no more", false), true)
	}
}

func whyAStreamEnded(h *suite.Harness) {
	s := h.Server(script.Options{})
	c := h.Open(s.Addr(), fast())
	// The terminal error goes before the details of the status, those before the status.
	call := c.Consume("billing", topics, nil)
	stream := s.AwaitConsume()
	stream.SendTerminal(script.Err(ackFailed, "the terminal error", true))
	stream.EndWithDetails(codes.Aborted, script.Err(invalidArgument, "the details", false))
	e := call.Event("disconnected").Error
	assert.EqualValues(h, ackFailed, e.Code)
	assert.Contains(h, e.Message, "the terminal error")

	s.AwaitConsume().EndWithDetails(codes.Unauthenticated, script.Err(ackTimeout, "the details", true))
	e = call.Event("disconnected").Error
	assert.EqualValues(h, ackTimeout, e.Code)
	assert.Contains(h, e.Message, "the details")

	for code, want := range map[codes.Code]messageproxyv1.ErrorCode{
		codes.Canceled: brokerUnavailable, codes.Unknown: brokerUnavailable, codes.DeadlineExceeded: brokerUnavailable,
		codes.NotFound: brokerUnavailable, codes.AlreadyExists: brokerUnavailable, codes.FailedPrecondition: brokerUnavailable,
		codes.Aborted: brokerUnavailable, codes.OutOfRange: brokerUnavailable, codes.Unavailable: brokerUnavailable,
		codes.DataLoss: brokerUnavailable, codes.ResourceExhausted: resourceExhausted, codes.Internal: internalError,
	} {
		s.AwaitConsume().EndWithStatus(code, "the status")
		e := call.Event("disconnected").Error
		assert.EqualValues(h, want, e.Code, "%v", code)
		assert.Contains(h, e.Message, "the status", "%v", code)
		if want != internalError {
			assert.True(h, e.Retryable, "%v", code)
		}
	}
	s.AwaitConsume().End(nil)
	e = call.Event("disconnected").Error
	assert.EqualValues(h, brokerUnavailable, e.Code, "an end without an error")
	assert.True(h, e.Retryable)
	s.AwaitConsume().Cut()
	e = call.Event("disconnected").Error
	assert.EqualValues(h, brokerUnavailable, e.Code, "a cut connection")
	assert.True(h, e.Retryable)

	for code, want := range map[codes.Code]messageproxyv1.ErrorCode{
		codes.InvalidArgument: invalidArgument, codes.Unauthenticated: unauthenticated,
		codes.PermissionDenied: permissionDenied, codes.Unimplemented: unsupported,
	} {
		s.AwaitConsume().EndWithStatus(code, "the status")
		e := call.Failed(protocol.KindError, int32(want))
		assert.Contains(h, e.Message, "the status", "%v", code)
		assert.False(h, e.Retryable, "%v", code)
		call = c.Consume("billing", topics, nil)
	}

	// The same for produce.
	b := block(h, msg("2"))
	b.stream.EndWithDetails(codes.Aborted, script.Err(permissionDenied, "the details", false))
	b.others[0].Failed(protocol.KindError, int32(permissionDenied))
	b = block(h, msg("2"))
	b.stream.EndWithStatus(codes.Unimplemented, "the status")
	b.others[0].Failed(protocol.KindError, int32(unsupported))
}

func undecodableResponses(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{})
	j.stream.Send(script.Undecodable(&messageproxyv1.ConsumeResponse{}))
	e := j.Event("disconnected").Error
	assert.EqualValues(h, internalError, e.Code)
	assert.True(h, e.Retryable)
	j.stream.AwaitGone()
	j.accept()
	j.stream.Deliver(topic, 0, script.Message("a"))
	j.HandlingOf("a").OK()
	j.stream.AwaitAcks(1)

	lost := j.client.Produce(msg("1"))
	produced := j.server.AwaitProduce()
	produced.Await(1)
	produced.Send(script.Undecodable(&messageproxyv1.ProduceResponse{}))
	lost.Failed(protocol.KindError, int32(unknownOutcome))
	produced.AwaitGone()
	again := j.client.Produce(msg("2"))
	produced = j.server.AwaitProduce()
	produced.Await(1)
	produced.AnswerAll()
	again.Receipt()
}
