// Package report holds what a benchmark found, compares it with the targets, and
// renders it.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/messageproxy/messageproxy/tools/bench/load"
	"github.com/messageproxy/messageproxy/tools/bench/stats"
)

// The paths.
const (
	Produce = "produce"
	Consume = "consume"
)

// The variants of a comparison.
const (
	DirectUnlimited = "direct, own buffer"
	Direct          = "direct"
	Bare            = "bare stream"
	Stubs           = "proxy, stubs"
	SDK             = "proxy, Go SDK"
	BareDirect      = "bare stream, then direct"
)

// The processes that are measured.
const (
	Client = load.Self
	Server = "server"
	Kafka  = "kafka"
)

// Report is everything that a run found.
type Report struct {
	Environment Environment   `json:"environment"`
	Rounds      int           `json:"rounds"`
	Scale       float64       `json:"scale"`
	Started     time.Time     `json:"started"`
	Took        time.Duration `json:"took_ns"`

	Targets    []Target     `json:"targets"`
	Throughput []Throughput `json:"throughput,omitempty"`
	// OtherThroughput is that of combinations which no target is about.
	OtherThroughput []Throughput `json:"other_throughput,omitempty"`
	Floors          []Floor      `json:"floors,omitempty"`
	Latency         []Latency    `json:"latency,omitempty"`
	Memory          []Memory     `json:"memory,omitempty"`
	Slow            []Slow       `json:"slow,omitempty"`
	Rebalance       []Rebalance  `json:"rebalance,omitempty"`
	SDKs            []SDKCost    `json:"sdks,omitempty"`
	Profiles        []Profile    `json:"profiles,omitempty"`
}

// Throughput compares ways to move the same messages.
type Throughput struct {
	Path       string `json:"path"`
	ValueBytes int    `json:"value_bytes"`
	Partitions int    `json:"partitions"`
	Clients    int    `json:"clients"`
	// Limit is what the protocol and Kafka leave possible on this machine, in messages
	// a second: see stats.Limit. It is made of Direct and Bare.
	Limit stats.Summary `json:"limit"`
	// LimitOwnBuffer is the same with DirectUnlimited in Direct's place, which has more
	// messages outstanding than a client of the proxy. Nil where that wasn't measured.
	LimitOwnBuffer *stats.Summary `json:"limit_own_buffer,omitempty"`
	Variants       []Variant      `json:"variants"`
}

// Variant is one of those ways.
type Variant struct {
	Name string `json:"name"`
	// Rate is in messages a second.
	Rate stats.Summary `json:"rate"`
	// OfLimit is the rate as a part of the limit, measured in the same round. Nil
	// for what the limit is made of.
	OfLimit *stats.Summary `json:"of_limit,omitempty"`
	// CPU is the processor time in seconds for a million messages, by process.
	CPU map[string]stats.Summary `json:"cpu_seconds_per_million"`
	// Peak is the most memory in bytes that a process ever had, by process.
	Peak map[string]int64 `json:"peak_bytes"`
	// Repeated is how many messages were received more than once.
	Repeated int64 `json:"repeated,omitempty"`
}

// Name says what is compared.
func (t Throughput) Name() string {
	return fmt.Sprintf("%s %s, %s, %s", t.Path, size(t.ValueBytes), count(t.Partitions, "partition"), count(t.Clients, "client"))
}

// Add adds the measurements of a variant, one a round.
func (t *Throughput) Add(name string, results []load.Result) {
	v := Variant{Name: name, CPU: map[string]stats.Summary{}, Peak: map[string]int64{}}
	rates, cpu := make([]float64, len(results)), map[string][]float64{}
	for i, result := range results {
		rates[i] = result.Rate()
		for process := range result.CPU {
			cpu[process] = append(cpu[process], result.PerMillion(process))
			v.Peak[process] = max(v.Peak[process], result.Peak[process])
		}
		v.Repeated += result.Repeated
	}
	v.Rate = stats.Summarize(rates)
	for process, samples := range cpu {
		v.CPU[process] = stats.Summarize(samples)
	}
	t.Variants = append(t.Variants, v)
}

// Compare finds the limit, and what the proxy reaches of it, round by round: so what
// slows the machine down for a while doesn't count.
func (t *Throughput) Compare() {
	direct, bare := t.Variant(Direct), t.Variant(Bare)
	if direct == nil || bare == nil {
		return
	}
	t.Limit = pairwise(direct.Rate, bare.Rate, stats.Limit)
	if unlimited := t.Variant(DirectUnlimited); unlimited != nil {
		limit := pairwise(unlimited.Rate, bare.Rate, stats.Limit)
		t.LimitOwnBuffer = &limit
	}
	for i := range t.Variants {
		if v := &t.Variants[i]; v.Name == Stubs || v.Name == SDK {
			of := Ratio(v.Rate, t.Limit)
			v.OfLimit = &of
		}
	}
}

// Variant returns the variant with this name, or nil.
func (t *Throughput) Variant(name string) *Variant {
	for i := range t.Variants {
		if t.Variants[i].Name == name {
			return &t.Variants[i]
		}
	}
	return nil
}

// Ratio is a as a part of b, round by round.
func Ratio(a, b stats.Summary) stats.Summary {
	return pairwise(a, b, func(a, b float64) float64 {
		if b == 0 {
			return 0
		}
		return a / b
	})
}

func pairwise(a, b stats.Summary, combine func(a, b float64) float64) stats.Summary {
	samples := make([]float64, min(len(a.Samples), len(b.Samples)))
	for i := range samples {
		samples[i] = combine(a.Samples[i], b.Samples[i])
	}
	return stats.Summarize(samples)
}

// Finish ends a run: it notes how long it took, and looks at the targets.
func (r *Report) Finish() {
	r.Took = time.Since(r.Started)
	r.Floors = r.floors()
	r.Targets = r.targets()
}

// WriteJSON writes all of it.
func (r *Report) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

func size(bytes int) string {
	if bytes >= 1024 && bytes%1024 == 0 {
		return fmt.Sprintf("%d KiB", bytes/1024)
	}
	return fmt.Sprintf("%d B", bytes)
}

func count(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%s %ss", thousands(float64(n)), of)
}
