package report

import (
	"fmt"
	"io"

	"github.com/messageproxy/messageproxy/tools/bench/load"
	"github.com/messageproxy/messageproxy/tools/bench/stats"
)

// samples gathers the measurements of something by the name of what was measured, in
// the order in which the names first came.
type samples struct {
	names []string
	of    map[string][]float64
}

func (s *samples) add(name string, sample float64) {
	if s.of == nil {
		s.of = map[string][]float64{}
	}
	if s.of[name] == nil {
		s.names = append(s.names, name)
	}
	s.of[name] = append(s.of[name], sample)
}

func (s *samples) summarize() map[string]stats.Summary {
	summaries := make(map[string]stats.Summary, len(s.names))
	for _, name := range s.names {
		summaries[name] = stats.Summarize(s.of[name])
	}
	return summaries
}

// Memory is what idle streams cost.
type Memory struct {
	Path                 string `json:"path"`
	Streams              int    `json:"streams"`
	StreamsPerConnection int    `json:"streams_per_connection"`
	// PerStream is the resident memory in bytes that each stream but the first added,
	// its part of the connection included; Resident the memory with all streams, and
	// Peak the most on the way there. By server.
	PerStream map[string]stats.Summary `json:"per_stream_bytes"`
	Resident  map[string]stats.Summary `json:"resident_bytes"`
	Peak      map[string]stats.Summary `json:"peak_bytes"`

	perStream, resident, peak samples
}

// Add adds a measurement of a server.
func (m *Memory) Add(name string, result load.IdleResult) {
	m.perStream.add(name, float64(result.Settled-result.First)/float64(max(m.Streams-1, 1)))
	m.resident.add(name, float64(result.Settled))
	m.peak.add(name, float64(result.Peak))
}

// Finish is called when all measurements are added.
func (m *Memory) Finish() {
	m.PerStream, m.Resident, m.Peak = m.perStream.summarize(), m.resident.summarize(), m.peak.summarize()
}

func (r *Report) writeMemory(w io.Writer) {
	if len(r.Memory) == 0 {
		return
	}
	fmt.Fprintf(w, "## Memory of idle streams\n\n")
	t := table{head: []string{"", "KiB a stream", "spread", "memory", "peak", "bare server: KiB a stream"}}
	for _, m := range r.Memory {
		proxy := m.PerStream[Stubs]
		t.add(count(m.Streams, "idle stream")+", "+m.Path, kibibytes(proxy.Median), percent(proxy.Spread),
			mebibytes(int64(m.Resident[Stubs].Median)), mebibytes(int64(m.Peak[Stubs].Median)), kibibytes(m.PerStream[Bare].Median))
	}
	t.write(w)
	fmt.Fprintln(w)
}

func kibibytes(bytes float64) string { return fmt.Sprintf("%.1f", bytes/1024) }

// Latency is the time from when messages are due until a consumer has them.
type Latency struct {
	Rate       int `json:"rate"`
	ValueBytes int `json:"value_bytes"`
	Partitions int `json:"partitions"`
	// The percentiles in milliseconds, by what moved the messages.
	P50  map[string]stats.Summary `json:"p50_ms"`
	P99  map[string]stats.Summary `json:"p99_ms"`
	P999 map[string]stats.Summary `json:"p999_ms"`
	Max  map[string]stats.Summary `json:"max_ms"`
	// Added is what the p50 has more than the direct one, in milliseconds, by what moved the
	// messages.
	Added map[string]stats.Summary `json:"p50_added_ms"`
	// Tail is the p99 as a multiple of the direct one, by what moved the messages.
	Tail map[string]stats.Summary `json:"p99_of_direct"`

	p50, p99, p999, max samples
}

// Add adds a measurement.
func (l *Latency) Add(name string, result load.LatencyResult) {
	l.p50.add(name, result.P50)
	l.p99.add(name, result.P99)
	l.p999.add(name, result.P999)
	l.max.add(name, result.Max)
}

// Finish is called when all measurements are added.
func (l *Latency) Finish() {
	l.P50, l.P99, l.P999, l.Max = l.p50.summarize(), l.p99.summarize(), l.p999.summarize(), l.max.summarize()
	l.Added, l.Tail = map[string]stats.Summary{}, map[string]stats.Summary{}
	for _, name := range latencyAdds {
		l.Added[name] = pairwise(l.P50[name], l.P50[Direct], func(all, direct float64) float64 { return all - direct })
		l.Tail[name] = Ratio(l.P99[name], l.P99[Direct])
	}
}

// latencyAdds are those that are compared with the direct client.
var latencyAdds = []string{Stubs, SDK, BareDirect}

func (r *Report) writeLatency(w io.Writer) {
	if len(r.Latency) == 0 {
		return
	}
	fmt.Fprintf(w, "## Latency\n\nFrom when a message is due until a consumer has it, in milliseconds.\n\n")
	t := table{head: []string{"", "p50", "spread", "p99", "spread", "p99.9", "spread", "most"}}
	for _, l := range r.Latency {
		for _, name := range append([]string{Direct}, latencyAdds...) {
			t.add(fmt.Sprintf("%s messages/s, %s", thousands(float64(l.Rate)), name),
				hundredths(l.P50[name]), percent(l.P50[name].Spread), hundredths(l.P99[name]), percent(l.P99[name].Spread),
				hundredths(l.P999[name]), percent(l.P999[name].Spread), hundredths(l.Max[name]))
		}
	}
	t.write(w)
	fmt.Fprint(w, addedText)
	t = table{head: []string{"more than direct"}}
	for _, name := range latencyAdds {
		t.head = append(t.head, name, "spread")
	}
	for _, l := range r.Latency {
		p50, p99 := []string{thousands(float64(l.Rate)) + " messages/s, p50, ms"}, []string{thousands(float64(l.Rate)) + " messages/s, p99, ×"}
		for _, name := range latencyAdds {
			p50 = append(p50, hundredths(l.Added[name]), percent(l.Added[name].Spread))
			p99 = append(p99, hundredths(l.Tail[name]), percent(l.Tail[name].Spread))
		}
		t.add(p50...)
		t.add(p99...)
	}
	t.write(w)
	fmt.Fprintln(w)
}

const addedText = `
The last one is the floor: a message goes to a bare server and back, and then to Kafka and back by a direct client, so
over as many hops as one that goes through the proxy, with nothing of a proxy on the way.

What that adds to the direct client's p50, in milliseconds, and how many times its p99 it is:

`

func hundredths(s stats.Summary) string { return fmt.Sprintf("%.2f", s.Median) }

// Slow is what the proxy fetched for a consumer that was slower than Kafka.
type Slow struct {
	ValueBytes int `json:"value_bytes"`
	Partitions int `json:"partitions"`
	Rate       int `json:"rate"`
	// Received and ACKed are the consumer's messages.
	Received int64 `json:"received"`
	ACKed    int64 `json:"acked"`
	Repeated int64 `json:"repeated"`
	// Fetched is how many messages came from Kafka, Different how many of them were
	// not the same: those that were delivered, and those that are still to be.
	Fetched   int64 `json:"fetched"`
	Different int64 `json:"different"`
	// MostOutstanding is the most that any partition had fetched and not committed.
	MostOutstanding int64 `json:"most_outstanding"`
}

// Add adds what came of it: the counts of what was fetched are by partition.
func (s *Slow) Add(result load.SlowResult, fetched, next map[int32]int64) {
	s.Received, s.ACKed, s.Repeated = result.Received, result.ACKed, result.Repeated
	for _, n := range fetched {
		s.Fetched += n
	}
	for _, n := range next {
		s.Different += n
	}
}

// FetchedPerMessage is 1 if nothing was fetched twice.
func (s Slow) FetchedPerMessage() float64 {
	if s.Different == 0 {
		return 0
	}
	return float64(s.Fetched) / float64(s.Different)
}

func (r *Report) writeSlow(w io.Writer) {
	if len(r.Slow) == 0 {
		return
	}
	fmt.Fprintf(w, "## A slow consumer of a long backlog\n\n")
	t := table{head: []string{"", "ACKed", "fetched", "different ones", "fetched for each", "most outstanding of a partition"}}
	for _, s := range r.Slow {
		t.add(fmt.Sprintf("%s, %s messages/s, %s", size(s.ValueBytes), thousands(float64(s.Rate)), count(s.Partitions, "partition")),
			thousands(float64(s.ACKed)), thousands(float64(s.Fetched)), thousands(float64(s.Different)),
			fmt.Sprintf("%.3f", s.FetchedPerMessage()), thousands(float64(s.MostOutstanding)))
	}
	t.write(w)
	fmt.Fprintln(w)
}

// Rebalance is what happens when clients come and go.
type Rebalance struct {
	Clients    int `json:"clients"`
	Partitions int `json:"partitions"`
	// Moves are in the order in which they were made.
	Moves []Moves `json:"moves"`

	seconds, moved samples
	least          map[string]int
}

// Moves are the same change of the clients, made several times.
type Moves struct {
	What string `json:"what"`
	// Seconds is until the last client was told its partitions.
	Seconds stats.Summary `json:"seconds"`
	// Moved is how many partitions changed their owner, Least how many had to.
	Moved stats.Summary `json:"moved"`
	Least int           `json:"least"`
}

// Add adds a measurement.
func (b *Rebalance) Add(move load.Move) {
	b.seconds.add(move.What, move.Seconds)
	b.moved.add(move.What, float64(move.Moved))
	if b.least == nil {
		b.least = map[string]int{}
	}
	b.least[move.What] = move.Least
}

// Finish is called when all measurements are added.
func (b *Rebalance) Finish() {
	seconds, moved := b.seconds.summarize(), b.moved.summarize()
	for _, what := range b.seconds.names {
		b.Moves = append(b.Moves, Moves{What: what, Seconds: seconds[what], Moved: moved[what], Least: b.least[what]})
	}
}

func (r *Report) writeRebalance(w io.Writer) {
	for _, b := range r.Rebalance {
		fmt.Fprintf(w, "## Clients come and go: %s\n\n", count(b.Partitions, "partition"))
		t := table{head: []string{"", "seconds", "spread", "partitions moved", "at least"}}
		for _, m := range b.Moves {
			t.add(m.What, fmt.Sprintf("%.2f", m.Seconds.Median), percent(m.Seconds.Spread), thousands(m.Moved.Median), thousands(float64(m.Least)))
		}
		t.write(w)
		fmt.Fprintln(w)
	}
}
