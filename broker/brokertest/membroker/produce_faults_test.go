package membroker_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/broker/brokertest/membroker"
)

var orders = broker.TopicPartition{Topic: "orders"}

// sender is a producer and the answers that a test has had from it.
type sender struct {
	broker.Producer

	mu      sync.Mutex
	answers []string // the error's code, or "stored"
}

// inBubble runs a test with a broker of one topic, "orders", with one partition.
func inBubble(t *testing.T, opts membroker.Options, test func(t *testing.T, b *membroker.Broker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if opts.Topics == nil {
			opts.Topics = map[string]int{"orders": 1}
		}
		b := membroker.New(opts)
		t.Cleanup(func() { require.NoError(t, b.Close()) })
		test(t, b)
	})
}

func openSender(t *testing.T, b *membroker.Broker, opts broker.ProducerOptions) *sender {
	t.Helper()
	p, err := b.NewProducer(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return &sender{Producer: p}
}

func (s *sender) send(values ...string) {
	for _, m := range outgoing("orders", 0, values...) {
		s.ProduceAsync(m, func(_ broker.MessageReceipt, err error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if err == nil {
				s.answers = append(s.answers, "stored")
				return
			}
			s.answers = append(s.answers, broker.CodeOf(err).String())
		})
	}
	synctest.Wait()
}

func (s *sender) take() []string {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	answers := s.answers
	s.answers = nil
	return answers
}

func logged(b *membroker.Broker, tp broker.TopicPartition) (values []string) {
	for _, m := range b.Log(tp) {
		values = append(values, string(m.Value))
	}
	return values
}

func TestAnswersThatAreLostComeOnceHealed(t *testing.T) {
	inBubble(t, membroker.Options{}, func(t *testing.T, b *membroker.Broker) {
		s := openSender(t, b, broker.ProducerOptions{})
		b.LoseProduceAnswers(true)
		s.send("a", "b")
		time.Sleep(time.Hour) // whatever the timeout
		require.Empty(t, s.take())
		require.Equal(t, []string{"a", "b"}, logged(b, orders))
		b.HealProduce()
		require.Equal(t, []string{"stored", "stored"}, s.take())
		s.send("c")
		require.Equal(t, []string{"a", "b", "c"}, logged(b, orders))
	})
}

func TestMessagesThatAreLostAreSentAgainWhileTheirTimeLasts(t *testing.T) {
	inBubble(t, membroker.Options{}, func(t *testing.T, b *membroker.Broker) {
		s := openSender(t, b, broker.ProducerOptions{Timeout: 10 * time.Second})
		b.LoseProduceAnswers(false)
		s.send("too old")
		time.Sleep(6 * time.Second)
		s.send("in time")
		time.Sleep(6 * time.Second)
		require.Empty(t, s.take())
		require.Empty(t, logged(b, orders))
		b.HealProduce()
		require.Equal(t, []string{"broker unavailable", "stored"}, s.take())
		require.Equal(t, []string{"in time"}, logged(b, orders))
	})
}

func TestCloseDoesNotKnowWhatBecameOfLostAnswers(t *testing.T) {
	for _, stored := range []bool{true, false} {
		inBubble(t, membroker.Options{}, func(t *testing.T, b *membroker.Broker) {
			s := openSender(t, b, broker.ProducerOptions{})
			b.LoseProduceAnswers(stored)
			s.send("a")
			require.NoError(t, s.Close())
			require.Equal(t, []string{"unknown outcome"}, s.take())
		})
	}
}

func TestUnknownOutcomes(t *testing.T) {
	inBubble(t, membroker.Options{}, func(t *testing.T, b *membroker.Broker) {
		s := openSender(t, b, broker.ProducerOptions{})
		b.AnswerUnknown(true)
		s.send("a")
		b.AnswerUnknown(false)
		s.send("b")
		b.HealProduce()
		s.send("c")
		require.Equal(t, []string{"unknown outcome", "unknown outcome", "stored"}, s.take())
		require.Equal(t, []string{"a", "c"}, logged(b, orders))
	})
}

func TestProduceFailsWithTheGivenErrorForTheGivenMessages(t *testing.T) {
	inBubble(t, membroker.Options{}, func(t *testing.T, b *membroker.Broker) {
		s := openSender(t, b, broker.ProducerOptions{})
		b.FailProduce(func(m *broker.OutgoingMessage) error {
			if string(m.Value) == "bad" {
				return &broker.Error{Code: broker.CodePermissionDenied, Topic: m.Topic, Partition: broker.AnyPartition}
			}
			return nil
		})
		s.send("good", "bad", "good")
		b.HealProduce()
		s.send("bad")
		require.Equal(t, []string{"stored", "permission denied", "stored", "stored"}, s.take())
		require.Equal(t, []string{"good", "good", "bad"}, logged(b, orders))
	})
}

func TestMessagesWaitForAnUnreachableBrokerUntilTheirTimeIsUp(t *testing.T) {
	inBubble(t, membroker.Options{}, func(t *testing.T, b *membroker.Broker) {
		s := openSender(t, b, broker.ProducerOptions{Timeout: 10 * time.Second})
		b.SetReachable(false)
		s.send("a")
		time.Sleep(5 * time.Second)
		s.send("b")
		time.Sleep(5*time.Second - time.Millisecond)
		require.Empty(t, s.take())
		time.Sleep(2 * time.Millisecond)
		require.Equal(t, []string{"broker unavailable"}, s.take(), "the first alone")
		b.SetReachable(true)
		require.Equal(t, []string{"stored"}, s.take())
		require.Equal(t, []string{"b"}, logged(b, orders))
	})
}

func TestCloseAnswersWhatCertainlyIsNotStored(t *testing.T) {
	inBubble(t, membroker.Options{}, func(t *testing.T, b *membroker.Broker) {
		s := openSender(t, b, broker.ProducerOptions{})
		b.SetReachable(false)
		s.send("a")
		require.NoError(t, s.Close())
		require.Equal(t, []string{"closed"}, s.take())
	})
}

func TestTopicsAreCreatedWhereThatIsConfigured(t *testing.T) {
	inBubble(t, membroker.Options{Topics: map[string]int{}, CreateTopics: true, DefaultPartitions: 3}, func(t *testing.T, b *membroker.Broker) {
		s := openSender(t, b, broker.ProducerOptions{})
		s.send("a")
		require.Equal(t, []string{"stored"}, s.take())
		m := join(t, b, broker.ConsumerOptions{Subscription: "s", Topics: []string{"orders", "invoices"}})
		m.poll()
		require.Equal(t, "broker.EventAssigned{Partitions:[invoices/0 invoices/1 invoices/2 orders/0 orders/1 orders/2]} a ", m.take())
	})
}
