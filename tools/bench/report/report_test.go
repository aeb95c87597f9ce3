package report

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/tools/bench/load"
	"github.com/messageproxy/messageproxy/tools/bench/stats"
)

// result is a measurement of so many messages a second, for 10 seconds, with so much
// processor time of the server for a million.
func result(rate, perMillion float64) load.Result {
	messages := int64(10 * rate)
	return load.Result{
		Messages: messages, Seconds: 10,
		CPU:  map[string]float64{Client: 1, Server: perMillion * float64(messages) / 1e6},
		Peak: map[string]int64{Server: messages},
	}
}

// processorTime is a measurement of so many seconds for a million messages.
func processorTime(process string, perMillion float64) load.Result {
	return load.Result{Messages: 1e6, Seconds: 1, CPU: map[string]float64{process: perMillion}}
}

// results are those of variants, one a round.
func throughput(path string, valueBytes, partitions, clients int, variants map[string][]load.Result) Throughput {
	t := Throughput{Path: path, ValueBytes: valueBytes, Partitions: partitions, Clients: clients}
	for _, name := range []string{Direct, Bare, Stubs, SDK} {
		if variants[name] != nil {
			t.Add(name, variants[name])
		}
	}
	t.Compare()
	return t
}

func TestLimitAndRatiosAreThoseOfTheSameRound(t *testing.T) {
	// The machine is half as fast in the second round: no ratio may see it.
	compared := throughput(Produce, 100, 8, 1, map[string][]load.Result{
		Direct: {result(400, 1), result(200, 1)},
		Bare:   {result(400, 1), result(200, 1)},
		Stubs:  {result(160, 2), result(80, 4)},
		SDK:    {result(120, 2), result(60, 2)},
	})

	assert.Equal(t, []float64{200, 100}, compared.Limit.Samples)
	assert.InDelta(t, 0.8, compared.Variant(Stubs).OfLimit.Median, 1e-9)
	assert.InDelta(t, 0, compared.Variant(Stubs).OfLimit.Spread, 1e-9)
	assert.InDelta(t, 0.6, compared.Variant(SDK).OfLimit.Median, 1e-9)
	assert.Nil(t, compared.Variant(Direct).OfLimit)
	assert.Nil(t, compared.LimitOwnBuffer)
	compared.Add(DirectUnlimited, []load.Result{result(1200, 1), result(600, 1)})
	compared.Compare()
	assert.Equal(t, []float64{300, 150}, compared.LimitOwnBuffer.Samples)
	assert.Equal(t, []float64{200, 100}, compared.Limit.Samples, "it is judged by the same window")
	assert.Nil(t, compared.Variant("nobody"))
	assert.InDelta(t, 3, compared.Variant(Stubs).CPU[Server].Median, 1e-9)
	assert.EqualValues(t, 1600, compared.Variant(Stubs).Peak[Server], "the most of all rounds")
}

func TestThereIsNoLimitWithoutBothBaselines(t *testing.T) {
	compared := throughput(Produce, 100, 8, 1, map[string][]load.Result{Direct: {result(400, 1)}, Stubs: {result(160, 2)}})
	assert.Zero(t, compared.Limit)
	assert.Nil(t, compared.Variant(Stubs).OfLimit)
	r := Report{Throughput: []Throughput{compared}}
	assert.Empty(t, r.targets())
}

// fullReport has something of everything.
func fullReport() *Report {
	r := &Report{
		Environment: Environment{CPU: "A processor", Cores: 2, Memory: 8 << 30, System: "linux/amd64", Commit: "abc", Go: "go1", Kafka: "container"},
		Rounds:      1, Scale: 1, Started: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), Took: time.Minute,
	}
	for _, path := range []string{Produce, Consume} {
		for _, valueBytes := range []int{100, 1024} {
			r.Throughput = append(r.Throughput, throughput(path, valueBytes, 8, 1, map[string][]load.Result{
				Direct: {result(400_000, 1)}, Bare: {result(400_000, 1)}, Stubs: {result(160_000, 2)}, SDK: {result(120_000, 2)},
			}))
		}
		for clients, rate := range map[int]float64{8: 100_000, 64: 90_000} {
			r.Throughput = append(r.Throughput, throughput(path, 100, 64, clients, map[string][]load.Result{Stubs: {result(rate, 2)}}))
		}
	}
	for _, rate := range []int{1000, 20_000} {
		latency := Latency{Rate: rate}
		latency.Add(Direct, load.LatencyResult{P50: 1, P99: 2, P999: 3, Max: 4})
		latency.Add(Stubs, load.LatencyResult{P50: 1.25, P99: 4, P999: 5, Max: 6})
		latency.Add(SDK, load.LatencyResult{P50: 1.5, P99: 5, P999: 6, Max: 7})
		latency.Add(BareDirect, load.LatencyResult{P50: 1.2, P99: 3, P999: 4, Max: 5})
		latency.Finish()
		r.Latency = append(r.Latency, latency)
	}
	for _, streams := range []int{10, 101} {
		memory := Memory{Path: Consume, Streams: streams}
		memory.Add(Stubs, load.IdleResult{First: 1 << 20, Settled: 1<<20 + 100*30<<10, Peak: 8 << 20})
		memory.Add(Bare, load.IdleResult{First: 1 << 20, Settled: 1<<20 + 100*10<<10, Peak: 2 << 20})
		memory.Finish()
		r.Memory = append(r.Memory, memory)
	}
	slow := Slow{ValueBytes: 100, Partitions: 8, Rate: 1000, MostOutstanding: 77}
	slow.Add(load.SlowResult{Received: 100, ACKed: 90}, map[int32]int64{0: 60, 1: 60}, map[int32]int64{0: 50, 1: 50})
	onePartition := Slow{ValueBytes: 100, Partitions: 1, Rate: 1000}
	onePartition.Add(load.SlowResult{Received: 100, ACKed: 90}, map[int32]int64{0: 140}, map[int32]int64{0: 100})
	r.Slow = append(r.Slow, slow, onePartition)
	r.OtherThroughput = append(r.OtherThroughput, throughput(Consume, 1024, 1, 64, map[string][]load.Result{
		Direct: {result(300_000, 1)}, Bare: {result(300_000, 1)}, Stubs: {result(123_456, 2)}, SDK: {result(120_000, 2)},
	}))
	rebalance := Rebalance{Clients: 4, Partitions: 10}
	rebalance.Add(load.Move{What: "4 clients join", Seconds: 1, Moved: 10, Least: 10})
	rebalance.Add(load.Move{What: "one more joins", Seconds: 2, Moved: 3, Least: 2})
	rebalance.Finish()
	r.Rebalance = append(r.Rebalance, rebalance)
	r.Environment.Runtimes = map[string]string{"python": "Python 3"}
	for _, path := range []string{Produce, Consume} {
		cost := SDKCost{Language: "python", Path: path, ValueBytes: 100}
		cost.Add(result(900, 1), result(1000, 1))
		cost.Add(result(350, 1), result(500, 1))
		cost.Finish([]int64{10 << 20, 15 << 20, 20 << 20, 19 << 20, 20 << 20, 20 << 20, 24 << 20, 20 << 20})
		r.SDKs = append(r.SDKs, cost)
	}
	r.Finish()
	r.Took = time.Minute
	return r
}

func TestEveryTargetIsCompared(t *testing.T) {
	type outcome struct {
		got float64
		met bool
	}
	got := map[string]outcome{}
	for _, target := range fullReport().Targets {
		got[target.About] = outcome{got: target.Got, met: target.Met()}
	}
	want := map[string]outcome{
		"produce 100 B, of its limit":                                            {0.8, true},
		"produce 1 KiB, of its limit":                                            {0.8, false},
		"consume 100 B, of its limit":                                            {0.8, true},
		"consume 1 KiB, of its limit":                                            {0.8, false},
		"produce 100 B through the Go SDK, of the stubs":                         {0.75, false},
		"produce 1 KiB through the Go SDK, of the stubs":                         {0.75, false},
		"consume 100 B through the Go SDK, of the stubs":                         {0.75, false},
		"consume 1 KiB through the Go SDK, of the stubs":                         {0.75, false},
		"p50 added end to end at 1,000 messages/s":                               {0.25, true},
		"p99 end to end at 20,000 messages/s, of the direct one":                 {2, false},
		"proxy CPU, consume 100 B, of the bare server's":                         {2, false},
		"proxy CPU, produce 100 B, of the bare server's":                         {2, true},
		"memory of each of 101 idle consumers":                                   {30, true},
		"produce 100 B with 64 clients, of that with 8 (64 partitions)":          {0.9, true},
		"consume 100 B with 64 clients, of that with 8 (64 partitions)":          {0.9, true},
		"messages fetched for each delivered or still to deliver, slow consumer": {1.2, false},

		"Python, produce 100 B through the SDK, of its stubs":                                      {0.8, true},
		"Python, consume 100 B through the SDK, of its stubs":                                      {0.8, true},
		"Python, produce 100 B through the SDK, memory in the last quarter, of that in the second": {1.2, true},
		"Python, consume 100 B through the SDK, memory in the last quarter, of that in the second": {1.2, true},
	}
	floors := map[string]float64{}
	for _, target := range fullReport().Targets {
		if target.Floor != 0 {
			floors[target.About] = target.Floor
		}
	}
	assert.InDeltaMapValues(t, map[string]float64{
		"p50 added end to end at 1,000 messages/s":               0.2,
		"p99 end to end at 20,000 messages/s, of the direct one": 1.5,
		"proxy CPU, consume 100 B, of the bare server's":         1.25,
		"proxy CPU, produce 100 B, of the bare server's":         1.25,
	}, floors, 1e-9)
	for about, outcome := range want {
		assert.InDelta(t, outcome.got, got[about].got, 1e-9, about)
		assert.Equal(t, outcome.met, got[about].met, about)
	}
	assert.Len(t, got, len(want))
}

func TestTheFloorIsWhatBothBaselinesTake(t *testing.T) {
	floors := fullReport().Floors
	require.Len(t, floors, 4, "of 8 partitions and one client alone")
	assert.Equal(t, Produce, floors[0].Path)
	r := Report{Throughput: []Throughput{throughput(Consume, 100, 8, 1, map[string][]load.Result{
		Direct: {processorTime(Client, 0.5), processorTime(Client, 0.3)}, Bare: {processorTime(Server, 1), processorTime(Server, 0.6)},
		Stubs: {processorTime(Server, 1.8), processorTime(Server, 1.8)},
	})}}
	r.Finish()
	floor := r.Floors[0]
	assert.Equal(t, []float64{1.5, 1.5}, floor.OfBare.Samples, "round by round")
	assert.InDelta(t, 1.2, floor.OfFloor.Samples[0], 1e-9)
	assert.InDelta(t, 2, floor.OfFloor.Samples[1], 1e-9)
}

func TestJSONHasEverything(t *testing.T) {
	var text bytes.Buffer
	require.NoError(t, fullReport().WriteJSON(&text))
	var read Report
	require.NoError(t, json.Unmarshal(text.Bytes(), &read))

	assert.Equal(t, fullReport().Targets, read.Targets)
	assert.InDelta(t, 160_000, read.Throughput[0].Variant(Stubs).Rate.Median, 0)
	assert.InDelta(t, 2, read.Throughput[0].Variant(Stubs).CPU[Server].Samples[0], 1e-9)
	assert.InDelta(t, 5, read.Latency[1].P999[Stubs].Median, 0)
	assert.InDelta(t, 0.5, read.Latency[0].Added[SDK].Median, 1e-9)
	assert.InDelta(t, 0.2, read.Latency[0].Added[BareDirect].Median, 1e-9)
	assert.InDelta(t, 1.5, read.Latency[0].Tail[BareDirect].Median, 1e-9)
	assert.InDelta(t, 10<<10, read.Memory[1].PerStream[Bare].Median, 0)
	assert.EqualValues(t, 120, read.Slow[0].Fetched)
	assert.Equal(t, Moves{What: "one more joins", Seconds: stats.Summarize([]float64{2}), Moved: stats.Summarize([]float64{3}), Least: 2}, read.Rebalance[0].Moves[1])
	assert.Equal(t, "A processor", read.Environment.CPU)
	assert.Equal(t, []float64{0.9, 0.7}, read.SDKs[0].OfStubs.Samples, "round by round")
	assert.Equal(t, [4]int64{15 << 20, 20 << 20, 20 << 20, 24 << 20}, read.SDKs[0].Memory)
}

func TestTablesAreAlignedAndHaveEverything(t *testing.T) {
	var text bytes.Buffer
	fullReport().WriteMarkdown(&text, "the command")
	page := text.String()

	width := 0 // of the table that is being read
	for line := range strings.Lines(page) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case !strings.HasPrefix(line, "|"):
			width = 0
		case width == 0:
			width = len([]rune(line))
		default:
			assert.Len(t, []rune(line), width, line)
		}
	}
	for _, part := range []string{
		"`the command`", "A processor", "≤ 1.50 ×", "≥ 0.80", "0.25 ms",
		"### Produce 1 KiB, 8 partitions, 1 client", "160,000", "limit", "200,000",
		"20,000 messages/s, proxy, stubs", "101 idle streams, consume", "1.200", "1.400", "one more joins",
		"| consume 1 KiB, 1 partition, 64 clients |", "123,456", "measured once", "## The floor",
		"| Python, consume 100 B |", "Python 3", "15 MiB", "24 MiB",
	} {
		assert.Contains(t, page, part)
	}
	assert.NotContains(t, page, "NaN")
	assert.NotContains(t, page, "scale", "it was a full run")
}

func TestAPageSaysWhenItIsRough(t *testing.T) {
	var text bytes.Buffer
	(&Report{Scale: 0.02}).WriteMarkdown(&text, "the command")
	assert.Contains(t, text.String(), "0.02 of a full run: figures are rough")
	assert.NotContains(t, text.String(), "## Targets")
}

func TestThousands(t *testing.T) {
	for n, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 1234567.4: "1,234,567", -4321: "-4,321"} {
		assert.Equal(t, want, thousands(n))
	}
}
