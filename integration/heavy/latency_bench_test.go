package heavy_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

// BenchmarkOneSlowClientAmongAHundred measures the time from a message's being
// produced to its being received by one of 99 quick clients of a subscription, in
// rounds with and without a 100th that holds all it may and ACKs nothing. Rounds
// with and without it alternate, so that what else the machine does falls on both.
//
// It reports the 99th percentile of each kind of round in milliseconds (with-ms,
// without-ms: the median over the rounds), their ratio, and the ratio of odd to even
// rounds without the slow client, which says how much of it is noise:
//
//	go test -run '^$' -bench SlowClient -benchtime 10x ./heavy
//
// One operation is a pair of rounds. The slow client has partitions of its own, as
// it has in any subscription, and those of the others are measured.
func BenchmarkOneSlowClientAmongAHundred(b *testing.B) {
	const clients = 100
	s := newScene(b, nil)
	s.createTopic(b, "orders", clients)
	quick := s.quickClients(b, clients-1)
	var with, without []float64
	for b.Loop() {
		without = append(without, quick.round(b))
		leave := s.slowClient(b, quick)
		with = append(with, quick.round(b))
		leave()
	}
	b.ReportMetric(median(with), "with-ms")
	b.ReportMetric(median(without), "without-ms")
	b.ReportMetric(median(with)/median(without), "ratio")
	b.ReportMetric(noise(without), "noise-ratio")
	b.ReportMetric(0, "ns/op") // a round takes as long as it is made
}

// quickClients ACK whatever they get at once.
type quickClients struct {
	*scene
	partitions int

	mu      sync.Mutex
	changed *sync.Cond
	owned   map[int][]int32 // partitions, by client
	latency []float64       // of the round's messages, in milliseconds
	others  int             // how many other messages have come, ever
}

func (s *scene) quickClients(b *testing.B, n int) *quickClients {
	q := &quickClients{scene: s, partitions: n + 1, owned: make(map[int][]int32)}
	q.changed = sync.NewCond(&q.mu)
	for i := range n {
		stream := subscribe(b.Context(), b, s.addr, "billing", "orders")
		go q.consume(i, stream) // ends with the stream
	}
	q.awaitPartitions(q.partitions)
	return q
}

func (q *quickClients) consume(i int, stream consumeStream) {
	for {
		response, err := stream.Recv()
		if err != nil {
			return
		}
		now := time.Now()
		if a := response.GetAssignment(); a != nil {
			q.assigned(i, a)
		}
		var ids []string
		for _, p := range response.GetBatch().GetPartitions() {
			for _, m := range p.GetMessages() {
				ids = append(ids, m.GetId())
				q.received(now, m)
			}
		}
		if len(ids) > 0 && stream.Send(ackOf(ids...)) != nil {
			return
		}
	}
}

func (q *quickClients) assigned(i int, a *messageproxyv1.Assignment) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.owned[i] = nil
	for _, p := range a.GetPartitions() {
		q.owned[i] = append(q.owned[i], p.GetPartition())
	}
	q.changed.Broadcast()
}

func (q *quickClients) received(now time.Time, m *messageproxyv1.Message) {
	produced, err := strconv.ParseInt(string(m.GetValue()), 10, 64)
	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil { // the slow client's
		q.others++
		q.changed.Broadcast()
		return
	}
	q.latency = append(q.latency, float64(now.UnixNano()-produced)/1e6)
	q.changed.Broadcast()
}

// awaitPartitions waits until the quick clients own so many, and returns them.
func (q *quickClients) awaitPartitions(n int) []int32 {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		var all []int32
		for _, owned := range q.owned {
			all = append(all, owned...)
		}
		slices.Sort(all)
		if all = slices.Compact(all); len(all) == n {
			return all
		}
		q.changed.Wait()
	}
}

func (q *quickClients) othersSoFar() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.others
}

// slowClient joins, gets a backlog of large messages, and holds it until it leaves.
func (s *scene) slowClient(b *testing.B, q *quickClients) (leave func()) {
	ctx, cancel := context.WithCancel(b.Context())
	stream := subscribe(ctx, b, s.addr, "billing", "orders")
	owned := q.awaitPartitions(q.partitions - 1)
	before := q.othersSoFar()
	its := int32(0)
	for ; slices.Contains(owned, its); its++ {
	}
	for range backlog {
		s.client.Produce(ctx, &kgo.Record{Topic: "orders", Partition: its, Value: make([]byte, 10*kib)}, nil)
	}
	require.NoError(b, s.client.Flush(ctx))
	response, err := stream.Recv()
	for ; err == nil && response.GetBatch() == nil; response, err = stream.Recv() {
	}
	require.NoError(b, err)
	return func() { // what it holds goes to the others, who ACK it
		cancel()
		q.awaitPartitions(q.partitions)
		q.mu.Lock()
		defer q.mu.Unlock()
		for q.others < before+backlog {
			q.changed.Wait()
		}
	}
}

// backlog is how many messages the slow client gets, and doesn't ACK.
const backlog = 1000

const (
	roundMessages = 2000
	roundPause    = time.Millisecond
)

// round produces messages at an even pace to the partitions of the quick clients,
// and returns the 99th percentile of their latency, in milliseconds.
func (q *quickClients) round(b *testing.B) float64 {
	q.mu.Lock()
	q.latency = nil
	var partitions []int32
	for _, owned := range q.owned {
		partitions = append(partitions, owned...)
	}
	q.mu.Unlock()
	ticker := time.NewTicker(roundPause)
	defer ticker.Stop()
	for i := range roundMessages {
		<-ticker.C
		value := fmt.Sprint(time.Now().UnixNano())
		q.client.Produce(b.Context(), &kgo.Record{Topic: "orders", Partition: partitions[i%len(partitions)], Value: []byte(value)}, nil)
	}
	require.NoError(b, q.client.Flush(b.Context()))
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.latency) < roundMessages {
		q.changed.Wait()
	}
	return percentile(q.latency, 0.99)
}

func percentile(of []float64, p float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[min(int(p*float64(len(sorted))), len(sorted)-1)]
}

func median(of []float64) float64 { return percentile(of, 0.5) }

// noise is the ratio of two halves of one kind of rounds.
func noise(rounds []float64) float64 {
	var halves [2][]float64
	for i, r := range rounds {
		halves[i%2] = append(halves[i%2], r)
	}
	if len(halves[1]) == 0 {
		return 1
	}
	return median(halves[0]) / median(halves[1])
}
