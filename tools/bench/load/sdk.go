package load

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

func sdkProduce(ctx context.Context, spec Spec, m *meter) (counts, error) {
	err := onSDKClients(ctx, spec, func(ctx context.Context, client *messageproxy.Client, number int) error {
		return sdkProducer(ctx, client, spec, number, m)
	})
	return counts{done: m.total.Load()}, err
}

// onSDKClients runs so many clients, each with its own connection, with the SDK's
// defaults but for the messages that may be outstanding.
func onSDKClients(ctx context.Context, spec Spec, do func(context.Context, *messageproxy.Client, int) error) error {
	work, ctx := errgroup.WithContext(ctx)
	for number := range spec.Clients {
		work.Go(func() error {
			var options []messageproxy.Option
			if spec.Outstanding > 0 {
				options = append(options, messageproxy.WithMaxOutstanding(spec.Outstanding, 64<<20))
			}
			client, err := messageproxy.NewClient(spec.Target, options...)
			if err != nil {
				return err
			}
			return errors.Join(do(ctx, client, number), client.Close())
		})
	}
	return work.Wait()
}

func sdkProducer(ctx context.Context, client *messageproxy.Client, spec Spec, number int, m *meter) error {
	values := newValues(spec.ValueBytes, uint64(number))
	var failed atomic.Pointer[error]
	stored := func(_ messageproxy.Receipt, err error) {
		if err != nil {
			failed.CompareAndSwap(nil, &err)
			return
		}
		m.add(1)
	}
	message := messageproxy.Message{Topic: spec.Topic} // it is copied
	for range spec.share(number) {
		message.Value = values.value()
		client.ProduceAsync(ctx, &message, stored)
		if failed.Load() != nil {
			break
		}
	}
	err := client.Flush(ctx)
	if refused := failed.Load(); refused != nil {
		err = errors.Join(fmt.Errorf("a message was not stored: %w", *refused), err)
	}
	return err
}

func sdkConsume(ctx context.Context, spec Spec, m *meter) (counts, error) {
	seen := newOrder(spec.Partitions, spec.ValueBytes)
	err := onSDKClients(ctx, spec, func(ctx context.Context, client *messageproxy.Client, _ int) error {
		consuming, stop := m.untilDone(ctx)
		defer stop()
		handle := func(_ context.Context, message *messageproxy.Message) error {
			isNew, err := seen.see(message.Partition, message.Value)
			if isNew {
				m.add(1)
			}
			return err
		}
		err := client.Subscription(spec.Subscription, spec.Topic).Consume(consuming, handle,
			messageproxy.WithAttempts(1, 0, 0))
		return errors.Join(err, ctx.Err())
	})
	return counts{done: m.total.Load(), repeated: seen.repeated.Load()}, err
}
