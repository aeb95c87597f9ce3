package scenarios

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"

	"github.com/messageproxy/messageproxy/sdk/conformance/driver"
	"github.com/messageproxy/messageproxy/sdk/conformance/protocol"
	"github.com/messageproxy/messageproxy/sdk/conformance/script"
	"github.com/messageproxy/messageproxy/sdk/conformance/suite"
)

func handlers() []suite.Scenario {
	return []suite.Scenario{
		{Name: "attempts, by default", Shows: []string{"H1", "H4"}, Run: attemptsByDefault},
		{Name: "a handler that succeeds later", Shows: []string{"H1"}, Run: succeedsLater},
		{Name: "back-off of handlers", Shows: []string{"H1"}, Run: handlerBackoff, Alone: true},
		{Name: "who waits for a handler that fails", Shows: []string{"H2", "S4"}, Run: whoWaits},
		{Name: "with key workers, equal keys wait for a handler that fails", Shows: []string{"H2", "S6"}, Run: whoWaitsByKey},
		{Name: "attempts begin within the ACK timeout", Shows: []string{"H3"}, Run: attemptsWithinAckTimeout, Alone: true},
		{Name: "a handler that failed for good", Shows: []string{"H4", "S1", "T1", "E2"}, Run: failedForGood},
		{Name: "a failure handler that succeeds", Shows: []string{"H5"}, Run: failureHandlerSucceeds},
		{Name: "a failure handler that fails", Shows: []string{"H5", "T1"}, Run: failureHandlerFails},
		{Name: "the failure handler that skips", Shows: []string{"H6"}, Run: skipped},
		{Name: "a handler fails when its stream is lost", Shows: []string{"H7"}, Run: failsWhenLost},
		{Name: "a stream is lost between two attempts", Shows: []string{"H7", "S8"}, Run: lostBetweenAttempts},
		{Name: "a failing handler's partition is withdrawn", Shows: []string{"H7", "S9"}, Run: failsWhenWithdrawn},
		{Name: "a failure handler's stream is lost", Shows: []string{"H7", "H5"}, Run: failureHandlerWhenLost},
	}
}

// attempts are options with n attempts without a wait.
func attempts(n int64) protocol.ConsumeOptions {
	return protocol.ConsumeOptions{Attempts: &[3]int64{n, 0, 0}}
}

func attemptsByDefault(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{})
	j.stream.Deliver(topic, 3, script.Message("a"))
	for i := range 5 {
		handling := j.HandlingOf("a")
		require.EqualValues(h, 1, handling.Message.Attempt, "the server delivered it once")
		if i%2 == 0 {
			handling.Fail(fmt.Sprint("failure ", i+1))
		} else {
			handling.Panic(fmt.Sprint("panic ", i+1))
		}
	}
	j.end()
	e := j.Failed(protocol.KindHandler, 0)
	assert.Equal(h, 5, e.Attempts)
	assert.Equal(h, "a", e.MessageID)
	assert.Contains(h, e.Cause, "failure 5")
	assert.Empty(h, j.stream.Acked())
	assert.Empty(h, j.Waiting())
}

func succeedsLater(h *suite.Harness) {
	j := join(h, attempts(4))
	j.stream.Deliver(topic, 0, script.Message("a"), script.Message("b"))
	first := j.HandlingOf("a")
	first.Fail("once")
	j.HandlingOf("a").Panic("twice")
	third := j.HandlingOf("a")
	require.Equal(h, first.Message, third.Message, "it is the same message each time")
	require.Empty(h, j.stream.Acked())
	third.OK()
	require.Equal(h, []string{"a"}, j.stream.AwaitAcks(1))
	j.HandlingOf("b").Fail("the count is of each message")
	j.HandlingOf("b").Fail("twice")
	j.HandlingOf("b").Fail("three times")
	j.HandlingOf("b").OK()
	require.Equal(h, []string{"a", "b"}, j.stream.AwaitAcks(2))
}

func handlerBackoff(h *suite.Harness) {
	const partitions, waits = 8, 6 // limits of 100, 200, 400, 400, …
	j := join(h, protocol.ConsumeOptions{Attempts: &[3]int64{waits + 1, 100, 400}})
	jitter := newJitter(100*time.Millisecond, 400*time.Millisecond, waits)
	j.deliverPartitions(partitions)
	count, failed := map[string]int{}, map[string]time.Time{}
	for range partitions * (waits + 1) {
		handling := j.Handling()
		id := handling.Message.ID
		if count[id] > 0 {
			jitter.add(count[id]-1, handling.Began.Sub(failed[id]))
		}
		count[id]++
		failed[id] = time.Now()
		if count[id] > waits {
			handling.OK()
		} else {
			handling.Fail("again")
		}
	}
	jitter.check(h)
}

func whoWaits(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{Attempts: &[3]int64{3, 300, 300}})
	j.stream.Deliver(topic, 0, script.Message("a1"), script.Message("a2"))
	j.HandlingOf("a1").Fail("once")
	j.stream.Deliver(topic, 1, script.Message("b1"), script.Message("b2"))
	// Whatever comes first of the second attempt with a1 and of b1: they don't wait for
	// each other.
	running := j.Handlings(2)
	require.Contains(h, running, "a1")
	require.Contains(h, running, "b1")
	running["b1"].OK()
	b2 := j.HandlingOf("b2")
	require.Equal(h, []string{"b1"}, j.stream.AwaitAcks(1))
	running["a1"].Fail("twice")
	b2.OK()
	j.HandlingOf("a1").OK()
	j.HandlingOf("a2").OK()
	require.ElementsMatch(h, []string{"b1", "b2", "a1", "a2"}, j.stream.AwaitAcks(4))
}

func whoWaitsByKey(h *suite.Harness) {
	o := attempts(3)
	o.KeyWorkers = ptr[int64](4)
	j := join(h, o)
	messages := []*messageproxyv1.Message{script.Keyed("a1", "a"), script.Keyed("a2", "a")}
	for i := range 30 { // of which some are in no way behind a
		messages = append(messages, script.Keyed(fmt.Sprint(i), fmt.Sprint("key ", i)))
	}
	j.stream.Deliver(topic, 0, messages...)
	var held *driver.Handling // the second attempt with a1
	failed := false
	for others := 0; held == nil || others < 3; {
		handling := j.Handling()
		switch {
		case handling.Message.ID != "a1":
			require.NotEqual(h, "a2", handling.Message.ID, "a1 hasn't succeeded")
			others++
			handling.OK()
		case failed:
			held = handling
		default:
			failed = true
			handling.Fail("once")
		}
	}
	j.settle(h)
	require.NotContains(h, j.Waiting(), "a2")
	held.OK()
	for {
		handling := j.Handling()
		handling.OK()
		if handling.Message.ID == "a2" {
			return
		}
	}
}

func attemptsWithinAckTimeout(h *suite.Harness) {
	s := h.Server(script.Options{})
	c := h.Open(s.Addr(), fast())
	call := c.Consume("billing", topics, protocol.ConsumeOptions{Attempts: &[3]int64{1000, 60, 60}})
	stream := s.AwaitConsume()
	stream.AwaitSubscribe()
	const timeout = 4 * time.Second
	stream.Subscribed(1000, timeout)
	call.Event("connected")
	stream.Deliver(topic, 0, script.Message("a"))
	first := call.HandlingOf("a")
	first.Fail("again")
	last, n := first, 1
	for !stream.Left() {
		if len(call.Waiting()) > 0 {
			last = call.Handling()
			last.Fail("again")
			n++
		}
		require.Less(h, time.Since(first.Began), timeout+2*slack, "the ACK timeout is over, and it is called on")
		h.Pause()
	}
	took := time.Since(first.Began)
	stream.AwaitHalfClose()
	stream.End(nil)
	e := call.Failed(protocol.KindHandler, 0)
	assert.Equal(h, n, e.Attempts)
	assert.Greater(h, n, 10)
	assert.LessOrEqual(h, last.Began.Sub(first.Began), timeout*9/10+300*time.Millisecond, "all attempts begin within nine tenths of the ACK timeout")
	assert.GreaterOrEqual(h, took, timeout*9/10-200*time.Millisecond, "there was time for more")
	assert.Less(h, took, timeout+slack, "it has failed as soon as no attempt can follow")
}

func failedForGood(h *suite.Harness) {
	j := join(h, attempts(2))
	j.stream.Deliver(topic, 0, script.Message("a1"), script.Message("a2"))
	j.stream.Deliver(topic, 1, script.Message("b1"), script.Message("b2"))
	running := j.Handlings(2)
	running["a1"].Fail("once")
	j.HandlingOf("a1").Fail("the last failure")
	j.stream.AwaitLeave()
	h.Quiet()
	require.False(h, j.Answered(), "b1 runs")
	require.False(h, running["b1"].Cancelled())
	running["b1"].OK()
	require.Equal(h, []string{"b1"}, j.stream.AwaitAcks(1))
	j.end()
	e := j.Failed(protocol.KindHandler, 0)
	assert.Equal(h, 2, e.Attempts)
	assert.Equal(h, "a1", e.MessageID)
	assert.Contains(h, e.Cause, "the last failure")
	assert.Contains(h, e.Message, "the last failure")
	assert.Empty(h, j.Waiting(), "neither a2 nor b2 begins")
	assert.Equal(h, []string{"b1"}, j.stream.Acked())
	_, streams := j.server.Streams()
	assert.Equal(h, 1, streams)
}

// withFailureHandler are options with a failure handler and n attempts.
func withFailureHandler(kind string, n int64) protocol.ConsumeOptions {
	o := attempts(n)
	o.FailureHandler = &kind
	return o
}

func failureHandlerSucceeds(h *suite.Harness) {
	j := join(h, withFailureHandler("ask", 2))
	j.stream.Deliver(topic, 0, script.Message("a"), script.Message("b"))
	j.HandlingOf("a").Fail("once")
	j.HandlingOf("a").Fail("the last failure")
	failed := j.HandlingOf("a")
	require.NotNil(h, failed.Failure, "the failure handler is called")
	require.Contains(h, *failed.Failure, "the last failure")
	h.Quiet()
	require.Empty(h, j.stream.Acked())
	require.Empty(h, j.Waiting())
	failed.OK()
	require.Equal(h, []string{"a"}, j.stream.AwaitAcks(1))
	b := j.HandlingOf("b")
	require.Nil(h, b.Failure)
	b.OK()
	require.Equal(h, []string{"a", "b"}, j.stream.AwaitAcks(2))
	require.False(h, j.Answered())
}

func failureHandlerFails(h *suite.Harness) {
	j := join(h, withFailureHandler("ask", 1))
	j.stream.Deliver(topic, 0, script.Message("a"), script.Message("b"))
	j.HandlingOf("a").Fail("the handler")
	failed := j.HandlingOf("a")
	require.NotNil(h, failed.Failure)
	failed.Fail("nor the failure handler")
	j.end()
	e := j.Failed(protocol.KindFailureHandler, 0)
	assert.Contains(h, e.Message, "nor the failure handler")
	assert.Empty(h, j.stream.Acked())
	assert.Empty(h, j.Waiting())
}

func skipped(h *suite.Harness) {
	j := join(h, withFailureHandler("skip", 2))
	j.stream.Deliver(topic, 0, script.Message("a"), script.Message("b"))
	j.HandlingOf("a").Fail("once")
	j.HandlingOf("a").Fail("twice")
	require.Equal(h, []string{"a"}, j.stream.AwaitAcks(1))
	j.HandlingOf("b").OK()
	require.Equal(h, []string{"a", "b"}, j.stream.AwaitAcks(2))
	require.False(h, j.Answered())
}

func failsWhenLost(h *suite.Harness) {
	j := join(h, attempts(1)) // a failure would be one for good
	j.stream.Deliver(topic, 0, script.Message("a"))
	a := j.HandlingOf("a")
	j.stream.Cut()
	j.Event("disconnected")
	a.AwaitCancelled()
	a.Fail("it counts for nothing")
	j.accept()
	j.settle(h)
	require.False(h, j.Answered())
	require.Empty(h, j.Waiting(), "it isn't called again")
	j.stream.Deliver(topic, 0, script.Message("a"))
	j.HandlingOf("a").OK()
	require.Equal(h, []string{"a"}, j.stream.AwaitAcks(1))
}

func lostBetweenAttempts(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{Attempts: &[3]int64{5, 20_000, 20_000}})
	j.stream.Deliver(topic, 0, script.Message("a"))
	j.HandlingOf("a").Fail("once")
	j.rejoin()
	j.stream.Deliver(topic, 0, script.Message("b"))
	// If the partition waited for the next attempt it would be 10 s on average.
	handling := j.HandlingWithin(2 * time.Second)
	if handling.Message.ID == "a" { // the next attempt began before the stream was lost
		handling.OK()
		handling = j.Handling()
	}
	require.Equal(h, "b", handling.Message.ID)
	handling.OK()
	require.Equal(h, []string{"b"}, j.stream.AwaitAcks(1))
}

func failsWhenWithdrawn(h *suite.Harness) {
	j := join(h, attempts(1))
	j.stream.Deliver(topic, 0, script.Message("a"))
	a := j.HandlingOf("a")
	j.stream.Withdraw(0, topic, 0)
	j.Event("withdrawn")
	a.AwaitCancelled()
	a.Panic("it counts for nothing")
	j.settle(h)
	require.False(h, j.Answered())
	require.Empty(h, j.Waiting())
	require.Empty(h, j.stream.Acked())
}

func failureHandlerWhenLost(h *suite.Harness) {
	j := join(h, withFailureHandler("ask", 1))
	j.stream.Deliver(topic, 0, script.Message("a"))
	j.HandlingOf("a").Fail("for good")
	failed := j.HandlingOf("a")
	require.NotNil(h, failed.Failure)
	j.stream.Cut()
	j.Event("disconnected")
	failed.AwaitCancelled()
	failed.Fail("it counts for nothing")
	j.accept()
	j.settle(h)
	require.False(h, j.Answered())
	j.stream.Deliver(topic, 0, script.Message("a"))
	j.HandlingOf("a").OK()
	require.Equal(h, []string{"a"}, j.stream.AwaitAcks(1))
}
