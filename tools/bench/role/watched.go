package role

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	_ "net/http/pprof" // what a watched proxy is for
	"os"
	"runtime"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	kafka "github.com/messageproxy/messageproxy/broker-kafka"
	"github.com/messageproxy/messageproxy/server"
	"github.com/messageproxy/messageproxy/server/memory"
	"github.com/messageproxy/messageproxy/tools/bench/process"
)

// WatchedOptions configure a watched proxy.
type WatchedOptions struct {
	Kafka []string
	// Contention has mutexes and blocking profiled, which costs some speed.
	Contention bool
}

// Watched is a proxy that can be looked into. It is composed as the command does it,
// and is not what throughput is measured with.
type Watched struct {
	*process.Server
	debug string // where it serves HTTP
}

// Fetched counts, by partition, the messages that came from Kafka.
type Fetched struct {
	// Messages is how many came, those that came again included, and those that the
	// client skipped because it had them already.
	Messages map[int32]int64 `json:"messages"`
	// Next is the offset after the last that came, and so how many different ones
	// came of a topic that is read from its beginning.
	Next map[int32]int64 `json:"next"`
}

func newFetched() Fetched {
	return Fetched{Messages: map[int32]int64{}, Next: map[int32]int64{}}
}

// StartWatched starts a watched proxy.
func StartWatched(ctx context.Context, options WatchedOptions) (*Watched, error) {
	started, err := startServer(ctx, "watched", options)
	if err != nil {
		return nil, err
	}
	w := &Watched{Server: started}
	w.Address, w.debug, _ = strings.Cut(started.Address, " ")
	return w, nil
}

// Fetched returns what came from Kafka so far.
func (w *Watched) Fetched(ctx context.Context) (Fetched, error) {
	var fetched Fetched
	err := w.get(ctx, "/fetched", func(body io.Reader) error { return json.NewDecoder(body).Decode(&fetched) })
	return fetched, err
}

// Profile writes a profile of net/http/pprof to a file, such as "allocs", or
// "profile?seconds=3" for the processor.
func (w *Watched) Profile(ctx context.Context, profile, name string) error {
	return w.get(ctx, "/debug/pprof/"+profile, func(body io.Reader) error {
		file, err := os.Create(name)
		if err != nil {
			return err
		}
		_, err = io.Copy(file, body)
		return errors.Join(err, file.Close())
	})
}

func (w *Watched) get(ctx context.Context, path string, take func(io.Reader) error) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.debug+path, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // read-only
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, response.Status)
	}
	return take(response.Body)
}

func playWatched(ctx context.Context, text []byte, stdin io.Reader, stdout io.Writer) error {
	var options WatchedOptions
	if err := json.Unmarshal(text, &options); err != nil {
		return err
	}
	if options.Contention {
		runtime.SetMutexProfileFraction(10)
		runtime.SetBlockProfileRate(10_000)
	}
	memory.FitBuffers()
	memory.AllowGarbage()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, stdin) // until it ends
		stop()
	}()
	counter := &fetchCounter{fetched: newFetched()}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	broker, err := kafka.New(kafka.Options{
		Brokers: options.Kafka, Logger: log, ClientOptions: []kgo.Opt{kgo.WithHooks(counter)},
	})
	if err != nil {
		return err
	}
	return errors.Join(serveWatched(ctx, broker, log, counter, stdout), broker.Close())
}

func serveWatched(ctx context.Context, broker *kafka.Broker, log *slog.Logger, counter *fetchCounter, stdout io.Writer) error {
	config := server.DefaultConfig()
	config.Logger = log
	proxy, err := server.New(broker, config)
	if err != nil {
		return err
	}
	debug, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	http.Handle("GET /fetched", counter)
	web := &http.Server{}
	go func() { _ = web.Serve(debug) }()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, web.Close())
	}
	fmt.Fprintln(stdout, listening+listener.Addr().String()+" "+debug.Addr().String())
	return errors.Join(proxy.Serve(ctx, listener), web.Close())
}

// fetchCounter is a hook of Kafka's client. It serves what it counts as JSON.
type fetchCounter struct {
	mu      sync.Mutex
	fetched Fetched
}

var (
	_ kgo.HookFetchBatchRead      = (*fetchCounter)(nil)
	_ kgo.HookFetchRecordBuffered = (*fetchCounter)(nil)
)

// OnFetchBatchRead is called for each batch that came.
func (c *fetchCounter) OnFetchBatchRead(_ kgo.BrokerMetadata, _ string, partition int32, batch kgo.FetchBatchMetrics) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fetched.Messages[partition] += int64(batch.NumRecords)
}

// OnFetchRecordBuffered is called for each message that the client takes out of one.
func (c *fetchCounter) OnFetchRecordBuffered(record *kgo.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fetched.Next[record.Partition] = max(c.fetched.Next[record.Partition], record.Offset+1)
}

// ServeHTTP writes what was counted.
func (c *fetchCounter) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = json.NewEncoder(w).Encode(c.fetched) // fails when the reader has gone
}
