package report

import (
	"fmt"
	"io"

	"github.com/messageproxy/messageproxy/tools/bench/stats"
)

// Floor is what the proxy's processor time is made of at least: what the protocol
// takes, which is the bare server's, and what Kafka's client takes, which is that of
// a direct one.
type Floor struct {
	Path       string `json:"path"`
	ValueBytes int    `json:"value_bytes"`
	// The seconds for a million messages.
	Bare   stats.Summary `json:"bare"`
	Direct stats.Summary `json:"direct"`
	Proxy  stats.Summary `json:"proxy"`
	// OfBare is the sum of the first two as a multiple of the first, OfFloor the proxy's
	// time as a multiple of that sum; each round by round.
	OfBare  stats.Summary `json:"of_bare"`
	OfFloor stats.Summary `json:"of_floor"`
}

// floors are those of the shapes that the processor's targets are about, in all sizes.
func (r *Report) floors() []Floor {
	var all []Floor
	for i := range r.Throughput {
		t := &r.Throughput[i]
		if t.Partitions == 8 && t.Clients == 1 && t.Variant(Bare) != nil && t.Variant(Direct) != nil && t.Variant(Stubs) != nil {
			all = append(all, floorOf(t))
		}
	}
	return all
}

// floorOf is the zero Floor if t has no direct client.
func floorOf(t *Throughput) Floor {
	bare, direct, proxy := t.Variant(Bare), t.Variant(Direct), t.Variant(Stubs)
	if direct == nil {
		return Floor{}
	}
	f := Floor{Path: t.Path, ValueBytes: t.ValueBytes, Bare: bare.CPU[Server], Direct: direct.CPU[Client], Proxy: proxy.CPU[Server]}
	sum := pairwise(f.Bare, f.Direct, func(bare, direct float64) float64 { return bare + direct })
	f.OfBare, f.OfFloor = Ratio(sum, f.Bare), Ratio(f.Proxy, sum)
	return f
}

func (r *Report) writeFloor(w io.Writer) {
	if len(r.Floors) == 0 {
		return
	}
	fmt.Fprint(w, floorText)
	t := table{head: []string{"8 partitions, 1 client", "bare server", "direct client", "floor, of the bare server", "proxy", "proxy, of the floor"}}
	for _, f := range r.Floors {
		t.add(f.Path+" "+size(f.ValueBytes), hundredths(f.Bare), hundredths(f.Direct), quantity(f.OfBare.Median, "×"), hundredths(f.Proxy), quantity(f.OfFloor.Median, "×"))
	}
	t.write(w)
	fmt.Fprintln(w)
}

const floorText = `## The floor of the processor time

The proxy does all that the bare server does, and all that a direct client of Kafka does. What is left between the
sum of the two and a target is for everything that is the proxy's own: copies out of what Kafka sent, ids, order,
windows, ACKs and commits. Seconds for a million messages:

`
