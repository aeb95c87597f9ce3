package messageproxy_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
	"github.com/messageproxy/messageproxy/sdk/go/messageproxytest"
)

// The handler here ignores for a while that its context is cancelled.
func TestALostStreamCancelsHandlersAndTheNextWaitForThem(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		server.CreateTopic("orders", 1)
		add(server, "k", 3)
		var log record
		first := true
		c := consume(t, client, func(ctx context.Context, m *messageproxy.Message) error {
			log.note(fmt.Sprintf("begin %s/%d", m.Value, m.DeliveryAttempt))
			if first {
				first = false
				<-ctx.Done()
				time.Sleep(time.Minute) // meanwhile the stream is there again
			}
			log.note(fmt.Sprintf("end %s/%d", m.Value, m.DeliveryAttempt))
			return nil // too late: this ACK goes nowhere
		})
		synctest.Wait()
		server.CutConnections()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		assert.Len(t, server.Held("s"), 3, "delivered again")
		assert.Equal(t, []string{"begin 0/1"}, log.all())
		_, err := server.WaitAcked(t.Context(), "s", 3)
		require.NoError(t, err)
		synctest.Wait()
		assert.Equal(t, []string{"begin 0/1", "end 0/1", "begin 0/2", "end 0/2", "begin 1/2", "end 1/2", "begin 2/2", "end 2/2"}, log.all())
		require.NoError(t, c.stop())
	})
}

// A handler that is slower than the ACK timeout learns what to change.
func TestTheCauseOfAHandlersContextSaysWhyTheStreamEnded(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		add(server, "k", 1)
		causes := make(chan error, 1)
		c := consume(t, client, func(ctx context.Context, m *messageproxy.Message) error {
			if m.DeliveryAttempt == 1 {
				<-ctx.Done()
				causes <- context.Cause(ctx)
			}
			return nil
		})
		synctest.Wait()
		server.EndConsume("s", &messageproxy.Error{Code: messageproxy.CodeAckTimeout, Message: "ask for a longer ack_timeout", Retryable: true})
		cause := <-causes
		require.ErrorIs(t, cause, messageproxy.CodeAckTimeout)
		require.ErrorContains(t, cause, "ask for a longer ack_timeout")
		_, err := server.WaitAcked(t.Context(), "s", 1)
		require.NoError(t, err)
		require.NoError(t, c.stop())
	})
}

func TestAHandlerThatIsCancelledHasNotFailed(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		add(server, "k", 1)
		c := consume(t, client, func(ctx context.Context, m *messageproxy.Message) error {
			if m.DeliveryAttempt > 1 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}, messageproxy.WithAttempts(1, 0, 0))
		synctest.Wait()
		server.CutConnections()
		_, err := server.WaitAcked(t.Context(), "s", 1)
		require.NoError(t, err)
		require.NoError(t, c.stop())
	})
}

// The second partition here waits for a handler's place when it is withdrawn, and
// comes back.
func TestAPartitionWithdrawnWhileItWaitsIsHandledWhenItIsBack(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		server.CreateTopic("orders", 2)
		for i := range 2 {
			server.Add(&messageproxy.Message{Topic: "orders", ToPartition: new(int32(i))})
		}
		began := time.Now()
		c := consume(t, client, func(ctx context.Context, _ *messageproxy.Message) error { return pause(ctx, time.Second) },
			messageproxy.WithMaxHandlers(1))
		synctest.Wait()
		server.Withdraw("s", "orders", 1, 5*time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := server.WaitAcked(ctx, "s", 2)
		require.NoError(t, err)
		assert.Equal(t, 6*time.Second, time.Since(began))
		require.NoError(t, c.stop())
	})
}

func TestWithdrawnAtOnceCancelsHandlers(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		server.CreateTopic("orders", 2)
		var causes []error
		handle := func(ctx context.Context, m *messageproxy.Message) error {
			if m.DeliveryAttempt > 1 {
				return nil
			}
			<-ctx.Done()
			causes = append(causes, context.Cause(ctx))
			return ctx.Err()
		}
		for i := range 2 {
			server.Add(&messageproxy.Message{Topic: "orders", ToPartition: new(int32(i))}, &messageproxy.Message{Topic: "orders", ToPartition: new(int32(i))})
		}
		c := consume(t, client, handle)
		synctest.Wait()
		server.Withdraw("s", "orders", 1, 0)
		acked, err := server.WaitAcked(t.Context(), "s", 2)
		require.NoError(t, err)
		require.Len(t, causes, 1, "the other partition isn't touched")
		require.ErrorContains(t, causes[0], "went to another server")
		for _, m := range acked {
			assert.EqualValues(t, 1, m.Partition)
		}
		assert.Len(t, server.Held("s"), 2)
		c.cancel()
		server.CutConnections() // ends the handler that waits for it
		require.NoError(t, <-c.done)
	})
}

func TestTheAckOfAHandlerThatReturnsTooLateIsNotSent(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		add(server, "k", 1)
		c := consume(t, client, func(ctx context.Context, m *messageproxy.Message) error {
			if m.DeliveryAttempt == 1 {
				<-ctx.Done()
				return nil // the partition is gone, and back
			}
			return pause(ctx, 10*time.Second)
		})
		synctest.Wait()
		server.Withdraw("s", "orders", server.Held("s")[0].Partition, 0)
		time.Sleep(5 * time.Second)
		assert.Empty(t, server.Acked("s"))
		_, err := server.WaitAcked(t.Context(), "s", 1)
		require.NoError(t, err)
		require.NoError(t, c.stop())
	})
}

func TestWithdrawnWithTimeLeft(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		server.CreateTopic("orders", 1)
		add(server, "k", 3)
		var seen record
		var events []messageproxy.Event
		var takes atomic.Int64
		takes.Store(int64(4 * time.Second))
		c := consume(t, client, func(ctx context.Context, m *messageproxy.Message) error {
			seen.add(m)
			return pause(ctx, time.Duration(takes.Load()))
		}, messageproxy.WithObserver(func(e messageproxy.Event) { events = append(events, e) }))
		synctest.Wait()
		server.Withdraw("s", "orders", 0, 10*time.Second)
		time.Sleep(9 * time.Second)
		synctest.Wait()
		assert.Equal(t, []string{"0"}, values(server.Acked("s")), "what ran had the time to finish")
		assert.Equal(t, []string{"0"}, seen.all(), "what hadn't begun doesn't begin")
		withdrawn := events[len(events)-1]
		assert.Equal(t, messageproxy.EventWithdrawn, withdrawn.Kind)
		assert.Equal(t, 10*time.Second, withdrawn.TimeLeft)
		assert.Equal(t, "[orders/0]", fmt.Sprint(withdrawn.Partitions))

		takes.Store(int64(time.Hour))
		time.Sleep(2 * time.Second) // the partition is back
		synctest.Wait()
		assert.Equal(t, []string{"0", "1"}, seen.all())
		began := time.Now()
		server.Withdraw("s", "orders", 0, 10*time.Second)
		takes.Store(0)
		_, err := server.WaitAcked(t.Context(), "s", 3)
		require.NoError(t, err)
		assert.Equal(t, 10*time.Second, time.Since(began), "what took too long was cancelled")
		require.NoError(t, c.stop())
	})
}

func TestWhichTerminalErrorsEndConsume(t *testing.T) {
	ends := []messageproxy.Code{
		messageproxy.CodeInvalidArgument, messageproxy.CodeTopicNotFound, messageproxy.CodePartitionNotFound,
		messageproxy.CodeSubscriptionConflict, messageproxy.CodeUnauthenticated, messageproxy.CodePermissionDenied, messageproxy.CodeUnsupported,
	}
	retried := []messageproxy.Code{
		messageproxy.CodeBrokerUnavailable, messageproxy.CodeConsumeFailed, messageproxy.CodeAckFailed, messageproxy.CodeAckTimeout,
		messageproxy.CodeResourceExhausted, messageproxy.CodeShuttingDown, messageproxy.CodeInternal,
	}
	type testCase struct {
		code            messageproxy.Code
		retryable, ends bool
	}
	tests := []testCase{{4711, true, false}, {4711, false, true}}
	for _, retryable := range []bool{true, false} {
		for _, code := range ends {
			tests = append(tests, testCase{code, retryable, true})
		}
		for _, code := range retried {
			tests = append(tests, testCase{code, retryable, false})
		}
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%v/retryable=%v", test.code, test.retryable), func(t *testing.T) {
			bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
				c := consume(t, client, handleAll)
				require.NoError(t, server.WaitMembers(t.Context(), "s", 1))
				server.EndConsume("s", &messageproxy.Error{Code: test.code, Message: "why", Retryable: test.retryable})
				if test.ends {
					err := <-c.done
					require.ErrorIs(t, err, test.code)
					require.ErrorContains(t, err, "why")
					return
				}
				require.NoError(t, server.WaitMembers(t.Context(), "s", 0))
				require.NoError(t, server.WaitMembers(t.Context(), "s", 1))
				require.NoError(t, c.stop())
			})
		})
	}
}

func TestAfterTheNoticeOfAShutdownAcksGoOn(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		add(server, "k", 3)
		c := consume(t, client, func(ctx context.Context, _ *messageproxy.Message) error { return pause(ctx, time.Second) })
		synctest.Wait()
		server.Notify("s", &messageproxy.Error{Code: messageproxy.CodeShuttingDown})
		acked, err := server.WaitAcked(t.Context(), "s", 3)
		require.NoError(t, err)
		assert.Len(t, acked, 3)
		server.EndConsume("s", &messageproxy.Error{Code: messageproxy.CodeShuttingDown})
		require.NoError(t, server.WaitMembers(t.Context(), "s", 0))
		server.Add(message("k", "more"))
		_, err = server.WaitAcked(t.Context(), "s", 4)
		require.NoError(t, err, "it is back")
		require.NoError(t, c.stop())
	})
}

func TestTheObserverSeesWhatHappens(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		var seen []string
		c := consume(t, client, handleAll, messageproxy.WithObserver(func(e messageproxy.Event) {
			seen = append(seen, fmt.Sprintf("%v %v %v", e.Kind, e.Partitions, e.Err))
		}))
		require.NoError(t, server.WaitMembers(t.Context(), "s", 1))
		server.Trouble("s", &messageproxy.Error{Code: messageproxy.CodeConsumeFailed, Message: "the broker is away"})
		server.Recover("s", messageproxy.CodeConsumeFailed)
		server.Notify("s", &messageproxy.Error{Code: messageproxy.CodeMessagesExpired, Message: "3 messages"})
		synctest.Wait()
		server.EndConsume("s", &messageproxy.Error{Code: messageproxy.CodeAckTimeout, Message: "too slow"})
		require.NoError(t, server.WaitMembers(t.Context(), "s", 0))
		require.NoError(t, server.WaitMembers(t.Context(), "s", 1))
		synctest.Wait()
		require.NoError(t, c.stop())
		assert.Equal(t, []string{
			"connected [] <nil>",
			"assigned [orders/0 orders/1 orders/2 orders/3] <nil>",
			"trouble [] consume failed: the broker is away",
			"recovered [] consume failed",
			"notice [] messages expired: 3 messages",
			"disconnected [] ACK timeout: too slow",
			"connected [] <nil>",
			"assigned [orders/0 orders/1 orders/2 orders/3] <nil>",
			"assigned [] <nil>", // it leaves
		}, seen)
	})
}

func TestConsumeConnectsWhenTheNetworkIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := messageproxytest.NewServer()
		defer server.Close()
		network := &gate{}
		client, err := server.NewClient(network.through(server))
		require.NoError(t, err)
		defer client.Close()
		c := consume(t, client, handleAll)
		time.Sleep(time.Hour)
		network.set(true)
		began := time.Now()
		require.NoError(t, server.WaitMembers(t.Context(), "s", 1))
		assert.LessOrEqual(t, time.Since(began), 11*time.Second)
		require.NoError(t, c.stop())
	})
}

// TestConsumingOverABreakingNetwork has two members consume while connections
// are cut and partitions withdrawn again and again.
func TestConsumingOverABreakingNetwork(t *testing.T) {
	for run := range 5 {
		t.Run(fmt.Sprint(run), func(t *testing.T) { bubble(t, consumeOverABreakingNetwork) })
	}
}

func consumeOverABreakingNetwork(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
	const messages = 2000
	for i := range messages {
		server.Add(&messageproxy.Message{Topic: "orders", ToPartition: new(int32(i % 4)), Value: fmt.Append(nil, i)})
	}
	var members []*consuming
	var watches [2]perMember
	for i := range watches {
		members = append(members, consume(t, client, watches[i].handle, messageproxy.WithMaxUnacked(100)))
	}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		_, err := server.WaitAcked(t.Context(), "s", messages)
		assert.NoError(t, err)
	}()
	for breaking := true; breaking; {
		select {
		case <-finished:
			breaking = false
		case <-time.After(time.Duration(rand.IntN(500)) * time.Millisecond):
			if rand.IntN(2) == 0 {
				server.CutConnections()
			} else {
				server.Withdraw("s", "orders", rand.Int32N(4), time.Duration(rand.IntN(20))*time.Millisecond)
			}
		}
	}
	for i, member := range members {
		require.NoError(t, member.stop())
		assert.Empty(t, watches[i].broken)
	}
	last := map[int32]int{}
	for _, m := range server.Acked("s") {
		var i int
		_, err := fmt.Sscan(string(m.Value), &i)
		require.NoError(t, err)
		if before, ok := last[m.Partition]; ok {
			require.Equal(t, before+4, i, "ACKed in order, none left out, none twice")
		}
		last[m.Partition] = i
	}
}

// perMember watches that one member never handles two messages of a partition at
// once, and that deliveries begin in order.
type perMember struct {
	overlap
}

func (p *perMember) handle(ctx context.Context, m *messageproxy.Message) error {
	group := fmt.Sprint(m.Partition)
	p.mu.Lock()
	if p.running == nil {
		p.running = map[string]bool{}
	}
	if p.running[group] {
		p.broken = append(p.broken, string(m.Value))
	}
	p.running[group] = true
	p.mu.Unlock()
	err := pause(ctx, time.Duration(rand.IntN(5))*time.Millisecond)
	if rand.IntN(10) == 0 {
		time.Sleep(20 * time.Millisecond) // whatever ctx says
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.running, group)
	return err
}
