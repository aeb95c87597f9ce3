package heavy_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/integration/history"
	"github.com/messageproxy/messageproxy/integration/history/tap"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// bystander is somebody whose messages must neither be lost nor change their order,
// whatever others do: a producer and two consumers, with the SDK.
type bystander struct {
	*scene
	recorder          history.Recorder
	tap               *tap.Tap
	clients           []*messageproxy.Client
	produced, handled atomic.Int64
	stopProducing     context.CancelFunc
	stopConsuming     context.CancelFunc
	producing         sync.WaitGroup
	consuming         sync.WaitGroup
}

const (
	bystanderTopic        = "payments"
	bystanderSubscription = "ledger"
	bystanderPartitions   = 4
)

func (s *scene) bystander() *bystander {
	b := &bystander{scene: s}
	b.tap = tap.New(&b.recorder)
	s.createTopic(s.t, bystanderTopic, bystanderPartitions)
	produceCtx, stopProducing := context.WithCancel(context.Background())
	consumeCtx, stopConsuming := context.WithCancel(context.Background())
	b.stopProducing, b.stopConsuming = stopProducing, stopConsuming
	s.t.Cleanup(func() {
		stopProducing()
		stopConsuming()
		b.producing.Wait()
		b.consuming.Wait()
	})
	producer := b.client("producer")
	b.producing.Go(func() { b.produce(produceCtx, producer) })
	for i := range 2 {
		name := fmt.Sprint("consumer-", i)
		client := b.client(name)
		handler := b.tap.Handler(name, func(context.Context, *messageproxy.Message) error {
			b.handled.Add(1)
			return nil
		})
		b.consuming.Go(func() {
			if err := client.Subscription(bystanderSubscription, bystanderTopic).Consume(consumeCtx, handler); err != nil && !errors.Is(err, context.Canceled) {
				s.t.Errorf("the bystander can't consume: %v", err)
			}
		})
	}
	b.goesOn()
	return b
}

func (b *bystander) client(name string) *messageproxy.Client {
	client, err := messageproxy.NewClient(b.addr, messageproxy.WithClientName(name),
		messageproxy.WithDialOptions(b.tap.ClientOptions(name, "proxy")...))
	require.NoError(b.t, err)
	b.clients = append(b.clients, client)
	return client
}

// produce sends some messages every few milliseconds.
func (b *bystander) produce(ctx context.Context, client *messageproxy.Client) {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for n := int64(0); ctx.Err() == nil; <-ticker.C {
		for range 4 {
			partition := int32(n % bystanderPartitions)
			client.ProduceAsync(context.Background(), &messageproxy.Message{
				Topic: bystanderTopic, ToPartition: &partition, Value: tap.Value(fmt.Sprint("payment-", n), 100),
			}, func(_ messageproxy.Receipt, err error) {
				if err != nil {
					b.t.Errorf("the bystander's message is not stored: %v", err)
				}
			})
			n++
		}
		b.produced.Store(n)
	}
	if err := client.Flush(context.Background()); err != nil {
		b.t.Errorf("the bystander's messages are not answered: %v", err)
	}
}

// goesOn waits until some more of its messages have been handled.
func (b *bystander) goesOn() {
	b.t.Helper()
	want := b.handled.Load() + 100
	b.until("the bystander's messages are handled", func() bool { return b.handled.Load() >= want }, func() {
		b.t.Logf("%d are handled of %d", b.handled.Load(), b.produced.Load())
	})
}

// check stops it when everything is committed, and checks what it saw.
func (b *bystander) check() {
	b.t.Helper()
	b.recorder.Record(history.Healed{})
	b.goesOn()
	b.stopProducing()
	b.producing.Wait()
	b.until("everything is committed", func() bool {
		return committed(b.t, b.admin, bystanderSubscription, bystanderTopic) >= b.produced.Load()
	}, func() {
		b.t.Logf("%d of %d", committed(b.t, b.admin, bystanderSubscription, bystanderTopic), b.produced.Load())
	})
	b.stopConsuming()
	b.consuming.Wait()
	ctx := context.Background()
	require.NoError(b.t, b.tap.ReadPositions(ctx, b.admin, bystanderSubscription))
	require.NoError(b.t, b.tap.ReadLogs(ctx, b.cluster.client, bystanderTopic))
	for _, client := range b.clients {
		require.NoError(b.t, client.Close())
	}
	for _, v := range history.Check(b.recorder.Entries(), history.Rules{AckTimeout: time.Minute, Slack: 2 * time.Second, Settled: true}) {
		b.t.Error(v)
	}
	b.t.Logf("the bystander's %d messages were handled in order", b.produced.Load())
}

// underAttack runs attacks beside a bystander, one after the other. Each attack's
// subscriptions have names that begin with "hostile", and it leaves nothing open.
func underAttack(t *testing.T, s *scene, attacks map[string]func(t *testing.T)) {
	b := s.bystander()
	before := s.settledBaseline()
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) {
			handled := b.handled.Load()
			attack(t)
			t.Logf("meanwhile %d of the bystander's messages were handled", b.handled.Load()-handled)
		})
		s.returnsTo(before, "hostile")
		b.goesOn()
	}
	b.check()
}

// settledBaseline is the baseline once it has stayed the same for a while.
func (s *scene) settledBaseline() baseline {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	last := s.baseline()
	for same := 0; same < 10; same++ {
		<-ticker.C
		now := s.baseline()
		if now.stats != last.stats {
			same = 0
		}
		now.goroutines = max(now.goroutines, last.goroutines)
		last = now
	}
	return last
}
