package heavy_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// BenchmarkCostOf measures what clients that do nothing cost a server: its memory,
// by the kernel's account, for each. One operation is one client.
//
//	go test -run '^$' -bench CostOf -benchtime 200x ./heavy
func BenchmarkCostOf(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("memory is read from /proc")
	}
	open := func(b *testing.B, subscription func(i int) string) {
		k := startCluster(b)
		k.createTopic(b, "orders", 8)
		p := startProcess(b, k.Brokers(), 10<<30, "--max-subscriptions=100000")
		subscribe(b.Context(), b, p.addr, "first", "orders")
		before := p.atRest()
		clients := 0
		for b.Loop() {
			subscribe(b.Context(), b, p.addr, subscription(clients), "orders")
			clients++
		}
		b.ReportMetric(float64(p.atRest()-before)/float64(clients)/kib, "KiB/client")
	}
	b.Run("a stream", func(b *testing.B) { open(b, func(int) string { return "first" }) })
	b.Run("a subscription", func(b *testing.B) { open(b, func(i int) string { return fmt.Sprint("billing-", i) }) })
}

// atRest is the memory that a process has when that has stayed the same for a second.
func (p *process) atRest() int64 {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	last := p.memory().now
	for same := 0; same < 10; same++ {
		<-ticker.C
		if now := p.memory().now; now != last {
			last, same = now, 0
		}
	}
	return last
}

// BenchmarkGoroutinesOf counts the goroutines of both ends, and of the embedded
// Kafka, for each subscription: the client's are 2 or 3 of them, Kafka's 4.
func BenchmarkGoroutinesOf(b *testing.B) {
	s := newScene(b, nil)
	s.createTopic(b, "orders", 8)
	client, _ := dial(b, s.addr)
	before := s.settledBaseline().goroutines
	clients := 0
	for b.Loop() {
		stream, err := client.Consume(b.Context())
		if err == nil {
			err = stream.Send(subscribeRequest(fmt.Sprint("billing-", clients), "orders"))
		}
		if err == nil {
			_, err = stream.Recv()
		}
		if err != nil {
			b.Fatal(err)
		}
		clients++
	}
	b.ReportMetric(float64(s.settledBaseline().goroutines-before)/float64(clients), "goroutines/client")
}
