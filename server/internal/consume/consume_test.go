package consume_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/broker/brokertest/membroker"
	"github.com/messageproxy/messageproxy/server/internal/consume"
	"github.com/messageproxy/messageproxy/server/internal/wire"
)

func TestMessagesAreDeliveredAndACKed(t *testing.T) {
	bubble(t, 1, consume.Config{}, func(t *testing.T, h *harness) {
		c := h.subscribe("c")
		h.produce(0, "a", "b", "c")
		require.Equal(t, []string{"a", "b", "c"}, c.values())
		require.Equal(t, []string{"t/0"}, c.owned())
		subscribed := find(c, (*messageproxyv1.ConsumeResponse).GetSubscribed)
		require.Len(t, subscribed, 1)
		require.EqualValues(t, 1000, subscribed[0].GetMaxUnackedMessages())
		require.Equal(t, time.Minute, subscribed[0].GetAckTimeout().AsDuration())

		c.ack("a", "c")
		c.halfClose()
		require.Nil(t, c.ending(), "half-close ends with OK")
		time.Sleep(time.Second)
		require.Zero(t, h.broker.Consumers("s"), "nobody is connected (C8)")

		d := h.subscribe("d")
		require.Contains(t, d.values(), "b", "what was not ACKed comes again")
		require.NotContains(t, d.values(), "a")
	})
}

func TestC1NotHeldIsOneNoticeForARequest(t *testing.T) {
	bubble(t, 2, consume.Config{}, func(t *testing.T, h *harness) {
		c, d := h.subscribe("c"), h.subscribe("d")
		h.produce(0, "a0")
		h.produce(1, "a1")
		mine, foreign := c.received()[0].id, d.received()[0].id
		c.ackIDs(mine, foreign, "", "nonsense", strings.Repeat("x", 1<<20), mine)
		notices := find(c, (*messageproxyv1.ConsumeResponse).GetNotice)
		require.Len(t, notices, 1)
		require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_NOT_HELD, notices[0].GetCode())
		require.Equal(t, []string{foreign, "", "nonsense", mine}, notices[0].GetMessageIds())
		require.Contains(t, notices[0].GetMessage(), "5 message ids")
		require.True(t, c.isOpen())
		d.ack(d.values()...)
		require.Empty(t, find(d, (*messageproxyv1.ConsumeResponse).GetNotice))
	})
}

// A client that sends nonsense without end and doesn't read the answers costs
// nobody anything, and costs the server little.
func TestC1EndlessIDs(t *testing.T) {
	bubble(t, 1, consume.Config{}, func(t *testing.T, h *harness) {
		c := h.subscribeSilently("c")
		ids := make([]string, 1000)
		for i := range ids {
			ids[i] = fmt.Sprintf("nonsense-%d", i)
		}
		for range 200 {
			c.send(&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Ack{
				Ack: &messageproxyv1.AckRequest{MessageIds: ids},
			}})
		}
		go c.read()
		notices := find(c, (*messageproxyv1.ConsumeResponse).GetNotice)
		require.Less(t, len(notices), 100, "answers that nobody reads are put together")
		total := 0
		for _, n := range notices {
			var count int
			_, err := fmt.Sscanf(n.GetMessage(), "%d message ids", &count)
			require.NoError(t, err)
			require.LessOrEqual(t, len(n.GetMessageIds()), 1000)
			total += count
		}
		require.Equal(t, 200*1000, total)
		h.produce(0, "a")
		require.Equal(t, []string{"a"}, c.values())
	})
}

func TestC2ClientWindow(t *testing.T) {
	bubble(t, 1, consume.Config{MaxUnackedMessages: 3}, func(t *testing.T, h *harness) {
		c := h.subscribe("c", func(r *messageproxyv1.SubscribeRequest) { r.MaxUnackedMessages = proto.Uint32(2) })
		h.produce(0, "a", "b", "c", "d")
		require.Equal(t, []string{"a", "b"}, c.values())
		c.ack("b")
		require.Equal(t, []string{"a", "b", "c"}, c.values())
		require.EqualValues(t, 2, find(c, (*messageproxyv1.ConsumeResponse).GetSubscribed)[0].GetMaxUnackedMessages())
	})
}

func TestFramesAreBatchedAndBounded(t *testing.T) {
	bubble(t, 4, consume.Config{PartitionWindow: 10000}, func(t *testing.T, h *harness) {
		for p := range int32(4) {
			for i := range 200 {
				h.produce(p, fmt.Sprintf("%d-%d-%s", p, i, strings.Repeat("x", 4000)))
			}
		}
		h.produce(0, strings.Repeat("large", 100_000))
		c := h.subscribe("c")
		require.Len(t, c.values(), 801)
		batches := find(c, (*messageproxyv1.ConsumeResponse).GetBatch)
		require.Less(t, len(batches), 40, "many messages a frame")
		for _, b := range batches {
			if len(b.GetPartitions()) > 1 || len(b.GetPartitions()[0].GetMessages()) > 1 {
				require.Less(t, proto.Size(b), wire.MaxFrameBytes+501_000)
			}
		}
	})
}

func TestJoinMovesPartitionsWithoutTakingWhatIsInFlight(t *testing.T) {
	bubble(t, 2, consume.Config{}, func(t *testing.T, h *harness) {
		c := h.subscribe("c")
		h.produce(0, "0a", "0b")
		h.produce(1, "1a", "1b")
		require.ElementsMatch(t, []string{"0a", "0b", "1a", "1b"}, c.values())
		d := h.subscribe("d")
		require.Len(t, d.owned(), 1)
		moved := strings.TrimPrefix(d.owned()[0], "t/")
		h.produce(0, "0c")
		h.produce(1, "1c")
		require.Empty(t, d.values(), "the new owner waits (C5)")
		c.ack(moved + "a")
		require.Empty(t, d.values(), "until all is ACKed")
		c.ack(moved + "b")
		require.Equal(t, []string{moved + "c"}, d.values())
		c.vanish()
		require.Len(t, d.values(), 4)
		require.Len(t, d.owned(), 2)
	})
}

func TestLeaveHandsOverAndLetsTheClientFinish(t *testing.T) {
	bubble(t, 1, consume.Config{}, func(t *testing.T, h *harness) {
		c, d := h.subscribe("c"), h.subscribe("d")
		if len(c.owned()) == 0 {
			c, d = d, c
		}
		h.produce(0, "a", "b")
		require.Equal(t, []string{"a", "b"}, c.values()) // stored is not yet delivered
		c.leave()
		require.Empty(t, c.owned())
		require.Equal(t, []string{"t/0"}, d.owned())
		h.produce(0, "c")
		require.Empty(t, d.values())
		c.ack("a", "b")
		require.Equal(t, []string{"c"}, d.values())
		c.halfClose()
		require.Nil(t, c.ending())
	})
}

func TestC6StuckClient(t *testing.T) {
	bubble(t, 1, consume.Config{}, func(t *testing.T, h *harness) {
		c, d := h.subscribe("c"), h.subscribe("d")
		if len(c.owned()) == 0 {
			c, d = d, c
		}
		h.produce(0, "a", "b", "c")
		c.ack("b")
		time.Sleep(59 * time.Second)
		require.True(t, c.isOpen())
		time.Sleep(1500 * time.Millisecond)
		terminal := c.ending()
		require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_ACK_TIMEOUT, terminal.GetCode())
		require.True(t, terminal.GetRetryable())
		require.Equal(t, codes.DeadlineExceeded, status.Code(c.err))
		h.produce(0, "d")
		require.Equal(t, []string{"a", "c", "d"}, d.values(), "in order, before newer ones")
		require.EqualValues(t, 2, d.received()[0].attempt)
		require.EqualValues(t, 1, d.received()[2].attempt)
		d.ack("a", "c", "d")
		time.Sleep(time.Hour)
		require.True(t, d.isOpen(), "nothing to do is no reason to go")
	})
}

func TestC6AskedTimeout(t *testing.T) {
	bubble(t, 1, consume.Config{MaxAckTimeout: 5 * time.Minute}, func(t *testing.T, h *harness) {
		c := h.subscribe("c", func(r *messageproxyv1.SubscribeRequest) { r.AckTimeout = durationpb.New(time.Hour) })
		require.Equal(t, 5*time.Minute,
			find(c, (*messageproxyv1.ConsumeResponse).GetSubscribed)[0].GetAckTimeout().AsDuration())
		h.produce(0, "a")
		time.Sleep(4 * time.Minute)
		require.True(t, c.isOpen())
		time.Sleep(62 * time.Second)
		require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_ACK_TIMEOUT, c.ending().GetCode())
	})
}

// A client that stops reading blocks Send, and its status queues behind the data:
// its messages go on at the timeout, and its connection is closed after the grace.
func TestC6ClientThatStopsReadingIsEvicted(t *testing.T) {
	bubble(t, 1, consume.Config{PartitionWindow: 10000}, func(t *testing.T, h *harness) {
		_ = h.subscribeSilently("c")
		synctest.Wait()
		value := strings.Repeat("x", 100_000)
		for range 100 {
			h.produce(0, value)
		}
		d := h.subscribe("d")
		time.Sleep(61 * time.Second)
		d.ack(d.values()[0])
		synctest.Wait()
		require.Len(t, d.values(), 100, "its messages go to others")
		time.Sleep(10 * time.Second)
		h.mu.Lock()
		conn := h.conns["c"]
		h.mu.Unlock()
		_, err := conn.Write([]byte("x"))
		require.Error(t, err, "its connection is closed")
	})
}

// TestC6DeafClientsGetLessGraceWhenTheyTakeMuchMemory: what they were sent stays in
// memory until their connections are closed.
func TestC6DeafClientsGetLessGraceWhenTheyTakeMuchMemory(t *testing.T) {
	bubble(t, 1, consume.Config{MaxBufferedBytes: 12 << 20}, func(t *testing.T, h *harness) {
		_ = h.subscribeSilently("c")
		synctest.Wait()
		for range 3 {
			h.produce(0, strings.Repeat("x", 1<<21))
		}
		closed := func() bool {
			h.mu.Lock()
			defer h.mu.Unlock()
			_, err := h.conns["c"].Write(nil)
			return err != nil
		}
		time.Sleep(60*time.Second + 500*time.Millisecond)
		synctest.Wait()
		require.False(t, closed(), "it has some time to read its end")
		time.Sleep(time.Second)
		synctest.Wait()
		require.True(t, closed(), "but not 10 s")
	})
}

func TestC6HalfClosedClientThatDoesNotReadIsEvicted(t *testing.T) {
	bubble(t, 1, consume.Config{PartitionWindow: 10000}, func(t *testing.T, h *harness) {
		c := h.subscribeSilently("c")
		synctest.Wait()
		for range 100 {
			h.produce(0, strings.Repeat("x", 100_000))
		}
		c.halfClose()
		d := h.subscribe("d")
		require.Len(t, d.values(), 100)
		time.Sleep(11 * time.Second)
		h.mu.Lock()
		conn := h.conns["c"]
		h.mu.Unlock()
		_, err := conn.Write([]byte("x"))
		require.Error(t, err, "its connection is closed")
	})
}

func TestC7MemoryBudgetPausesTheLargest(t *testing.T) {
	bubble(t, 2, consume.Config{MaxBufferedBytes: 100_000, MaxUnackedMessages: 5}, func(t *testing.T, h *harness) {
		c := h.subscribe("c")
		h.produce(1, "small")
		for range 300 {
			h.produce(0, strings.Repeat("x", 1000))
			synctest.Wait()
		}
		require.True(t, h.broker.Partition("s", partition(0)).Paused)
		require.False(t, h.broker.Partition("s", partition(1)).Paused)
		held := h.broker.Partition("s", partition(0)).Outstanding
		require.Less(t, held, 300)
		for len(c.received()) < 301 {
			before := len(c.received())
			for _, m := range c.received() {
				c.ackIDs(m.id)
			}
			time.Sleep(time.Second)
			require.Greater(t, len(c.received()), before, "it goes on when messages are ACKed")
		}
	})
}

func TestC8SubscribingWhileTheLastConsumerCloses(t *testing.T) {
	bubble(t, 1, consume.Config{}, func(t *testing.T, h *harness) {
		c := h.subscribe("c")
		h.produce(0, "a", "b")
		c.ack("a")
		release := h.broker.HoldCloses()
		c.halfClose()
		d := h.subscribe("d")
		require.Empty(t, find(d, (*messageproxyv1.ConsumeResponse).GetSubscribed), "it waits")
		release()
		require.Equal(t, []string{"b"}, d.values())
		require.Equal(t, 1, h.broker.Consumers("s"))
	})
}

func TestC8CloseIsBounded(t *testing.T) {
	bubble(t, 1, consume.Config{}, func(t *testing.T, h *harness) {
		c := h.subscribe("c")
		h.produce(0, "a")
		require.Len(t, c.values(), 1)
		defer h.broker.HoldCloses()()
		c.halfClose()
		d := h.subscribe("d")
		time.Sleep(11 * time.Second)
		require.Len(t, find(d, (*messageproxyv1.ConsumeResponse).GetSubscribed), 1)
	})
}

func TestC8NobodyWaitsForAClientThatVanishedWhileSubscribing(t *testing.T) {
	bubble(t, 1, consume.Config{}, func(t *testing.T, h *harness) {
		release := h.broker.HoldNewConsumers()
		c := h.subscribe("c")
		c.vanish()
		d := h.subscribe("d")
		release()
		h.produce(0, "a")
		require.Equal(t, []string{"a"}, d.values())
	})
}

func TestC9TroubleIsToldAndOver(t *testing.T) {
	bubble(t, 1, consume.Config{}, func(t *testing.T, h *harness) {
		c := h.subscribe("c")
		h.broker.SetReachable(false)
		time.Sleep(10 * time.Second)
		require.Contains(t, codesOf(c), messageproxyv1.ErrorCode_ERROR_CODE_CONSUME_FAILED)
		told := len(codesOf(c))
		time.Sleep(30 * time.Second)
		require.GreaterOrEqual(t, len(codesOf(c)), told+3, "again, at least every 10 s")
		d := h.subscribe("d")
		require.Contains(t, codesOf(d), messageproxyv1.ErrorCode_ERROR_CODE_CONSUME_FAILED)
		h.broker.SetReachable(true)
		time.Sleep(10 * time.Second)
		for _, client := range []*testClient{c, d} {
			require.True(t, client.isOpen())
			recovered := find(client, (*messageproxyv1.ConsumeResponse).GetRecovered)
			require.NotEmpty(t, recovered)
			require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_CONSUME_FAILED, recovered[0].GetCode())
		}
		h.produce(0, "a")
		require.Len(t, append(c.values(), d.values()...), 1)
	})
}

func TestC9ConsumerThatWillNotRecoverIsReplaced(t *testing.T) {
	bubble(t, 1, consume.Config{}, func(t *testing.T, h *harness) {
		c := h.subscribe("c")
		h.produce(0, "a")
		require.Equal(t, []string{"a"}, c.values())
		h.broker.FailPolls("s", &broker.Error{Code: broker.CodeInternal, Partition: broker.AnyPartition, Message: "fenced"})
		time.Sleep(30 * time.Second)
		h.broker.FailPolls("s", nil)
		time.Sleep(30 * time.Second)
		require.Equal(t, []string{"a", "a"}, c.values(), "withdrawn, and delivered again")
		require.EqualValues(t, 2, c.received()[1].attempt)
		withdrawn := find(c, (*messageproxyv1.ConsumeResponse).GetWithdrawn)
		require.NotEmpty(t, withdrawn)
		require.Zero(t, withdrawn[0].GetTimeLeft().AsDuration())
		require.NotEmpty(t, find(c, (*messageproxyv1.ConsumeResponse).GetRecovered))
	})
}

func TestC9ServerStartsBeforeTheBroker(t *testing.T) {
	bubble(t, 1, consume.Config{}, func(t *testing.T, h *harness) {
		h.broker.SetReachable(false)
		c := h.subscribe("c")
		time.Sleep(15 * time.Second)
		require.Len(t, find(c, (*messageproxyv1.ConsumeResponse).GetSubscribed), 1)
		require.Contains(t, codesOf(c), messageproxyv1.ErrorCode_ERROR_CODE_CONSUME_FAILED)
		h.broker.SetReachable(true)
		time.Sleep(10 * time.Second)
		h.produce(0, "a")
		require.Equal(t, []string{"a"}, c.values())
	})
}

func TestC9AckTrouble(t *testing.T) {
	bubble(t, 1, consume.Config{}, func(t *testing.T, h *harness) {
		c := h.subscribe("c")
		h.produce(0, "a", "b")
		h.broker.FailAcks("s", &broker.Error{Code: broker.CodeUnavailable, Retryable: true, Message: "no"})
		c.ack("a")
		time.Sleep(20 * time.Second)
		require.Contains(t, codesOf(c), messageproxyv1.ErrorCode_ERROR_CODE_ACK_FAILED)
		h.broker.FailAcks("s", nil)
		time.Sleep(20 * time.Second)
		recovered := find(c, (*messageproxyv1.ConsumeResponse).GetRecovered)
		require.NotEmpty(t, recovered)
		require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_ACK_FAILED, recovered[0].GetCode())
		require.Equal(t, []uint64{0}, h.acked(0))
	})
}

func codesOf(c *testClient) []messageproxyv1.ErrorCode {
	return errorCodes(find(c, (*messageproxyv1.ConsumeResponse).GetError))
}

func TestPartitionThatMovesToAnotherServer(t *testing.T) {
	bubble(t, 1, consume.Config{}, func(t *testing.T, h *harness) {
		c := h.subscribe("c")
		h.produce(0, "a", "b")
		require.Len(t, c.values(), 2)
		h.broker.Revoke("s", partition(0))
		withdrawn := find(c, (*messageproxyv1.ConsumeResponse).GetWithdrawn)
		require.Len(t, withdrawn, 1)
		require.Equal(t, 10*time.Second, withdrawn[0].GetTimeLeft().AsDuration())
		c.ack("a", "b")
		require.Equal(t, []uint64{0, 1}, h.acked(0), "what is ACKed in the time that is left counts, and frees the partition")
		require.Empty(t, find(c, (*messageproxyv1.ConsumeResponse).GetNotice))

		h.broker.GiveBack("s", partition(0))
		h.produce(0, "c")
		require.Equal(t, []string{"a", "b", "c"}, c.values())
		h.broker.Revoke("s", partition(0))
		time.Sleep(11 * time.Second)
		c.ack("c")
		notices := find(c, (*messageproxyv1.ConsumeResponse).GetNotice)
		require.Len(t, notices, 1)
		require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_NOT_HELD, notices[0].GetCode())
	})
}

func TestExpiredMessagesAreReported(t *testing.T) {
	bubble(t, 1, consume.Config{}, func(t *testing.T, h *harness) {
		c := h.subscribe("c")
		h.produce(0, "a")
		c.ack("a")
		c.halfClose()
		time.Sleep(time.Second)
		h.produce(0, "b", "c", "d")
		require.NoError(t, h.broker.DeleteBefore(partition(0), 3))
		d := h.subscribe("d")
		require.Equal(t, []string{"d"}, d.values())
		notices := find(d, (*messageproxyv1.ConsumeResponse).GetNotice)
		require.Len(t, notices, 1)
		require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_MESSAGES_EXPIRED, notices[0].GetCode())
	})
}

func TestHeaderKeysThatAreNotUTF8AreRepaired(t *testing.T) {
	bubble(t, 1, consume.Config{}, func(t *testing.T, h *harness) {
		h.producer.ProduceAsync(&broker.OutgoingMessage{
			Topic: "t", Partition: 0, Value: []byte{},
			Headers: []broker.Header{{Key: "bad\xff", Value: nil}, {Key: "good", Value: []byte{}}},
		}, func(broker.MessageReceipt, error) {})
		h.produce(0, "next")
		c := h.subscribe("c")
		require.Equal(t, []string{"", "next"}, c.values())
		m := find(c, (*messageproxyv1.ConsumeResponse).GetBatch)[0].GetPartitions()[0].GetMessages()[0]
		require.Nil(t, m.Key, "absent")
		require.NotNil(t, m.Value, "empty")
		require.Equal(t, "bad\uFFFD", m.GetHeaders()[0].GetKey())
		require.EqualValues(t, 1, h.service.Stats().RepairedHeaderKeys)
		require.Nil(t, m.GetHeaders()[0].Value)
		require.NotNil(t, m.GetHeaders()[1].Value)
	})
}

func TestDrain(t *testing.T) {
	bubble(t, 2, consume.Config{}, func(t *testing.T, h *harness) {
		c, d := h.subscribe("c"), h.subscribe("d")
		if c.owned()[0] == "t/1" {
			c, d = d, c
		}
		h.produce(0, "a", "b")
		require.Equal(t, []string{"a", "b"}, c.values())
		drained := make(chan error, 1)
		go func() { drained <- h.service.Drain(t.Context()) }()
		require.Eventually(t, func() bool { return !d.isOpen() }, time.Second, time.Millisecond)
		require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN, d.ending().GetCode(), "it holds nothing")
		notices := find(c, (*messageproxyv1.ConsumeResponse).GetNotice)
		require.Len(t, notices, 1)
		require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN, notices[0].GetCode())
		h.produce(0, "c")
		e := h.subscribe("e")
		require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN, e.ending().GetCode())
		c.ack("a")
		require.True(t, c.isOpen())
		c.ack("b")
		require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN, c.ending().GetCode())
		require.Equal(t, []string{"a", "b"}, c.values(), "no more messages")
		require.NoError(t, <-drained)
		require.Equal(t, []uint64{0, 1}, h.acked(0), "everything ACKed is durable")
		require.Zero(t, h.broker.Consumers("s"))
	})
}

func TestDrainTimeout(t *testing.T) {
	bubbleWith(t, membroker.Options{Topics: map[string]int{"t": 1}}, consume.Config{}, func(t *testing.T, h *harness) {
		c := h.subscribe("c")
		h.produce(0, "a", "b")
		c.ack("a")
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		require.ErrorIs(t, h.service.Drain(ctx), ctx.Err())
		require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN, c.ending().GetCode())
		require.Equal(t, []uint64{0}, h.acked(0))
	})
}
