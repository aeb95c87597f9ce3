package scenarios

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"

	"github.com/messageproxy/messageproxy/sdk/conformance/driver"
	"github.com/messageproxy/messageproxy/sdk/conformance/protocol"
	"github.com/messageproxy/messageproxy/sdk/conformance/script"
	"github.com/messageproxy/messageproxy/sdk/conformance/suite"
)

func errorsAndLogs() []suite.Scenario {
	return []suite.Scenario{
		{Name: "errors can be told apart", Shows: []string{"E1", "E2"}, Run: errorsToldApart},
		{Name: "the log", Shows: []string{"L1"}, Run: theLog, OwnProcess: true},
		{Name: "nothing of a message is logged", Shows: []string{"L2"}, Run: nothingOfMessages, OwnProcess: true},
		{Name: "memory doesn't grow with what goes through", Run: memory, OwnProcess: true},
		{Name: "nothing is logged by default that everybody would see", Shows: []string{"L1", "L2"}, Run: nothingByDefault, OwnProcess: true},
	}
}

// errorsToldApart has all kinds of errors at once: the driver tells them apart by what the
// language has for that.
func errorsToldApart(h *suite.Harness) {
	s := h.Server(script.Options{})
	c := h.Open(s.Addr(), fast())
	failed, unknown := c.Produce(msg("failed")), c.Produce(msg("unknown"))
	cancelledLate := c.Produce(msg("cancelled late"))
	stream := s.AwaitProduce()
	stream.Await(3)
	stream.Fail(1, script.Err(newerCode, "from the server", true, "id-1"))
	cancelledLate.Cancel()
	e := failed.Failed(protocol.KindError, int32(newerCode))
	assert.Contains(h, e.Message, "from the server")
	assert.True(h, e.Retryable)
	assert.Equal(h, []string{"id-1"}, e.MessageIDs)
	cancelledLate.Failed(protocol.KindError, int32(unknownOutcome))
	stream.Terminate(script.Err(internalError, "the cause", true))
	e = unknown.Failed(protocol.KindError, int32(unknownOutcome))
	assert.Contains(h, e.Message, "the cause", "an error says its cause")

	j := join(h, attempts(1))
	j.stream.Deliver(topic, 0, script.Message("a"))
	j.HandlingOf("a").Panic("the handler")
	j.end()
	e = j.Failed(protocol.KindHandler, 0)
	assert.Contains(h, e.Cause, "the handler")
	c.Close().OK()
	c.Produce(msg("closed")).Failed(protocol.KindClosed, 0)
}

func memory(h *suite.Harness) {
	s := h.Server(script.Options{})
	c := h.Open(s.Addr(), fast())
	consuming := c.ConsumeAuto("billing", topics, nil)
	consumed := s.AwaitConsume()
	consumed.Subscribed(1000, time.Minute)
	var produced *script.ProduceStream
	const warmUp, rounds, n, size = 2, 8, 2000, 1 << 10
	var used []int64
	for round := range rounds {
		var calls []*driver.Call
		var messages []*messageproxyv1.Message
		for i := range n {
			calls = append(calls, c.Produce(protocol.Message{Topic: topic, Value: make([]byte, size)}))
			m := script.Message(fmt.Sprintf("%d/%d", round, i))
			m.Value = make([]byte, size)
			messages = append(messages, m)
		}
		if produced == nil {
			produced = s.AwaitProduce()
			produced.AnswerAll()
		}
		for _, call := range calls {
			call.Receipt()
		}
		for batch := range slices.Chunk(messages, 100) {
			consumed.Deliver(topic, 0, batch...)
		}
		consumed.AwaitAcks((round + 1) * n)
		used = append(used, h.Memory())
	}
	consuming.Handlings(rounds * n)
	// What is there once (code, buffers, pools, connections) isn't all there after one round.
	grown := used[rounds-1] - used[warmUp-1]
	assert.Less(h, grown, int64((rounds-warmUp)*n*size), "bytes after each round of %d messages of %d bytes, both ways: %d", n, size, used)
}

// atLevel is a record of a level that contains all of these texts.
func atLevel(level string, texts ...string) func(protocol.Log) bool {
	return func(l protocol.Log) bool {
		if !strings.HasPrefix(strings.ToLower(l.Level), level) { // "warn" and "warning"
			return false
		}
		for _, text := range texts {
			if !strings.Contains(l.Text, text) {
				return false
			}
		}
		return true
	}
}

func theLog(h *suite.Harness) {
	s := h.Server(script.Options{})
	o := fast()
	o.Log = true
	c := h.Open(s.Addr(), o)
	j := joinAt(h, s, c, attempts(2))
	logged := func(what, level string, texts ...string) {
		h.Process.AwaitLog(h, what+" ("+level+")", atLevel(level, texts...))
	}
	logged("subscribed", "info", "billing")
	j.stream.Assign("a-topic-that-is-assigned", 0)
	logged("assigned", "info", "a-topic-that-is-assigned")
	j.stream.Withdraw(time.Second, "a-topic-that-is-withdrawn", 0)
	logged("withdrawn", "info", "a-topic-that-is-withdrawn")
	j.stream.Trouble(script.Err(consumeFailed, "a trouble to log", true))
	logged("trouble", "warn", "a trouble to log")
	before := countLogs(h, "info")
	j.stream.Recovered(consumeFailed)
	j.Event("assigned")
	j.Event("withdrawn")
	j.Event("trouble")
	j.Event("recovered")
	h.Ping()
	assert.Greater(h, countLogs(h, "info"), before, "recovered")
	j.stream.Notice(script.Err(notHeld, "a notice to log", true))
	logged("notice", "warn", "a notice to log")
	j.stream.Deliver(topic, 0, script.Message("a"))
	j.HandlingOf("a").Fail("a failure to log")
	logged("a failing handler", "warn", "a failure to log")
	j.HandlingOf("a").OK()
	j.stream.Terminate(script.Err(internalError, "the end of a consume stream", true))
	logged("a lost consume stream", "warn", "the end of a consume stream")

	c.Produce(msg("v"))
	produced := s.AwaitProduce()
	produced.Await(1)
	produced.Terminate(script.Err(internalError, "the end of a produce stream", true))
	logged("a lost produce stream", "warn", "the end of a produce stream")
}

func countLogs(h *suite.Harness, level string) int {
	n := 0
	for _, l := range h.Process.Logs() {
		if atLevel(level)(l) {
			n++
		}
	}
	return n
}

// The secrets of a message.
const (
	secretKey    = "s3cret-key"
	secretValue  = "s3cret-value"
	secretHeader = "s3cret-header"
)

// playSecrets has everything happen that is logged, with messages that have secrets.
func playSecrets(h *suite.Harness, o protocol.ClientOptions) {
	s := h.Server(script.Options{})
	o.MaxMessageBytes = ptr[int64](200)
	c := h.Open(s.Addr(), o)
	secret := protocol.Message{
		Topic: topic, Key: []byte(secretKey), Value: []byte(secretValue),
		Headers: []protocol.Header{{Key: secretHeader, Value: []byte(secretHeader + "-value")}},
	}
	failed := c.Produce(secret)
	stream := s.AwaitProduce()
	stream.Await(1)
	stream.Fail(1, script.Err(topicNotFound, "no such topic", false))
	errors := []*protocol.Error{failed.Error()}
	lost := c.Produce(secret)
	stream.Await(2)
	stream.Cut()
	errors = append(errors, lost.Error())
	large := secret
	large.Value = []byte(strings.Repeat(secretValue, 20))
	errors = append(errors, c.Produce(large).Error())
	invalid := secret
	invalid.Topic = ""
	errors = append(errors, c.Produce(invalid).Error())
	for _, e := range errors {
		assert.NotContains(h, e.Message, "s3cret", "an error goes to logs")
	}

	j := joinAt(h, s, c, attempts(2))
	m := script.Message("a")
	m.Key, m.Value = []byte(secretKey), []byte(secretValue)
	m.Headers = []*messageproxyv1.Header{{Key: secretHeader, Value: []byte(secretHeader + "-value")}}
	j.stream.Deliver(topic, 0, m)
	j.HandlingOf("a").Fail("once")
	a := j.HandlingOf("a")
	j.rejoin()
	a.AwaitCancelled()
	a.Fail("lost")
	j.stream.Deliver(topic, 0, m)
	j.HandlingOf("a").Fail("once")
	j.HandlingOf("a").Panic("for good")
	j.end()
	e := j.Failed(protocol.KindHandler, 0)
	assert.NotContains(h, e.Message, "s3cret", "an error goes to logs")
	c.Close().OK()
	h.Ping()
}

func nothingOfMessages(h *suite.Harness) {
	o := fast()
	o.Log = true
	playSecrets(h, o)
	logs := h.Process.Logs()
	require.NotEmpty(h, logs)
	for _, l := range logs {
		assert.NotContains(h, l.Text, "s3cret")
	}
	assert.NotContains(h, h.Process.Stderr(), "s3cret")
}

func nothingByDefault(h *suite.Harness) {
	playSecrets(h, fast())
	assert.Empty(h, h.Process.Logs())
	assert.NotContains(h, h.Process.Stderr(), "s3cret")
}
