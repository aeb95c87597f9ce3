package scenarios

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/sdk/conformance/protocol"
	"github.com/messageproxy/messageproxy/sdk/conformance/script"
	"github.com/messageproxy/messageproxy/sdk/conformance/suite"
)

func stopping() []suite.Scenario {
	return []suite.Scenario{
		{Name: "a caller ends consume", Shows: []string{"T1", "T3", "S1"}, Run: callerEndsConsume},
		{Name: "a caller ends consume with nothing to do", Shows: []string{"T1", "T3"}, Run: callerEndsIdleConsume},
		{Name: "a caller ends consume without a stream", Shows: []string{"T3", "T5"}, Run: callerEndsWithoutStream},
		{Name: "handlers that don't return", Shows: []string{"T2", "E2"}, Run: handlersThatDontReturn, Alone: true},
		{Name: "handlers that return when they are told to end", Shows: []string{"T2", "T3"}, Run: handlersThatReturnWhenTold},
		{Name: "the drain timeout by default", Shows: []string{"T2"}, Run: drainTimeoutByDefault, Slow: true},
		{Name: "a server that doesn't end the stream", Shows: []string{"T4", "T3"}, Run: serverThatDoesntEnd, Slow: true},
		{Name: "a stream is lost while consume leaves", Shows: []string{"T5", "T3"}, Run: lostWhileLeaving},
		{Name: "a failing handler's next attempt, while consume leaves", Shows: []string{"T1"}, Run: noAttemptWhileLeaving},
	}
}

func callerEndsConsume(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{})
	j.stream.Deliver(topic, 0, script.Message("a1"), script.Message("a2"))
	j.stream.Deliver(topic, 1, script.Message("b1"))
	running := j.Handlings(2)
	j.Cancel()
	j.stream.AwaitLeave()
	j.stream.Deliver(topic, 2, script.Message("c1")) // it was on its way
	running["a1"].OK()
	require.Equal(h, []string{"a1"}, j.stream.AwaitAcks(1))
	h.Quiet()
	require.Empty(h, j.Waiting(), "no more handlers begin")
	require.False(h, j.Answered(), "b1 runs")
	require.False(h, running["b1"].Cancelled())
	require.False(h, j.stream.HalfClosed())
	running["b1"].OK()
	require.Equal(h, []string{"a1", "b1"}, j.stream.AwaitAcks(2))
	j.stream.AwaitHalfClose()
	h.Quiet()
	require.False(h, j.Answered(), "the server hasn't ended the stream")
	j.stream.End(nil)
	j.OK()
	requests := j.stream.Requests()
	leaves := 0
	for _, request := range requests {
		if request.GetLeave() != nil {
			leaves++
		}
	}
	require.Equal(h, 1, leaves)
	h.Quiet()
	_, streams := j.server.Streams()
	require.Equal(h, 1, streams)
	require.Empty(h, j.Waiting())
}

func callerEndsIdleConsume(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{})
	j.Cancel()
	j.end()
	j.OK()
	require.Empty(h, j.stream.Acked())
}

func callerEndsWithoutStream(h *suite.Harness) {
	s := h.Server(script.Options{Refusing: true})
	call := h.Open(s.Addr(), fast()).Consume("billing", topics, nil)
	h.Quiet()
	call.Cancel()
	call.OK()

	// Between two streams, with a handler of the first.
	j := join(h, protocol.ConsumeOptions{})
	j.stream.Deliver(topic, 0, script.Message("a"))
	a := j.HandlingOf("a")
	j.server.Refuse()
	j.stream.Cut()
	j.Event("disconnected")
	a.AwaitCancelled()
	j.Cancel()
	h.Quiet()
	require.False(h, j.Answered(), "a runs")
	a.OK()
	j.OK()
}

func handlersThatDontReturn(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{DrainTimeout: ptr[int64](500)})
	j.stream.Deliver(topic, 0, script.Message("a"))
	a := j.HandlingOf("a")
	began := time.Now()
	j.Cancel()
	told := a.AwaitCancelled().Sub(began)
	assert.Greater(h, told, 450*time.Millisecond)
	assert.Less(h, told, 500*time.Millisecond+slack)
	j.end()
	j.Failed(protocol.KindHandlersRunning, 0)
	took := j.AnsweredAt().Sub(began)
	assert.Greater(h, took, 1400*time.Millisecond, "a second more")
	assert.Less(h, took, 1500*time.Millisecond+slack)
	assert.Empty(h, j.stream.Acked())
	a.OK() // it was left behind
	h.Quiet()
	assert.Empty(h, j.stream.Acked())
}

func handlersThatReturnWhenTold(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{DrainTimeout: ptr[int64](0)})
	j.stream.Deliver(topic, 0, script.Message("a"))
	a := j.HandlingOf("a")
	j.Cancel()
	a.AwaitCancelled()
	a.OK()
	j.end()
	j.OK()
	require.Equal(h, []string{"a"}, j.stream.Acked(), "it has succeeded while its stream was open")
}

func drainTimeoutByDefault(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{})
	j.stream.Deliver(topic, 0, script.Message("a"))
	a := j.HandlingOf("a")
	began := time.Now()
	j.Cancel()
	j.stream.AwaitLeave()
	for !a.Cancelled() {
		h.Pause()
	}
	told := time.Since(began)
	assert.Greater(h, told, 19*time.Second)
	assert.Less(h, told, 30*time.Second)
	a.OK()
	j.end()
	j.OK()
}

func serverThatDoesntEnd(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{})
	j.Cancel()
	j.stream.AwaitLeave()
	j.stream.AwaitHalfClose()
	began := time.Now()
	j.OK()
	took := j.AnsweredAt().Sub(began)
	assert.Greater(h, took, 4*time.Second)
	assert.Less(h, took, 12*time.Second)
	j.stream.AwaitGone()
}

func lostWhileLeaving(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{})
	j.stream.Deliver(topic, 0, script.Message("a1"), script.Message("a2"))
	a1 := j.HandlingOf("a1")
	j.Cancel()
	j.stream.AwaitLeave()
	j.stream.Cut()
	a1.AwaitCancelled()
	h.Quiet()
	require.False(h, j.Answered(), "a1 runs")
	a1.OK()
	j.OK()
	_, streams := j.server.Streams()
	require.Equal(h, 1, streams)
	require.Empty(h, j.Waiting())
}

func noAttemptWhileLeaving(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{Attempts: &[3]int64{5, 20_000, 20_000}})
	j.stream.Deliver(topic, 0, script.Message("a"))
	j.HandlingOf("a").Fail("once")
	j.Cancel()
	j.stream.AwaitLeave()
	j.end() // nothing runs, so nothing is waited for
	j.OK()
	require.Empty(h, j.stream.Acked())
}
