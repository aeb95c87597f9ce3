//go:build synctests

package simulation

import (
	"context"
	"time"

	"github.com/messageproxy/messageproxy/integration/history/tap"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// sdkProducer is a client of the SDK that produces. What it tells its
// application is judged by judgeSDK.
type sdkProducer struct {
	world    *world
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
	p := &sdkProducer{world: w, name: name, client: client, messages: newQueue[outgoing](), done: make(chan struct{})}
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
		told := p.world.sdk.produced(p.name, tap.Token(m.value))
		p.client.ProduceAsync(p.ctx, &messageproxy.Message{Topic: m.topic, Key: m.key, Value: m.value, ToPartition: m.partition}, told)
	}
	ctx, cancel := context.WithTimeout(p.ctx, flushPatience)
	defer cancel()
	_ = p.client.Flush(ctx)
	_ = p.client.Close()
}
