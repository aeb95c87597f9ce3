package heavy_test

import (
	"context"
	"log/slog"
	"net"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"

	kafka "github.com/messageproxy/messageproxy/broker-kafka"
	"github.com/messageproxy/messageproxy/server"
)

// scene is a server in this process, in front of an embedded Kafka, where a test can
// look at everything.
type scene struct {
	*cluster
	t       testing.TB
	server  *server.Server
	backend *kafka.Broker
	addr    string
	stop    func()
}

func newScene(t testing.TB, change func(*server.Config)) *scene {
	t.Helper()
	s := &scene{cluster: startCluster(t), t: t}
	cfg := server.DefaultConfig()
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.Consume.EvictionGrace = time.Second
	if change != nil {
		change(&cfg)
	}
	var err error
	s.backend, err = kafka.New(kafka.Options{Brokers: s.Brokers(), CommitInterval: 500 * time.Millisecond})
	require.NoError(t, err)
	s.server, err = server.New(s.backend, cfg)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.addr = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(ctx, listener) }()
	stopped := false
	s.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(t, <-served)
			require.NoError(t, s.backend.Close())
		}
	}
	t.Cleanup(s.stop)
	return s
}

// baseline is what there is when nobody attacks.
type baseline struct {
	stats      server.Stats
	goroutines int
}

func (s *scene) baseline() baseline {
	stats := s.server.Stats()
	// They come and go with the work of whoever isn't hostile.
	stats.BufferedBytes, stats.OutstandingMessages, stats.OutstandingBytes = 0, 0, 0
	return baseline{stats, runtime.NumGoroutine()}
}

// goroutineSlack is how many goroutines may come and go by themselves: a Kafka
// client's request, a timer that runs.
const goroutineSlack = 25

// returnsTo waits until there is nothing left of an attack: no stream, connection or
// subscription, no goroutine, and no member of the attack's groups in Kafka.
func (s *scene) returnsTo(b baseline, groupPrefix string) {
	s.t.Helper()
	during := s.baseline()
	start := time.Now()
	s.until("everything is as before", func() bool {
		now := s.baseline()
		return now.stats == b.stats && now.goroutines <= b.goroutines+goroutineSlack
	}, func() {
		now := s.baseline()
		s.t.Logf("before %+v, now %+v", b, now)
		if now.goroutines > b.goroutines+goroutineSlack {
			var stacks strings.Builder
			_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1) // a builder takes everything
			s.t.Log(stacks.String()[:min(stacks.Len(), 8000)])
		}
	})
	members := 0
	s.until("the groups are empty", func() bool {
		members = s.members(groupPrefix)
		return members == 0
	}, func() { s.t.Logf("%d members are left", members) })
	now := s.baseline()
	s.t.Logf("goroutines: before %d, under attack %d, after %d; streams: %d, %d, %d; subscriptions: %d, %d, %d; connections: %d, %d, %d; Kafka members after: %d; it took %v",
		b.goroutines, during.goroutines, now.goroutines, b.stats.Streams, during.stats.Streams, now.stats.Streams,
		b.stats.Subscriptions, during.stats.Subscriptions, now.stats.Subscriptions,
		b.stats.Connections, during.stats.Connections, now.stats.Connections, members, time.Since(start).Round(time.Millisecond))
}

// members is how many members Kafka has in groups whose names begin so.
func (s *scene) members(prefix string) int {
	groups, err := s.admin.DescribeGroups(context.Background())
	require.NoError(s.t, err)
	n := 0
	for name, g := range groups {
		if strings.HasPrefix(name, prefix) {
			n += len(g.Members)
		}
	}
	return n
}

// until waits for a state that nothing announces.
func (s *scene) until(what string, reached func() bool, explain func()) {
	s.t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); !reached(); <-ticker.C {
		if time.Now().After(deadline) {
			explain()
			require.FailNow(s.t, "waited in vain", what)
		}
	}
}

// committed is the sum of a group's positions in a topic.
func committed(t testing.TB, admin *kadm.Client, group, topic string) int64 {
	offsets, err := admin.FetchOffsets(context.Background(), group)
	require.NoError(t, err)
	sum := int64(0)
	offsets.Each(func(o kadm.OffsetResponse) {
		if o.Topic == topic && o.At > 0 {
			sum += o.At
		}
	})
	return sum
}
