//go:build synctests

package simulation

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/messageproxy/messageproxy/integration/history"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// sdkConsumer is a client of the SDK that consumes. When Consume returns other than
// because it is to stop, it is called again.
type sdkConsumer struct {
	world  *world
	name   string
	action Consume
	client *messageproxy.Client
	*manners

	stop context.Context // ended in good order
	quit context.CancelFunc
	// abandoned: the client is closed with it.
	abandoned chan struct{}
	abandon   sync.Once
	done      chan struct{}

	mu     sync.Mutex
	random *rand.Rand
}

func (w *world) newSDKConsumer(name string, a Consume) consumer {
	client, err := w.sdkClient(name, name)
	if err != nil {
		w.violate("simulation-world", "making %s: %v", name, err)
		return nil
	}
	c := &sdkConsumer{
		world: w, name: name, action: a, client: client, manners: newManners(a.Manner, a.Delay),
		abandoned: make(chan struct{}), done: make(chan struct{}), random: random(w.plan.Seed, name),
	}
	c.stop, c.quit = context.WithCancel(context.Background())
	go c.run()
	return c
}

func (c *sdkConsumer) node() string              { return c.name }
func (c *sdkConsumer) subscription() string      { return c.action.Subscription }
func (c *sdkConsumer) finished() <-chan struct{} { return c.done }

func (c *sdkConsumer) behave(manner Manner, delay time.Duration) { c.set(manner, delay) }

func (c *sdkConsumer) healthy() bool {
	manner, _ := c.get()
	return manner == Fast && !isClosed(c.done)
}

// end stops it in good order, or closes its client as well.
func (c *sdkConsumer) end(how EndOfConsumer) {
	if how == Close {
		c.abandon.Do(func() { close(c.abandoned) })
	}
	c.quit()
	c.wake()
}

func (c *sdkConsumer) run() {
	defer close(c.done)
	defer func() { _ = c.client.Close() }()
	for n := 1; ; n++ {
		err := c.consume(c.name + "/" + strconv.Itoa(n))
		if c.stop.Err() != nil || errors.Is(err, messageproxy.ErrClosed) {
			return
		}
		if !sleep(c.stop, reconnectPause) {
			return
		}
	}
}

func (c *sdkConsumer) consume(call string) error {
	s := c.world.subscriptionNamed(c.action.Subscription)
	options := []messageproxy.ConsumeOption{
		messageproxy.WithMaxUnacked(c.action.Window), messageproxy.WithAckTimeout(c.action.AckTimeout),
		messageproxy.WithKeyWorkers(c.action.KeyWorkers),
	}
	if s.Latest {
		options = append(options, messageproxy.WithStart(messageproxy.StartLatest))
	}
	c.world.recorder.Record(history.Consuming{
		Client: call, Subscription: s.Name, Name: c.name, ByKey: c.action.KeyWorkers > 0,
	})
	return c.client.Subscription(s.Name, s.Topics...).Consume(c.stop, c.world.tap.Handler(call, c.handle), options...)
}

var errHandler = errors.New("the handler fails, as the plan has it")

// handle treats a message in the client's manner.
func (c *sdkConsumer) handle(ctx context.Context, m *messageproxy.Message) error {
	c.world.seen.add(m.ID)
	manner, delay := c.get()
	c.world.faults.add("SDK client "+string(manner), 1)
	switch manner {
	case Slow, Shuffled, Giant:
		if !sleep(ctx, delay) {
			return ctx.Err()
		}
	case Stubborn:
		time.Sleep(delay)
	case Stuck, Deaf, AllButOne:
		return c.standStill(ctx)
	case Failing:
		if c.draw(3) == 0 {
			return errHandler
		}
	}
	return nil
}

// standStill waits until the client has other manners.
func (c *sdkConsumer) standStill(ctx context.Context) error {
	for {
		if manner, _ := c.get(); manner != Stuck && manner != Deaf && manner != AllButOne {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.abandoned:
			return errHandler
		case <-time.After(time.Second):
		}
	}
}

func (c *sdkConsumer) draw(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.random.IntN(n)
}
