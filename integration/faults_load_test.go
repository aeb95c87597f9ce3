package integration_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// flow counts what gets through.
type flow struct {
	mu      sync.Mutex
	stored  map[string]int // by the producer's name
	handled map[string]int // by the consumer's
	changed chan struct{}  // closed and replaced at each change
}

func newFlow() *flow {
	return &flow{stored: make(map[string]int), handled: make(map[string]int), changed: make(chan struct{})}
}

// join makes a client known that nothing has got through to yet.
func (f *flow) join(of map[string]int, client string) { f.note(of, client, 0) }

func (f *flow) note(of map[string]int, client string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	of[client] += n
	close(f.changed)
	f.changed = make(chan struct{})
}

// now returns the counts of all clients.
func (f *flow) now() (stored, handled map[string]int, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.stored), maps.Clone(f.handled), f.changed
}

// await waits until enough has got through since now.
func (f *flow) await(t *testing.T, within time.Duration, enough func(stored, handled map[string]int) bool, what func() string) {
	t.Helper()
	storedBefore, handledBefore, _ := f.now()
	var stored, handled map[string]int
	await(t, within, func() (met bool, changed <-chan struct{}) {
		stored, handled, changed = f.now()
		subtract(stored, storedBefore)
		subtract(handled, handledBefore)
		return enough(stored, handled), changed
	}, func() string { return fmt.Sprintf("stored %v, handled %v, for %s", stored, handled, what()) })
}

func subtract(from, what map[string]int) {
	for client, n := range what {
		from[client] -= n
	}
}

func least(of map[string]int) int {
	return slices.Min(slices.Collect(maps.Values(of)))
}

// chaosPace is how often each producer sends something.
const chaosPace = 50 * time.Millisecond

// sdkProducer produces with the SDK until it is told to finish.
type sdkProducer struct {
	c      *chaos
	name   string
	client *messageproxy.Client
	quit   chan struct{}
	done   chan struct{}

	mu         sync.Mutex
	unanswered map[string]bool
	answers    int
}

// produce starts a producer with the SDK.
func (c *chaos) produce(addr string) {
	name := c.name("sdk-producer")
	p := &sdkProducer{
		c: c, name: name, client: c.connect(name, addr), quit: make(chan struct{}), done: make(chan struct{}),
		unanswered: make(map[string]bool),
	}
	c.producers = append(c.producers, p)
	c.flow.join(c.flow.stored, name)
	go p.run()
	c.t.Cleanup(p.stop)
}

func (p *sdkProducer) run() {
	defer close(p.done)
	pace := time.NewTicker(chaosPace)
	defer pace.Stop()
	for {
		select {
		case <-p.quit:
			return
		case <-pace.C:
		}
		for range 1 + rand.IntN(3) {
			p.send(newToken())
		}
	}
}

func (p *sdkProducer) send(token string) {
	p.mu.Lock()
	p.unanswered[token] = true
	p.mu.Unlock()
	p.client.ProduceAsync(p.c.t.Context(), &messageproxy.Message{
		Topic: p.c.topic, Key: chaosKey(), Value: chaosValue(token),
	}, func(_ messageproxy.Receipt, err error) { p.answered(token, err) })
}

func (p *sdkProducer) answered(token string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	assert.True(p.c.t, p.unanswered[token], "%s has more than one result", token)
	delete(p.unanswered, token)
	p.answers++
	if err == nil {
		p.c.flow.note(p.c.flow.stored, p.name, 1)
	}
}

func (p *sdkProducer) stop() {
	select {
	case <-p.quit:
	default:
		close(p.quit)
	}
	<-p.done
}

// finish sends nothing more, and waits until everything has its result.
func (p *sdkProducer) finish() {
	p.stop()
	ctx, cancel := context.WithTimeout(p.c.t.Context(), settles)
	defer cancel()
	require.NoError(p.c.t, p.client.Flush(ctx))
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Empty(p.c.t, p.unanswered, "every message has a result")
}

// rawProducer produces on streams of its own: when one breaks it opens the next.
type rawProducer struct {
	c      *chaos
	name   string
	client messageproxyv1.MessageProxyClient
	quit   chan struct{}
	done   chan struct{}
}

// produceRaw starts a producer without the SDK.
func (c *chaos) produceRaw(addr string) {
	name := c.name("raw-producer")
	p := &rawProducer{c: c, name: name, client: c.raw(name, addr), quit: make(chan struct{}), done: make(chan struct{})}
	c.producers = append(c.producers, p)
	c.flow.join(c.flow.stored, name)
	ctx, cancel := context.WithCancel(context.Background())
	go p.run(ctx)
	c.t.Cleanup(func() {
		cancel()
		p.finish()
	})
}

func (p *rawProducer) run(ctx context.Context) {
	defer close(p.done)
	for ctx.Err() == nil {
		if p.stream(ctx) {
			return
		}
		select {
		case <-time.After(chaosPace):
		case <-ctx.Done():
		}
	}
}

// stream produces on one stream until it breaks or, in which case it returns true,
// the producer is told to finish.
func (p *rawProducer) stream(ctx context.Context) (finished bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := p.client.Produce(ctx)
	if err != nil {
		return p.isFinished()
	}
	received := make(chan struct{})
	go func() {
		defer close(received)
		for {
			response, err := stream.Recv()
			if err != nil {
				return
			}
			for _, r := range response.GetResults() {
				if r.GetReceipt() != nil {
					p.c.flow.note(p.c.flow.stored, p.name, 1)
				}
			}
		}
	}()
	pace := time.NewTicker(chaosPace)
	defer pace.Stop()
	var last uint64
	for {
		select {
		case <-p.quit:
			_ = stream.CloseSend() // never fails
			<-received
			return true
		case <-received:
			return false
		case <-pace.C:
		}
		request := new(messageproxyv1.ProduceRequest)
		for range 1 + rand.IntN(5) {
			last++
			request.Messages = append(request.Messages, &messageproxyv1.OutgoingMessage{
				Sequence: last, Topic: p.c.topic, Key: chaosKey(), Value: chaosValue(newToken()),
			})
		}
		if stream.Send(request) != nil {
			<-received
			return p.isFinished()
		}
	}
}

func (p *rawProducer) isFinished() bool {
	select {
	case <-p.quit:
		return true
	default:
		return false
	}
}

func (p *rawProducer) finish() {
	if !p.isFinished() {
		close(p.quit)
	}
	select {
	case <-p.done:
	case <-time.After(settles):
		require.FailNow(p.c.t, "waited in vain", "for the results of a raw producer")
	}
}

// consumeRaw starts a consumer without the SDK, which ACKs in random order, and
// subscribes again when its stream ends.
func (c *chaos) consumeRaw(addr string) {
	name := c.name("raw-consumer")
	client := c.raw(name, addr)
	c.flow.join(c.flow.handled, name)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			c.consumeStream(ctx, client, name)
			select {
			case <-time.After(chaosPace):
			case <-ctx.Done():
			}
		}
	}()
	c.t.Cleanup(func() {
		cancel()
		<-done
	})
}

func (c *chaos) consumeStream(ctx context.Context, client messageproxyv1.MessageProxyClient, name string) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.Consume(ctx)
	if err != nil {
		return
	}
	if stream.Send(&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Subscribe{
		Subscribe: &messageproxyv1.SubscribeRequest{Subscription: c.subscription, Topics: []string{c.topic}, ClientName: name},
	}}) != nil {
		return
	}
	ids, received := make(chan string, 10_000), make(chan struct{})
	go func() {
		defer close(received)
		for {
			response, err := stream.Recv()
			if err != nil {
				return
			}
			c.shares.tell(name, response)
			for _, p := range response.GetBatch().GetPartitions() {
				for _, m := range p.GetMessages() {
					ids <- m.GetId()
				}
			}
		}
	}()
	c.ackShuffled(name, stream, ids, received)
}

// ackShuffled ACKs, now and then, some of the messages that have come, in random
// order, until the stream ends.
func (c *chaos) ackShuffled(name string, stream rawConsumeStream, ids <-chan string, received <-chan struct{}) {
	pace := time.NewTicker(chaosPace)
	defer pace.Stop()
	var held []string
	for {
		select {
		case id := <-ids:
			held = append(held, id)
			continue
		case <-received:
			return
		case <-pace.C:
		}
		if len(held) == 0 {
			continue
		}
		rand.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
		n := 1 + rand.IntN(len(held))
		err := stream.Send(&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Ack{
			Ack: &messageproxyv1.AckRequest{MessageIds: held[:n]},
		}})
		if err != nil {
			<-received
			return
		}
		c.flow.note(c.flow.handled, name, n)
		held = append([]string(nil), held[n:]...)
	}
}

// rawConsumeStream is what of a stream sends.
type rawConsumeStream interface {
	Send(*messageproxyv1.ConsumeRequest) error
}
