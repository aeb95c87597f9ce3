package heavy_test

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

const (
	kib = 1 << 10
	mib = 1 << 20
)

var fullSize = flag.Bool("full", false, "the full number of clients everywhere, which takes minutes")

// settings are those of the servers whose memory is measured.
type settings struct{ buffered, outstanding int64 }

var small = settings{buffered: 64 * mib, outstanding: 64 * mib}

func (s settings) flags() []string {
	return []string{
		fmt.Sprint("--max-buffered-bytes=", s.buffered), fmt.Sprint("--max-outstanding-bytes=", s.outstanding),
		fmt.Sprint("--max-request-bytes=", maxRequest), fmt.Sprint("--max-message-bytes=", maxRequest/2),
		"--max-unacked-bytes=8MiB", "--ack-timeout=10m",
	}
}

// load is what clients make of a server.
type load struct {
	consumers, subscriptions, producers int64
	// large producers send requests as large as they may.
	large int64
}

const maxRequest = 4 * mib

// budget is the memory that docs/guarantees.md states.
func (s settings) budget(l load) int64 {
	return 64*mib +
		3*s.buffered + 2*min(64*mib, s.buffered/4) +
		3*s.outstanding +
		256*kib*(l.consumers+l.subscriptions) + mib*(l.producers+l.large) +
		2*maxRequest*l.large
}

// attack is a server under load.
type attack struct {
	*process
	budget int64
}

// beginAttack starts a server whose garbage collector knows the budget, less a tenth
// for what it doesn't manage.
func beginAttack(t *testing.T, k *cluster, s settings, l load) *attack {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("memory is read from /proc")
	}
	budget := s.budget(l)
	return &attack{startProcess(t, k.Brokers(), budget/10*9, s.flags()...), budget}
}

// measure waits until the server takes no more, which shows in its memory and in the
// attack's progress, and checks what it has taken.
func (a *attack) measure(what string, progress *atomic.Int64) {
	a.t.Helper()
	m := a.settled(progress)
	a.t.Logf("%s: memory %d MiB, at its peak %d MiB, of a budget of %d MiB", what, m.now/mib, m.peak/mib, a.budget/mib)
	require.LessOrEqual(a.t, m.peak, a.budget, "memory at its peak")
}

// settled samples the server's memory until its peak hasn't grown for a while, nor
// progress been made, or for as long as an attack needs on a slow machine.
func (a *attack) settled(progress *atomic.Int64) memory {
	const (
		pause  = 100 * time.Millisecond
		steady = 25
	)
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	last, done := a.memory(), progress.Load()
	deadline := time.Now().Add(patience / 10) // deaf producers go on for long: results are small
	for same := 0; same < steady && time.Now().Before(deadline); same++ {
		<-ticker.C
		m := a.memory()
		if now := progress.Load(); m.peak > last.peak+mib || now > done {
			same, done = 0, now
		}
		require.LessOrEqual(a.t, m.peak, 2*a.budget, "it is far beyond its budget already")
		last = m
	}
	return last
}

// inParallel does something so many times, some of them at once.
func inParallel(n int, do func(i int)) {
	var wg sync.WaitGroup
	turns := make(chan struct{}, 16)
	for i := range n {
		turns <- struct{}{}
		wg.Go(func() {
			do(i)
			<-turns
		})
	}
	wg.Wait()
}

// stall has a consumer hold what it gets: every second one doesn't even read.
func stall(i int, stream consumeStream, got *atomic.Int64) {
	if i%2 == 0 {
		return
	}
	go func() { // ends with the stream
		for {
			response, err := stream.Recv()
			if err != nil {
				return
			}
			for _, p := range response.GetBatch().GetPartitions() {
				got.Add(int64(len(p.GetMessages())))
			}
		}
	}()
}

// TestMemoryUnderStalledConsumers: 1,000 clients of one subscription, each with a
// partition full of messages, of which it ACKs none.
func TestMemoryUnderStalledConsumers(t *testing.T) {
	t.Run("large messages", func(t *testing.T) { underStalledConsumers(t, 1, mib) })
	// 70 of them make a frame that is small and still much larger than most.
	t.Run("small messages", func(t *testing.T) { underStalledConsumers(t, 70, kib) })
}

func underStalledConsumers(t *testing.T, messages, size int) {
	const clients = 1000
	k := startCluster(t)
	k.createTopic(t, "orders", clients)
	k.fill(t, "orders", clients, messages, size)
	a := beginAttack(t, k, small, load{consumers: clients, subscriptions: 1})
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	var got atomic.Int64
	inParallel(clients, func(i int) { stall(i, subscribe(ctx, t, a.addr, "billing", "orders"), &got) })
	a.measure(fmt.Sprintf("%d stalled consumers of one subscription", clients), &got)
	t.Logf("those that read have got %d messages of %d KiB", got.Load(), size/kib)

	leave()
	a.consumes("billing", "orders", clients*messages)
	a.measure("when they are gone and another consumer has got everything", &got)
}

// TestMemoryUnderStalledSubscriptions is the same with a subscription for each
// client, so that each fetches everything.
func TestMemoryUnderStalledSubscriptions(t *testing.T) {
	clients, partitions := 100, 8
	if *fullSize {
		clients = 1000
	}
	k := startCluster(t)
	k.createTopic(t, "orders", partitions)
	k.fill(t, "orders", partitions, 8, mib)
	a := beginAttack(t, k, small, load{consumers: int64(clients), subscriptions: int64(clients)})
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	var got atomic.Int64
	inParallel(clients, func(i int) {
		stall(i, subscribe(ctx, t, a.addr, fmt.Sprint("billing-", i), "orders"), &got)
	})
	a.measure(fmt.Sprintf("%d stalled consumers of as many subscriptions", clients), &got)
	t.Logf("those that read have got %d messages of 1024 KiB", got.Load())

	leave()
	a.consumes("shipping", "orders", partitions*8)
	a.measure("when they are gone and another subscription has got everything", &got)
}

// consumes checks that a subscription gets so many messages.
func (a *attack) consumes(subscription, topic string, messages int) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	defer cancel()
	stream := subscribe(ctx, a.t, a.addr, subscription, topic)
	got := make(map[string]bool)
	for len(got) < messages {
		response, err := stream.Recv()
		require.NoError(a.t, err, "after %d of %d messages", len(got), messages)
		var ids []string
		for _, p := range response.GetBatch().GetPartitions() {
			for _, m := range p.GetMessages() {
				got[m.GetId()] = true
				ids = append(ids, m.GetId())
			}
		}
		if len(ids) > 0 {
			require.NoError(a.t, stream.Send(ackOf(ids...)))
		}
	}
}

// TestMemoryUnderDeafProducers: 1,000 clients that never read their results, each
// pushing as much as the server takes, in requests such as the SDK sends.
func TestMemoryUnderDeafProducers(t *testing.T) {
	const clients = 1000
	underDeafProducers(t, clients, load{producers: clients}, requestOf(4, make([]byte, 64*kib-100)))
}

// TestMemoryUnderLargeRequests is the same with requests as large as they may be.
func TestMemoryUnderLargeRequests(t *testing.T) {
	const clients = 100
	underDeafProducers(t, clients, load{large: clients}, requestOf(2, make([]byte, maxRequest/2-100)))
}

func underDeafProducers(t *testing.T, clients int, l load, request *messageproxyv1.ProduceRequest) {
	k := startCluster(t)
	k.createTopic(t, "orders", 8)
	a := beginAttack(t, k, small, l)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	var requests atomic.Int64
	a.deafen(ctx, clients, request, &requests)
	a.measure(fmt.Sprintf("%d producers that never read", clients), &requests)
	t.Logf("they have sent %d requests of %d KiB", requests.Load(), proto.Size(request)/kib)

	produceOne(t, a.addr)
	leave()
	produceOne(t, a.addr)
	a.measure("when they are gone", &requests)
}

// deafen begins so many streams that push requests for as long as the server takes any,
// and read no result.
func (a *attack) deafen(ctx context.Context, clients int, request *messageproxyv1.ProduceRequest, requests *atomic.Int64) {
	a.t.Helper()
	tiny := requestOf(999, []byte("x")) // one short of the window: of the next request one message fills it, the others wait
	streams := make([]produceStream, clients)
	inParallel(clients, func(i int) {
		streams[i] = openProduce(ctx, a.t, a.addr)
		require.NoError(a.t, streams[i].Send(tiny))
	})
	for _, stream := range streams {
		go func() { // blocks when the server takes no more, and ends with the stream
			for stream.Send(request) == nil {
				requests.Add(1)
			}
		}()
	}
}

// TestMemoryUnderBoth: 1,000 consumers that stall, and 1,000 producers that never read,
// at one server.
func TestMemoryUnderBoth(t *testing.T) {
	const clients = 1000
	k := startCluster(t)
	k.createTopic(t, "orders", clients)
	k.fill(t, "orders", clients, 1, mib)
	a := beginAttack(t, k, small, load{consumers: clients, subscriptions: 1, producers: clients})
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	var progress atomic.Int64
	inParallel(clients, func(i int) { stall(i, subscribe(ctx, t, a.addr, "billing", "orders"), &progress) })
	a.deafen(ctx, clients, requestOf(4, make([]byte, 64*kib-100)), &progress)
	a.measure(fmt.Sprintf("%d stalled consumers, and as many producers that never read", clients), &progress)

	produceOne(t, a.addr)
	leave()
	a.consumes("billing", "orders", clients)
	a.measure("when they are gone and another consumer has got as many messages", &progress)
}

func requestOf(n int, payload []byte) *messageproxyv1.ProduceRequest {
	request := &messageproxyv1.ProduceRequest{}
	for i := range n {
		request.Messages = append(request.Messages, &messageproxyv1.OutgoingMessage{
			Sequence: uint64(i + 1), Topic: "orders", Value: payload,
		})
	}
	return request
}

// produceOne checks that another client isn't held up.
func produceOne(t testing.TB, addr string) {
	t.Helper()
	client, _ := dial(t, addr)
	produces(t, client, 1)
}
