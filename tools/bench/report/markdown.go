package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// WriteMarkdown writes what a person wants to know. command is what wrote it.
func (r *Report) WriteMarkdown(w io.Writer, command string) {
	fmt.Fprintf(w, `# Benchmarks

This page is generated: change nothing here by hand. It was written by

`+"`%s`"+`

What the figures mean, and how to measure, is [at the end](#what-is-measured).

`, command)
	r.writeEnvironment(w)
	r.writeTargets(w)
	r.writeFloor(w)
	r.writeThroughput(w)
	r.writeOtherThroughput(w)
	r.writeLatency(w)
	r.writeMemory(w)
	r.writeSlow(w)
	r.writeRebalance(w)
	r.writeSDKs(w)
	r.writeProfiles(w)
	fmt.Fprint(w, changes, explanation)
}

func (r *Report) writeEnvironment(w io.Writer) {
	e := r.Environment
	t := table{head: []string{"", "measured with"}}
	t.add("machine", fmt.Sprintf("%s, %s, %s, %s", e.CPU, count(e.Cores, "core"), mebibytes(e.Memory), e.System))
	t.add("commit", e.Commit)
	t.add("Go", e.Go)
	for _, library := range slices.Sorted(maps.Keys(e.Libraries)) {
		t.add(library, e.Libraries[library])
	}
	for _, language := range slices.Sorted(maps.Keys(e.Runtimes)) {
		t.add(languageNames[language], e.Runtimes[language])
	}
	t.add("Kafka", kafkas[e.Kafka])
	t.add("rounds", thousands(float64(r.Rounds)))
	if r.Scale != 1 {
		t.add("scale", fmt.Sprintf("%g of a full run: figures are rough", r.Scale))
	}
	t.add("when", fmt.Sprintf("%s, for %s", r.Started.UTC().Format("2006-01-02 15:04 UTC"), r.Took.Round(time.Second)))
	t.write(w)
	fmt.Fprintln(w)
}

// kafkas are the kinds of Kafka in words.
var kafkas = map[string]string{
	"embedded":  "embedded (kfake), in a process of its own",
	"container": "one broker in a container on the same machine",
	"given":     "a cluster that was there",
}

const targetsText = `
The floor is what would come out on this machine if the proxy itself took nothing: see [latency](#latency) and
[processor time](#the-floor-of-the-processor-time).

`

func (r *Report) writeTargets(w io.Writer) {
	if len(r.Targets) == 0 {
		return
	}
	fmt.Fprint(w, "## Targets\n\n")
	t := table{head: []string{"what", "target", "measured", "spread", "met", "floor"}}
	for _, target := range r.Targets {
		bound, met := "≥ ", "no"
		if target.AtMost {
			bound = "≤ "
		}
		if target.Met() {
			met = "yes"
		}
		floor := ""
		if target.Floor != 0 {
			floor = quantity(target.Floor, target.Unit)
		}
		t.add(target.About, bound+quantity(target.Want, target.Unit), quantity(target.Got, target.Unit), percent(target.Spread), met, floor)
	}
	t.write(w)
	fmt.Fprint(w, targetsText)
}

// quantity writes a figure with its unit.
func quantity(n float64, unit string) string {
	return strings.TrimSpace(fmt.Sprintf("%.2f %s", n, unit))
}

func (r *Report) writeThroughput(w io.Writer) {
	if len(r.Throughput) == 0 {
		return
	}
	fmt.Fprint(w, "## Throughput\n\n")
	for _, t := range r.Throughput {
		t.write(w)
	}
}

func (r *Report) writeOtherThroughput(w io.Writer) {
	if len(r.OtherThroughput) == 0 {
		return
	}
	fmt.Fprintf(w, "### Other combinations\n\nMessages a second, %s.\n\n", measuredTimes(len(r.OtherThroughput[0].Limit.Samples)))
	lines := table{head: []string{"", Direct, Bare, Stubs, SDK, "limit", "stubs, of the limit", "CPU s/million of the proxy"}}
	for i := range r.OtherThroughput {
		t := &r.OtherThroughput[i]
		row := []string{t.Name()}
		for _, name := range []string{Direct, Bare, Stubs, SDK} {
			row = append(row, thousands(t.Variant(name).Rate.Median))
		}
		stubs := t.Variant(Stubs)
		lines.add(append(row, thousands(t.Limit.Median), fmt.Sprintf("%.2f", stubs.OfLimit.Median), stubs.perMillion(Server))...)
	}
	lines.write(w)
	fmt.Fprintln(w)
}

func measuredTimes(n int) string {
	if n == 1 {
		return "measured once"
	}
	return fmt.Sprintf("measured %d times", n)
}

func (t *Throughput) write(w io.Writer) {
	fmt.Fprintf(w, "### %s\n\n", capital(t.Name()))
	lines := table{head: []string{
		"", "messages/s", "spread", "of the limit",
		"CPU s/million: client", "server", "Kafka", "peak memory of the server",
	}}
	for _, v := range t.Variants {
		of := ""
		if v.OfLimit != nil {
			of = fmt.Sprintf("%.2f", v.OfLimit.Median)
		}
		lines.add(v.Name, thousands(v.Rate.Median), percent(v.Rate.Spread), of,
			v.perMillion(Client), v.perMillion(Server), v.perMillion(Kafka), mebibytes(v.Peak[Server]))
	}
	lines.add("limit", thousands(t.Limit.Median), percent(t.Limit.Spread), "", "", "", "", "")
	if t.LimitOwnBuffer != nil {
		lines.add("limit, own buffer", thousands(t.LimitOwnBuffer.Median), percent(t.LimitOwnBuffer.Spread), "", "", "", "", "")
	}
	lines.write(w)
	for _, v := range t.Variants {
		if v.Repeated > 0 {
			fmt.Fprintf(w, "\n%s: %s were delivered more than once, and count once.\n", v.Name, count(int(v.Repeated), "message"))
		}
	}
	fmt.Fprintln(w)
}

func (v Variant) perMillion(process string) string {
	cpu, ok := v.CPU[process]
	if !ok {
		return ""
	}
	return hundredths(cpu)
}

func capital(text string) string { return strings.ToUpper(text[:1]) + text[1:] }
