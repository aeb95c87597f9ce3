package load

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/grpc"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

// quiet is how long no client must be told anything for partitions to be at rest.
const quiet = time.Second

// RebalanceSpec says how many clients share how many partitions.
type RebalanceSpec struct {
	Kafka        []string `json:"kafka"`
	Target       string   `json:"target"`
	Topic        string   `json:"topic"`
	Subscription string   `json:"subscription"`
	Partitions   int      `json:"partitions"`
	Clients      int      `json:"clients"`
	// Leavers is how many leave at once.
	Leavers int           `json:"leavers"`
	Timeout time.Duration `json:"timeout"`
}

// Move is a change of the clients, and what it did.
type Move struct {
	What string `json:"what"`
	// Seconds is the time until the last client was told its partitions.
	Seconds float64 `json:"seconds"`
	// Moved is how many partitions changed their owner, Least how many had to.
	Moved int `json:"moved"`
	Least int `json:"least"`
}

// Rebalance has all clients join, one more join, and some leave. Before that it has a
// client of Kafka's alone take all partitions: the proxy has to do as much.
func Rebalance(ctx context.Context, spec RebalanceSpec) ([]Move, error) {
	ctx, cancel := context.WithTimeout(ctx, spec.Timeout)
	defer cancel()
	m := &members{spec: spec, owner: make([]int, spec.Partitions), partitions: map[int][]int32{}, changed: make(chan struct{}, 1)}
	for p := range m.owner {
		m.owner[p] = nobody
	}
	defer m.close()
	steps := []struct {
		what   string
		least  func() int
		change func() error
	}{
		{fmt.Sprintf("%d clients join", spec.Clients), func() int { return spec.Partitions }, func() error { return m.join(ctx, spec.Clients) }},
		{"one more joins", func() int { return spec.Partitions / (spec.Clients + 1) }, func() error { return m.join(ctx, 1) }},
		{fmt.Sprintf("%d leave at once", spec.Leavers), func() int { return m.owned(spec.Leavers) }, func() error { return m.leave(spec.Leavers) }},
	}
	direct, err := joinDirectly(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("a direct client: %w", err)
	}
	moves := []Move{direct}
	for _, step := range steps {
		least, before, start := step.least(), m.owners(), time.Now()
		if err := step.change(); err != nil {
			return nil, fmt.Errorf("%s: %w", step.what, err)
		}
		last, err := m.rest(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", step.what, err)
		}
		moves = append(moves, Move{What: step.what, Seconds: last.Sub(start).Seconds(), Moved: moved(before, m.owners()), Least: least})
	}
	return moves, nil
}

// joinDirectly has one client of a group of its own get all partitions.
func joinDirectly(ctx context.Context, spec RebalanceSpec) (Move, error) {
	assigned := make(chan int, 100)
	start := time.Now()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(spec.Kafka...), kgo.ConsumerGroup(spec.Subscription+"-direct"), kgo.ConsumeTopics(spec.Topic),
		kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
			assigned <- len(partitions[spec.Topic])
		}),
	)
	if err != nil {
		return Move{}, err
	}
	defer client.Close()
	for all := 0; all < spec.Partitions; {
		select {
		case n := <-assigned:
			all += n
		case <-ctx.Done():
			return Move{}, fmt.Errorf("it got %d of %d partitions: %w", all, spec.Partitions, ctx.Err())
		}
	}
	return Move{What: "one direct client joins", Seconds: time.Since(start).Seconds(), Moved: spec.Partitions, Least: spec.Partitions}, nil
}

const nobody = -1

// moved is how many partitions have another owner.
func moved(before, after []int) (n int) {
	for p := range before {
		if before[p] != after[p] {
			n++
		}
	}
	return n
}

// members are the clients, numbered in the order in which they joined.
type members struct {
	spec        RebalanceSpec
	connections []*grpc.ClientConn
	cancels     []context.CancelFunc // of each client's stream
	gone        int                  // the clients with lower numbers have left
	readers     sync.WaitGroup
	changed     chan struct{}

	mu         sync.Mutex
	partitions map[int][]int32 // what each client was told last
	owner      []int           // of each partition, when all was at rest last
	last       time.Time       // when a client was told something
	failed     error
}

func (m *members) join(ctx context.Context, n int) error {
	for range n {
		number := len(m.cancels)
		if number/StreamsPerConnection == len(m.connections) {
			conn, err := connect(m.spec.Target)
			if err != nil {
				return err
			}
			m.connections = append(m.connections, conn)
		}
		ctx, cancel := context.WithCancel(ctx)
		m.cancels = append(m.cancels, cancel)
		client := messageproxyv1.NewMessageProxyClient(m.connections[len(m.connections)-1])
		stream, err := subscribe(ctx, client, m.spec.Subscription, m.spec.Topic)
		if err != nil {
			return err
		}
		m.readers.Go(func() { m.read(ctx, number, stream) })
	}
	return nil
}

// read takes note of what a client is told.
func (m *members) read(ctx context.Context, number int, stream consumeStream) {
	for {
		response, err := stream.Recv()
		// A Kafka that has just made very many partitions may be in trouble for a while:
		// that is part of the time that it takes.
		if problem := problemIn(response); err == nil && problem != nil && response.GetError() == nil {
			err = fmt.Errorf("the server says: %v", problem)
		}
		if ctx.Err() != nil {
			return
		}
		m.told(number, response, err)
		if err != nil {
			return
		}
	}
}

func (m *members) told(number int, response *messageproxyv1.ConsumeResponse, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if assignment := response.GetAssignment(); err == nil && assignment != nil {
		partitions := make([]int32, 0, len(assignment.GetPartitions()))
		for _, partition := range assignment.GetPartitions() {
			partitions = append(partitions, partition.GetPartition())
		}
		m.partitions[number] = partitions
		m.last = time.Now()
	}
	m.failed = errors.Join(m.failed, err)
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// leave ends the streams of the clients that joined first.
func (m *members) leave(n int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for ; n > 0; n-- {
		m.cancels[m.gone]()
		delete(m.partitions, m.gone)
		m.gone++
	}
	return nil
}

// owned is how many partitions the next to leave have.
func (m *members) owned(leavers int) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for number := m.gone; number < m.gone+leavers; number++ {
		n += len(m.partitions[number])
	}
	return n
}

func (m *members) owners() []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]int(nil), m.owner...)
}

// rest waits until every partition has one owner, nobody has two more than another,
// and nobody was told anything for a while. It returns when somebody last was.
func (m *members) rest(ctx context.Context) (time.Time, error) {
	for {
		atRest, wait, err := m.look()
		if atRest || err != nil {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.last, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-m.changed:
		case <-timer.C:
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("the partitions are not at rest: %s", m.describe())
		}
		timer.Stop()
	}
}

func (m *members) look() (atRest bool, wait time.Duration, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failed != nil {
		return false, 0, m.failed
	}
	if wait := quiet - time.Since(m.last); wait > 0 {
		return false, wait, nil
	}
	owner, ok := m.shareLocked()
	if ok {
		m.owner = owner
	}
	return ok, quiet, nil
}

// shareLocked returns the owners, and reports whether the partitions are all owned
// and shared evenly.
func (m *members) shareLocked() (owner []int, ok bool) {
	owner = make([]int, m.spec.Partitions)
	for p := range owner {
		owner[p] = nobody
	}
	least, most, count := math.MaxInt, 0, 0
	for number, partitions := range m.partitions {
		least, most = min(least, len(partitions)), max(most, len(partitions))
		for _, p := range partitions {
			if owner[p] != nobody {
				return owner, false
			}
			owner[p] = number
			count++
		}
	}
	return owner, len(m.partitions) == len(m.cancels)-m.gone && count == m.spec.Partitions && most-least <= 1
}

func (m *members) describe() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	count := 0
	for _, partitions := range m.partitions {
		count += len(partitions)
	}
	return fmt.Sprintf("%d of %d clients were told of %d of %d partitions", len(m.partitions), len(m.cancels)-m.gone, count, m.spec.Partitions)
}

func (m *members) close() {
	for _, cancel := range m.cancels {
		cancel()
	}
	for _, connection := range m.connections {
		_ = connection.Close() // there is nothing more to learn from it
	}
	m.readers.Wait()
}
