package report

import (
	"fmt"
	"io"

	"github.com/messageproxy/messageproxy/tools/bench/load"
	"github.com/messageproxy/messageproxy/tools/bench/stats"
)

// SDKCost compares the SDK of a language with the generated stubs of the same language.
type SDKCost struct {
	Language   string `json:"language"`
	Path       string `json:"path"`
	ValueBytes int    `json:"value_bytes"`
	// SDK and Stubs are in messages a second, OfStubs is the one as a part of the other,
	// round by round.
	SDK     stats.Summary `json:"sdk"`
	Stubs   stats.Summary `json:"stubs"`
	OfStubs stats.Summary `json:"of_stubs"`
	// The processor time of the client's process in seconds for a million messages.
	SDKCPU   stats.Summary `json:"sdk_cpu_seconds_per_million"`
	StubsCPU stats.Summary `json:"stubs_cpu_seconds_per_million"`
	// Memory is the most resident memory in bytes that the SDK's process had in each quarter
	// of a longer run.
	Memory [4]int64 `json:"memory_bytes"`

	sdk, stubs, sdkCPU, stubsCPU []float64
}

// Add adds the measurements of a round.
func (c *SDKCost) Add(sdk, stubs load.Result) {
	c.sdk, c.stubs = append(c.sdk, sdk.Rate()), append(c.stubs, stubs.Rate())
	c.sdkCPU = append(c.sdkCPU, sdk.PerMillion(Client))
	c.stubsCPU = append(c.stubsCPU, stubs.PerMillion(Client))
}

// Finish is called when all measurements are added, with what was seen of the SDK's
// memory in equal intervals.
func (c *SDKCost) Finish(resident []int64) {
	c.SDK, c.Stubs = stats.Summarize(c.sdk), stats.Summarize(c.stubs)
	c.SDKCPU, c.StubsCPU = stats.Summarize(c.sdkCPU), stats.Summarize(c.stubsCPU)
	c.OfStubs = Ratio(c.SDK, c.Stubs)
	for i, bytes := range resident {
		quarter := &c.Memory[i*len(c.Memory)/len(resident)]
		*quarter = max(*quarter, bytes)
	}
}

// MemoryInWords is the memory of each quarter.
func (c *SDKCost) MemoryInWords() []string {
	words := make([]string, 0, len(c.Memory))
	for _, bytes := range c.Memory {
		words = append(words, mebibytes(bytes))
	}
	return words
}

// memoryGrowth is the memory in the last quarter as a multiple of that in the second, when
// the runtime has warmed up.
func (c *SDKCost) memoryGrowth() float64 {
	if c.Memory[1] == 0 {
		return 0
	}
	return float64(c.Memory[3]) / float64(c.Memory[1])
}

// languageNames are those that people use.
var languageNames = map[string]string{"typescript": "TypeScript", "python": "Python", "java": "Java"}

func (c *SDKCost) name() string {
	return fmt.Sprintf("%s, %s %s", languageNames[c.Language], c.Path, size(c.ValueBytes))
}

// sdkTargets are those of all languages that were measured.
func (r *Report) sdkTargets(ofStubs, growth float64) (all []Target) {
	for i := range r.SDKs {
		c := &r.SDKs[i]
		all = append(all, Target{
			About: c.name() + " through the SDK, of its stubs",
			Want:  ofStubs, Got: c.OfStubs.Median, Spread: c.OfStubs.Spread,
		})
	}
	for i := range r.SDKs {
		c := &r.SDKs[i]
		all = append(all, Target{
			About: c.name() + " through the SDK, memory in the last quarter, of that in the second",
			Want:  growth, AtMost: true, Unit: "×", Got: c.memoryGrowth(),
		})
	}
	return all
}

func (r *Report) writeSDKs(w io.Writer) {
	if len(r.SDKs) == 0 {
		return
	}
	fmt.Fprint(w, sdksText)
	t := table{head: []string{"", "SDK, messages/s", "spread", "stubs", "spread", "SDK, of the stubs", "CPU s/million: SDK", "stubs"}}
	memory := table{head: []string{"memory of a longer run", "first quarter", "second", "third", "last"}}
	for i := range r.SDKs {
		c := &r.SDKs[i]
		t.add(c.name(), thousands(c.SDK.Median), percent(c.SDK.Spread), thousands(c.Stubs.Median), percent(c.Stubs.Spread),
			hundredths(c.OfStubs), hundredths(c.SDKCPU), hundredths(c.StubsCPU))
		memory.add(append([]string{c.name()}, c.MemoryInWords()...)...)
	}
	t.write(w)
	fmt.Fprintln(w)
	memory.write(w)
	fmt.Fprintln(w)
}

const sdksText = `## The SDKs of other languages

Each SDK against the generated stubs of its own language, through the proxy: 8 partitions, one client, 1,000 callers
that each await a receipt before they produce the next message, or a handler that is awaited for each message, on
both sides. The Go SDK is in the tables above.

`
