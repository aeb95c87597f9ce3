package consume

import (
	"context"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/server/internal/coordinator"
)

// A client that holds nothing may stop reading for as long as it likes: what is kept
// for it must not grow with how often others come and go.
func TestAssignmentsThatNobodyReadsArePutTogether(t *testing.T) {
	assignment := func(n int32) coordinator.Assignment {
		return coordinator.Assignment{Partitions: []broker.TopicPartition{{Topic: "t", Partition: n}}}
	}
	o := newOutbox()
	for i := range int32(1000) {
		o.put(assignment(i))
	}
	o.put(coordinator.Deliver{})
	o.put(assignment(1000))
	items, _, _ := o.take(nil)
	require.Equal(t, []coordinator.Effect{assignment(999), coordinator.Deliver{}, assignment(1000)}, items,
		"the latest one comes before the messages that follow it")
}

// sink is a stream on which everything can be sent.
type sink struct {
	grpc.BidiStreamingServer[messageproxyv1.ConsumeRequest, messageproxyv1.ConsumeResponse]
	ctx  context.Context
	sent chan struct{}
}

func (s *sink) Context() context.Context { return s.ctx }

func (s *sink) SendMsg(any) error {
	s.sent <- struct{}{}
	return nil
}

// A writer that waits for something to send keeps nothing of what it has sent: the
// memory budget doesn't know of it any more once it is ACKed.
func TestAnIdleWriterKeepsNoMessages(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stream := &sink{ctx: ctx, sent: make(chan struct{})}
	c := newClient(NewService(nil, Config{}), 1, "c", stream, slog.New(slog.DiscardHandler))
	go func() { _ = c.write() }()
	defer func() { cancel(); <-c.written }()

	collected := make(chan struct{})
	func() {
		message := &broker.Message{ID: "id", Value: make([]byte, 1<<20)}
		runtime.AddCleanup(message, func(done chan struct{}) { close(done) }, collected)
		c.outbox.put(coordinator.Deliver{Deliveries: []coordinator.Delivery{{Message: message, Attempt: 1}}})
	}()
	<-stream.sent
	require.Eventually(t, func() bool {
		runtime.GC()
		select {
		case <-collected:
			return true
		default:
			return false
		}
	}, 10*time.Second, time.Millisecond)
}
