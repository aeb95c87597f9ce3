//go:build synctests

package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"

	"google.golang.org/grpc"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/integration/history/tap"
)

// producer is a client that produces, until it has ended. The plan's goroutine
// calls its methods, which don't wait.
type producer interface {
	client
	// produce sends messages, in order.
	produce(messages []outgoing)
	// end ends it in one of the ways that there are.
	end(how EndOfProducer)
}

// outgoing is a message to produce.
type outgoing struct {
	topic     string
	partition *int32 // nil: any
	key       []byte // nil: none
	value     []byte
}

// produce carries out a Produce.
func (w *world) produce(a Produce) {
	p := w.producers[a.Client]
	if p == nil || isClosed(p.finished()) {
		if p = w.newProducer(a); p == nil {
			return
		}
		w.producers[a.Client] = p
	}
	p.produce(w.messages(a))
}

// endProducer carries out an EndProducer.
func (w *world) endProducer(a EndProducer) {
	p := w.producers[a.Client]
	if p == nil || isClosed(p.finished()) {
		return
	}
	w.faults.add(fmt.Sprintf("producer %s", a.How), 1)
	p.end(a.How)
	if a.How != StopReading {
		w.formerClients = append(w.formerClients, p)
		delete(w.producers, a.Client)
	}
}

func (w *world) newProducer(a Produce) producer {
	node := w.names.next(a.Client)
	if a.SDK {
		return w.newSDKProducer(node)
	}
	if proxy := w.someProxy(a.Proxy); proxy != nil {
		return w.newBareProducer(node, proxy)
	}
	return nil
}

func (w *world) messages(a Produce) []outgoing {
	partitions := w.kafka.partitions(a.Topic)
	messages := make([]outgoing, a.Count)
	for i := range messages {
		m := outgoing{topic: a.Topic, value: tap.Value(w.token(a.Client), a.Size)}
		if a.Keys > 0 {
			m.key = fmt.Appendf(nil, "key-%d", w.random.IntN(a.Keys))
		}
		if a.Explicit && partitions > 0 {
			n := int32(w.random.IntN(partitions))
			m.partition = &n
		}
		messages[i] = m
	}
	return messages
}

// token returns one that no other message has.
func (w *world) token(client string) string {
	w.tokens++
	return client + "." + strconv.Itoa(w.tokens)
}

// bareProducer is a client of the stubs, with one stream.
type bareProducer struct {
	name   string
	client messageproxyv1.MessageProxyClient
	conn   *grpc.ClientConn
	random *rand.Rand // of the plan's goroutine

	ctx      context.Context
	cancel   context.CancelFunc
	requests *queue[*messageproxyv1.ProduceRequest]
	deaf     chan struct{} // closed: it doesn't read any more
	opened   atomic.Bool   // it has a stream
	done     chan struct{}

	sequence uint64
	isDeaf   bool
}

func (w *world) newBareProducer(name string, proxy *proxy) producer {
	client, conn, err := w.connect(name, name, proxy)
	if err != nil {
		w.violate("simulation-world", "connecting %s: %v", name, err)
		return nil
	}
	p := &bareProducer{
		name: name, client: client, conn: conn, random: random(w.plan.Seed, name),
		requests: newQueue[*messageproxyv1.ProduceRequest](), deaf: make(chan struct{}), done: make(chan struct{}),
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	go p.run()
	return p
}

func (p *bareProducer) node() string              { return p.name }
func (p *bareProducer) finished() <-chan struct{} { return p.done }

// produce queues requests of random sizes.
func (p *bareProducer) produce(messages []outgoing) {
	for len(messages) > 0 {
		n := 1 + p.random.IntN(len(messages))
		request := &messageproxyv1.ProduceRequest{}
		for _, m := range messages[:n] {
			p.sequence++
			request.Messages = append(request.Messages, &messageproxyv1.OutgoingMessage{
				Sequence: p.sequence, Topic: m.topic, Partition: m.partition, Key: m.key, Value: m.value,
			})
		}
		p.requests.put(request)
		messages = messages[n:]
	}
}

func (p *bareProducer) end(how EndOfProducer) {
	switch how {
	case StopReading:
		if !p.isDeaf {
			p.isDeaf = true
			close(p.deaf)
		}
	case Cancel:
		p.cancel()
	default:
		p.requests.close()
	}
}

// run opens the stream, sends, and waits until the stream has ended.
func (p *bareProducer) run() {
	defer close(p.done)
	defer func() { _ = p.conn.Close() }()
	defer p.cancel()
	stream, err := p.client.Produce(p.ctx)
	if err != nil {
		return
	}
	p.opened.Store(true)
	received := make(chan struct{})
	go func() {
		defer close(received)
		defer p.requests.close()
		p.receive(stream)
	}()
	for request := range p.requests.all(p.ctx) {
		if stream.Send(request) != nil {
			break
		}
	}
	_ = stream.CloseSend()
	<-received
}

func (p *bareProducer) receive(stream grpc.BidiStreamingClient[messageproxyv1.ProduceRequest, messageproxyv1.ProduceResponse]) {
	for {
		if isClosed(p.deaf) {
			<-p.ctx.Done()
		}
		if _, err := stream.Recv(); err != nil {
			return
		}
	}
}
