package integration_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/messageproxy/messageproxy/integration/history"
	"github.com/messageproxy/messageproxy/integration/history/tap"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// Partitions are added to a topic while it is consumed. They are found, and read from
// their first message, by a subscription that began at the latest message too.
func TestPartitionsAreAddedUnderLoad(t *testing.T) {
	t.Parallel()
	const before, added, n = 3, 3, 50
	c := startChaos(t, sharedKafka.Brokers(), before)
	latest := c.another()
	c.rules.StartLatest = map[string]bool{latest.subscription: true}
	one := c.startProxy("one", func(cfg *proxyConfig) { // a minute otherwise
		cfg.kafka.ClientOptions = append(cfg.kafka.ClientOptions, kgo.MetadataMaxAge(2*time.Second))
	})
	c.addLoad(one.addr)
	handled := latest.consumeFromTheLatest(one.addr, before)
	c.awaitFlow()

	_, err := c.admin.kadm.UpdatePartitions(c.admin.ctx(), before+added, c.topic)
	require.NoError(t, err)
	want := make(map[int32][]string)
	producer := c.connect(c.name("sdk-producer"), one.addr)
	for p := int32(before); p < before+added; p++ {
		for range n {
			want[p] = append(want[p], c.produceTo(producer, p))
		}
	}
	handled.awaitInOrder(t, want)
	c.history.Record(history.Expected{Subscription: latest.subscription, Partitions: c.partitions()})
	c.settle(latest)
}

// produceTo stores a message in a partition that brokers may not know yet, and
// returns its token.
func (c *chaos) produceTo(client *messageproxy.Client, partition int32) (token string) {
	c.t.Helper()
	eventually(c.t, patience, func() bool {
		token = newToken()
		_, err := client.Produce(c.t.Context(), &messageproxy.Message{
			Topic: c.topic, ToPartition: &partition, Value: tap.Value(token, smallestValue),
		})
		return err == nil
	}, "the partition takes messages")
	return token
}

// tokens are those of the messages that a client has handled, of each partition in
// order.
type tokens struct {
	client string

	mu      sync.Mutex
	of      map[int32][]string
	changed chan struct{} // closed and replaced at each change
}

// consumeFromTheLatest starts a consumer with the SDK that begins at the latest, and
// returns when it has its partitions.
func (c *chaos) consumeFromTheLatest(addr string, partitions int) *tokens {
	c.t.Helper()
	name := c.name("sdk-consumer")
	seen := &tokens{client: name, of: make(map[int32][]string), changed: make(chan struct{})}
	handler := c.tap.Handler(name, func(_ context.Context, m *messageproxy.Message) error {
		seen.note(m)
		return nil
	})
	w := consume(c.t, c.connect(name, addr), c.subscription, []string{c.topic}, handler, messageproxy.WithStart(messageproxy.StartLatest))
	w.awaitAssigned(patience, partitions)
	return seen
}

func (s *tokens) note(m *messageproxy.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of[m.Partition] = append(s.of[m.Partition], tap.Token(m.Value))
	close(s.changed)
	s.changed = make(chan struct{})
}

// awaitInOrder waits until these have been handled, in this order and once.
func (s *tokens) awaitInOrder(t *testing.T, want map[int32][]string) {
	t.Helper()
	var missing int
	await(t, patience, func() (met bool, changed <-chan struct{}) {
		missing, changed = s.missing(want)
		return missing == 0, changed
	}, func() string { return fmt.Sprintf("for %d messages", missing) })
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, tokens := range want {
		others := func(token string) bool { return !slices.Contains(tokens, token) }
		require.Equal(t, tokens, slices.DeleteFunc(slices.Clone(s.of[p]), others), "partition %d", p)
	}
}

func (s *tokens) missing(want map[int32][]string) (n int, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, tokens := range want {
		for _, token := range tokens {
			if !slices.Contains(s.of[p], token) {
				n++
			}
		}
	}
	return n, s.changed
}
