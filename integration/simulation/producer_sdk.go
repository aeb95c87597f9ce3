//go:build synctests

package simulation

import (
	"context"
	"time"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// sdkProducer is a client of the SDK that produces. What it is told of messages
// that were never on the wire, history doesn't know.
type sdkProducer struct {
	name     string
	client   *messageproxy.Client
	ctx      context.Context
	cancel   context.CancelFunc
	messages *queue[outgoing]
	done     chan struct{}
}

// flushPatience is how long a client waits for its answers before it closes.
const flushPatience = 2 * time.Minute

func (w *world) newSDKProducer(name string) producer {
	client, err := w.sdkClient(name, name)
	if err != nil {
		w.violate("simulation-world", "making %s: %v", name, err)
		return nil
	}
	p := &sdkProducer{name: name, client: client, messages: newQueue[outgoing](), done: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	go p.run()
	return p
}

func (p *sdkProducer) node() string              { return p.name }
func (p *sdkProducer) finished() <-chan struct{} { return p.done }

func (p *sdkProducer) produce(messages []outgoing) {
	for _, m := range messages {
		p.messages.put(m)
	}
}

func (p *sdkProducer) end(how EndOfProducer) {
	switch how {
	case StopReading: // it always reads
	case Cancel:
		p.cancel()
	default:
		p.messages.close()
	}
}

func (p *sdkProducer) run() {
	defer close(p.done)
	defer p.cancel()
	for m := range p.messages.all(p.ctx) {
		p.client.ProduceAsync(p.ctx, &messageproxy.Message{Topic: m.topic, Key: m.key, Value: m.value, ToPartition: m.partition}, nil)
	}
	ctx, cancel := context.WithTimeout(p.ctx, flushPatience)
	defer cancel()
	_ = p.client.Flush(ctx)
	_ = p.client.Close()
}
