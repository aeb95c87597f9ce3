package messageproxy_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// FuzzConsumeResponses has a client consume from a server that sends anything, in any
// order, with handlers that do anything. Whatever it does, each partition has one
// handler at a time, messages are ACKed once for each delivery, on its own stream and
// after a handler has succeeded, and Consume returns.
func FuzzConsumeResponses(f *testing.F) {
	for _, program := range []string{
		"",
		"s00b50b51z20",
		"b50b50w00b50z20",
		"s00b90w02z20b90t:0s00b50",
		"s00A70e70v70n90b33x00z20",
		"s02b99z30z30z30o00b50S>0b50",
		"g55\xff\x01\x02\x03\x04s00b50g21\x0a\x00z30",
	} {
		f.Add(uint8(0), []byte("0123456"), []byte(program))
		f.Add(uint8(0xff), []byte("321"), []byte(program))
	}
	f.Fuzz(func(t *testing.T, options uint8, handlers, program []byte) {
		if len(handlers) > 50 || len(program) > 300 {
			return // more of the same
		}
		synctest.Test(t, func(t *testing.T) {
			c := &consumingFuzz{
				t: t, script: script{steps: program}, handlers: handlers,
				running: make(map[string]int), succeeded: make(map[string]int), acked: make(map[string]int),
			}
			c.run(options)
		})
	})
}

type consumingFuzz struct {
	t      *testing.T
	script script
	byKey  bool
	skips  bool // messages that failed are ACKed too

	mu        sync.Mutex
	handlers  []byte // what the next ones do
	numbered  int
	running   map[string]int // handlers, by partition
	succeeded map[string]int // handlers, by message
	acked     map[string]int // by message
	// anything: bytes that were sent have made a response, which may say anything.
	anything bool
}

func (c *consumingFuzz) run(options uint8) {
	service := &rawService{consume: c.serve}
	client := service.startWith(c.t, []grpc.ServerOption{grpc.ForceServerCodecV2(bytesCodec{})},
		messageproxy.WithReconnectBackoff(time.Millisecond, time.Second))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		_ = client.Subscription("s", "t").Consume(ctx, c.handle, c.options(options)...) // whatever the server says
	}()
	time.Sleep(2 * time.Minute)
	begin := time.Now()
	cancel()
	<-returned
	assert.LessOrEqual(c.t, time.Since(begin), 10*time.Second, "the drain timeout, and a little more")
	time.Sleep(10 * time.Second) // handlers that were left behind return
	c.check()
}

func (c *consumingFuzz) options(bits uint8) []messageproxy.ConsumeOption {
	opts := []messageproxy.ConsumeOption{
		messageproxy.WithDrainTimeout(2 * time.Second),
		messageproxy.WithAttempts(1+int(bits>>6), 10*time.Millisecond, time.Second),
	}
	if bits&1 != 0 {
		opts = append(opts, messageproxy.WithMaxHandlers(2))
	}
	if bits&2 != 0 {
		c.byKey = true
		opts = append(opts, messageproxy.WithKeyWorkers(3))
	}
	switch bits >> 2 & 3 {
	case 1:
		c.skips = true
		opts = append(opts, messageproxy.WithFailureHandler(messageproxy.SkipFailed))
	case 2:
		opts = append(opts, messageproxy.WithFailureHandler(func(context.Context, *messageproxy.Message, error) error {
			panic("fuzzing")
		}))
	}
	return opts
}

var errFuzzing = errors.New("fuzzing")

// handle does what the next byte says.
func (c *consumingFuzz) handle(ctx context.Context, m *messageproxy.Message) error {
	id, partition := string(m.Value), fmt.Sprintf("%s/%d", m.Topic, m.Partition)
	succeeded := false
	c.mu.Lock()
	c.running[partition]++
	if !c.byKey {
		assert.Equal(c.t, 1, c.running[partition], "handlers of %s at once", partition)
	}
	how := 0
	if len(c.handlers) > 0 {
		how, c.handlers = figure(c.handlers[0]), c.handlers[1:]
	}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.running[partition]--
		if succeeded || c.skips {
			c.succeeded[id]++
		}
		c.mu.Unlock()
	}()
	switch how % 9 {
	case 1:
		return errFuzzing
	case 2:
		panic(errFuzzing)
	case 3:
		time.Sleep(time.Second)
	case 4:
		<-ctx.Done()
		return ctx.Err()
	case 5:
		time.Sleep(time.Duration(how) * 10 * time.Millisecond)
	case 6:
		m.ID, m.Topic, m.Partition = "another", "another", 9 // it is the handler's own
		return errFuzzing
	case 7:
		runtime.Goexit()
	case 8:
		time.Sleep(4 * time.Second) // longer than the drain timeout, whatever ctx says
	}
	succeeded = true
	return nil
}

// serve serves a stream as the script says, and properly when that is over.
func (c *consumingFuzz) serve(stream consumeServer) error {
	delivered := &deliveredFuzz{fuzz: c, times: make(map[string]int)}
	received := make(chan struct{})
	go func() {
		defer close(received)
		for {
			request, err := stream.Recv()
			if err != nil {
				return
			}
			delivered.ack(request.GetAck().GetMessageIds())
		}
	}()
	for {
		letter, x, y := c.script.next()
		letter = letterOf(letter, "sbbbwAevnxtTSogz")
		switch letter {
		case 0:
			<-received
			return nil
		case 't':
			_ = stream.Send(&messageproxyv1.ConsumeResponse{
				Response: &messageproxyv1.ConsumeResponse_TerminalError{TerminalError: anyError(x, y)},
			})
			return anyStatus(y, x)
		case 'S':
			return anyStatus(x, y)
		case 'o':
			return nil
		case 'g':
			_ = stream.SendMsg(c.garbage(y % 32))
		case 'z':
			wait(stream, x)
		default:
			_ = stream.Send(c.response(delivered, letter, x, y))
		}
	}
}

func (c *consumingFuzz) garbage(n int) []byte {
	data := c.script.bytes(n)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.anything = c.anything || proto.Unmarshal(data, &messageproxyv1.ConsumeResponse{}) == nil
	return data
}

func (c *consumingFuzz) response(delivered *deliveredFuzz, letter byte, x, y int) *messageproxyv1.ConsumeResponse {
	partitions := []*messageproxyv1.TopicPartition{{Topic: "t", Partition: int32(x % 3)}, {}}[:1+y%2]
	switch letter {
	case 's':
		return &messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Subscribed{
			Subscribed: &messageproxyv1.Subscribed{
				MaxUnackedMessages: uint32(x),
				AckTimeout:         []*durationpb.Duration{durationpb.New(time.Minute), nil, durationpb.New(time.Second), {Seconds: -1 << 62}}[y%4],
			},
		}}
	case 'b':
		return delivered.batch(x, y)
	case 'w':
		return &messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Withdrawn{
			Withdrawn: &messageproxyv1.Withdrawn{
				Partitions: partitions, TimeLeft: durationpb.New([]time.Duration{0, time.Second, 1 << 62, -1}[y%4]),
			},
		}}
	case 'A':
		return &messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Assignment{
			Assignment: &messageproxyv1.Assignment{Partitions: partitions},
		}}
	case 'e':
		return &messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Error{Error: anyError(x, y)}}
	case 'v':
		return &messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Recovered{
			Recovered: &messageproxyv1.Recovered{Code: messageproxyv1.ErrorCode(x)},
		}}
	case 'n':
		return &messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Notice{Notice: anyError(x, y)}}
	case 'T':
		return &messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_TerminalError{TerminalError: anyError(x, y)}}
	}
	return &messageproxyv1.ConsumeResponse{} // of a kind that the client doesn't know
}

// deliveredFuzz is what a stream has delivered, how often, and what of it isn't ACKed.
type deliveredFuzz struct {
	fuzz  *consumingFuzz
	mu    sync.Mutex
	times map[string]int
}

// batch makes messages of one or two partitions: new ones, and if y says so one that
// was delivered before, here or elsewhere, or one with an empty id.
func (d *deliveredFuzz) batch(x, y int) *messageproxyv1.ConsumeResponse {
	d.mu.Lock()
	defer d.mu.Unlock()
	batch := &messageproxyv1.MessageBatch{}
	for partition := range 1 + y%2 {
		messages := &messageproxyv1.PartitionMessages{Topic: "t", Partition: int32((x + partition) % 3)}
		for i := range x % 10 {
			messages.Messages = append(messages.Messages, d.message(messages.GetPartition(), y+i))
		}
		batch.Partitions = append(batch.Partitions, messages)
	}
	return &messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Batch{Batch: batch}}
}

func (d *deliveredFuzz) message(partition int32, y int) *messageproxyv1.Message {
	c := d.fuzz
	c.mu.Lock()
	c.numbered++
	number := c.numbered
	c.mu.Unlock()
	switch y % 16 {
	case 7:
		number = max(1, number-3)
	case 8:
		number = 0
	}
	id := fmt.Sprint(partition, "-", number)
	d.times[id]++
	return &messageproxyv1.Message{Id: id, Key: [][]byte{nil, {}, {byte(y)}}[y%3], Value: []byte(id), DeliveryAttempt: uint32(y % 3)}
}

func (d *deliveredFuzz) ack(ids []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fuzz.mu.Lock()
	defer d.fuzz.mu.Unlock()
	for _, id := range ids {
		d.fuzz.acked[id]++
		d.times[id]--
		assert.True(d.fuzz.t, d.times[id] >= 0 || d.fuzz.anything, "%s was ACKed more often than it was delivered on this stream", id)
		assert.True(d.fuzz.t, d.fuzz.acked[id] <= d.fuzz.succeeded[id] || d.fuzz.anything, "%s was ACKed and not handled", id)
	}
}

func (c *consumingFuzz) check() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for partition, n := range c.running {
		assert.Zero(c.t, n, "handlers of %s that run", partition)
	}
}
