package membroker_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/broker/brokertest"
	"github.com/messageproxy/messageproxy/broker/brokertest/membroker"
)

const tooLarge = 2 << 20

// harness can do everything to a broker.
func harness(opts membroker.Options) brokertest.Harness {
	opts.MaxMessageBytes = tooLarge - 1
	h := brokertest.Harness{Open: func(t brokertest.T) brokertest.Backend { return open(t, opts) }}
	if opts.OvershootWindow {
		h.Overshoot = func(int) int { return opts.FetchMessages }
	}
	return h
}

func open(t brokertest.T, opts membroker.Options) brokertest.Backend {
	b := membroker.New(opts)
	must := func(err error) {
		if err != nil {
			t.Errorf("%v", err)
		}
	}
	t.Cleanup(func() { must(b.Close()) })
	return brokertest.Backend{
		Broker:      b,
		CreateTopic: func(_ brokertest.T, topic string, n int) { must(b.CreateTopic(topic, n)) },
		TooLarge:    tooLarge,
		DeleteTopic: func(_ brokertest.T, topic string) { must(b.DeleteTopic(topic)) },
		AddPartitions: func(_ brokertest.T, topic string, total int) {
			must(b.AddPartitions(topic, total))
		},
		DeleteBefore: func(_ brokertest.T, tp broker.TopicPartition, position uint64) {
			must(b.DeleteBefore(tp, position))
		},
		SetReachable: func(_ brokertest.T, reachable bool) { b.SetReachable(reachable) },
		FailAcks: func(_ brokertest.T, subscription string, fail bool) {
			if !fail {
				b.FailAcks(subscription, nil)
				return
			}
			b.FailAcks(subscription, &broker.Error{Code: broker.CodeUnavailable, Partition: broker.AnyPartition, Retryable: true})
		},
		LoseProduceAnswers: func(_ brokertest.T, lose bool) {
			if !lose {
				b.HealProduce()
				return
			}
			b.LoseProduceAnswers(true)
		},
		LosePartition: func(_ brokertest.T, subscription string, tp broker.TopicPartition) {
			b.Lose(subscription, tp)
			b.GiveBack(subscription, tp)
		},
		BreakConsumers: func(_ brokertest.T, subscription string) {
			b.BreakConsumers(subscription, &broker.Error{Code: broker.CodePermissionDenied, Partition: broker.AnyPartition})
		},
	}
}

func TestConformance(t *testing.T) {
	brokertest.Run(t, harness(membroker.Options{}))
}

// TestConformanceOfVariants takes no time: each check runs in a bubble.
func TestConformanceOfVariants(t *testing.T) {
	for name, opts := range map[string]membroker.Options{
		"prefix ACKs, late":  {PrefixAcks: true, AckDelay: 20 * time.Millisecond},
		"single ACKs, late":  {AckDelay: 20 * time.Millisecond},
		"overshooting":       {OvershootWindow: true, FetchMessages: 37},
		"small fetches":      {FetchMessages: 3, FetchBytes: 10},
		"no features at all": {Without: broker.Features{ExplicitPartition: true, StartLatest: true, SharedSubscriptions: true}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, check := range brokertest.Checks() {
				t.Run(check.Name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { check.Run(t, harness(opts)) })
				})
			}
		})
	}
}
