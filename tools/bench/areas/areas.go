// Package areas says where the time of a processor profile of the proxy goes.
package areas

import (
	"fmt"
	"os"
	"strings"

	"github.com/google/pprof/profile"
)

// The areas, in the order in which they are shown.
const (
	KafkaClient  = "Kafka client (franz-go)"
	Compression  = "compression"
	KafkaBackend = "Kafka backend"
	Coordinator  = "coordinator"
	Streams      = "streams"
	Frames       = "frames"
	GRPC         = "gRPC"
	Kernel       = "system calls"
	Allocation   = "allocation"
	Garbage      = "garbage collection"
	Scheduler    = "scheduler"
	Other        = "other"
)

// Names are all areas.
var Names = []string{
	KafkaClient, Compression, KafkaBackend, Coordinator, Streams, Frames, GRPC, Kernel, Allocation, Garbage, Scheduler, Other,
}

// packages belong to an area; the first prefix that fits counts.
var packages = []struct{ prefix, area string }{
	{"github.com/klauspost/compress/", Compression},
	{"github.com/twmb/franz-go/", KafkaClient},
	{"github.com/messageproxy/messageproxy/broker-kafka", KafkaBackend},
	{"github.com/messageproxy/messageproxy/server/internal/coordinator.", Coordinator},
	{"github.com/messageproxy/messageproxy/server/internal/wire.", Frames},
	{"github.com/messageproxy/messageproxy/server", Streams},
	{"google.golang.org/grpc", GRPC},
	{"golang.org/x/net/", GRPC},
}

// Shares are the parts of a profile's time that the areas have.
type Shares map[string]float64

// Read returns what a profile's file says.
func Read(name string) (Shares, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // read-only
	p, err := profile.Parse(file)
	if err != nil {
		return nil, fmt.Errorf("read the profile %s: %w", name, err)
	}
	return Of(p), nil
}

// Of adds a profile's samples up.
func Of(p *profile.Profile) Shares {
	shares, total := Shares{}, 0.0
	for _, sample := range p.Sample {
		n := float64(sample.Value[0])
		shares[area(functions(sample))] += n
		total += n
	}
	for area := range shares {
		shares[area] /= total
	}
	return shares
}

// functions are the names on a sample's stack, the innermost first.
func functions(sample *profile.Sample) (names []string) {
	for _, location := range sample.Location {
		for _, line := range location.Line {
			names = append(names, line.Function.Name)
		}
	}
	return names
}

// area is where a stack belongs: what the runtime does for itself, or what is done for
// the innermost function of a package that has an area.
func area(stack []string) string {
	for _, name := range stack {
		switch name {
		case "runtime.gcBgMarkWorker", "runtime.bgsweep", "runtime.bgscavenge", "runtime.gcAssistAlloc", "runtime.gcStart":
			return Garbage
		}
	}
	isRuntime := true
	for i, name := range stack {
		if i == 0 && (strings.HasPrefix(name, "internal/runtime/syscall") || strings.HasPrefix(name, "syscall.")) {
			return Kernel
		}
		if isRuntime && (name == "runtime.mallocgc" || name == "runtime.growslice") {
			return Allocation
		}
		for _, p := range packages {
			if strings.HasPrefix(name, p.prefix) {
				return p.area
			}
		}
		isRuntime = isRuntime && strings.HasPrefix(name, "runtime.")
	}
	if isRuntime {
		return Scheduler
	}
	return Other
}
