package brokertest_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/broker/brokertest"
	"github.com/messageproxy/messageproxy/broker/brokertest/membroker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is a T that notes failures instead of failing the test.
type recorder struct {
	ctx context.Context

	mu       sync.Mutex
	failures []string
	cleanups []func()
}

func (r *recorder) Helper()                  {}
func (r *recorder) Logf(string, ...any)      {}
func (r *recorder) Context() context.Context { return r.ctx }

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

// run runs a check, which may end its goroutine, and what it has to clean up.
func (r *recorder) run(check brokertest.Check, h brokertest.Harness) {
	inGoroutine(func() { check.Run(r, h) })
	for len(r.cleanups) > 0 {
		last := r.cleanups[len(r.cleanups)-1]
		r.cleanups = r.cleanups[:len(r.cleanups)-1]
		inGoroutine(last)
	}
}

func inGoroutine(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

// mutant is a backend that breaks one rule: membroker, with wrapping.
type mutant struct {
	rule string
	// check is the check that has to notice.
	check string

	broker   func(broker.Broker) broker.Broker
	producer func(broker.Producer) broker.Producer
	consumer func(broker.Consumer) broker.Consumer
	options  func(*broker.ConsumerOptions)
}

// mutantBroker applies a mutant to what a broker opens.
type mutantBroker struct {
	broker.Broker
	mutant
}

func (b mutantBroker) NewProducer(ctx context.Context, opts broker.ProducerOptions) (broker.Producer, error) {
	p, err := b.Broker.NewProducer(ctx, opts)
	if err != nil || b.producer == nil {
		return p, err
	}
	return b.producer(p), nil
}

func (b mutantBroker) NewConsumer(ctx context.Context, opts broker.ConsumerOptions) (broker.Consumer, error) {
	if b.options != nil {
		b.options(&opts)
	}
	c, err := b.Broker.NewConsumer(ctx, opts)
	if err != nil || b.consumer == nil {
		return c, err
	}
	return b.consumer(c), nil
}

func (m mutant) wrap(b broker.Broker) broker.Broker {
	if m.broker != nil {
		b = m.broker(b)
	}
	return mutantBroker{b, m}
}

// TestSuiteNoticesBrokenRules runs, for each broken rule, the check that is about
// it, on a backend that breaks it, and expects the check to fail; and on one that
// doesn't, and expects it to pass.
func TestSuiteNoticesBrokenRules(t *testing.T) {
	checks := map[string]brokertest.Check{}
	for _, check := range brokertest.Checks() {
		checks[check.Name] = check
	}
	for _, m := range mutants() {
		t.Run(m.check+"/"+m.rule, func(t *testing.T) {
			check, ok := checks[m.check]
			require.True(t, ok, "no such check")
			synctest.Test(t, func(t *testing.T) {
				sound := &recorder{ctx: t.Context()}
				sound.run(check, harness(func(b broker.Broker) broker.Broker { return b }))
				require.Empty(t, sound.failures, "a backend that keeps the rule")
				broken := &recorder{ctx: t.Context()}
				broken.run(check, harness(m.wrap))
				require.NotEmpty(t, broken.failures, "a backend that breaks the rule")
				t.Logf("noticed: %s", broken.failures[0])
			})
		})
	}
}

// harness opens membroker as wrap changes it.
func harness(wrap func(broker.Broker) broker.Broker) brokertest.Harness {
	return brokertest.Harness{Open: func(t brokertest.T) brokertest.Backend {
		b := membroker.New(membroker.Options{MaxMessageBytes: 1 << 20})
		must := func(err error) {
			if err != nil {
				t.Errorf("%v", err)
			}
		}
		t.Cleanup(func() { must(b.Close()) })
		trouble := func(fail bool) *broker.Error {
			if !fail {
				return nil
			}
			return &broker.Error{Code: broker.CodeUnavailable, Partition: broker.AnyPartition, Retryable: true}
		}
		return brokertest.Backend{
			Broker:        wrap(b),
			TooLarge:      2 << 20,
			CreateTopic:   func(_ brokertest.T, topic string, n int) { must(b.CreateTopic(topic, n)) },
			DeleteTopic:   func(_ brokertest.T, topic string) { must(b.DeleteTopic(topic)) },
			AddPartitions: func(_ brokertest.T, topic string, n int) { must(b.AddPartitions(topic, n)) },
			DeleteBefore: func(_ brokertest.T, tp broker.TopicPartition, position uint64) {
				must(b.DeleteBefore(tp, position))
			},
			SetReachable: func(_ brokertest.T, reachable bool) { b.SetReachable(reachable) },
			FailAcks:     func(_ brokertest.T, s string, fail bool) { b.FailAcks(s, trouble(fail)) },
			LoseProduceAnswers: func(_ brokertest.T, lose bool) {
				b.HealProduce()
				if lose {
					b.LoseProduceAnswers(true)
				}
			},
			LosePartition: func(_ brokertest.T, s string, tp broker.TopicPartition) {
				b.Lose(s, tp)
				b.GiveBack(s, tp)
			},
			BreakConsumers: func(_ brokertest.T, s string) {
				b.BreakConsumers(s, &broker.Error{Code: broker.CodePermissionDenied, Partition: broker.AnyPartition})
			},
		}
	}}
}
