package areas

import (
	"path/filepath"
	"testing"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStacksHaveTheirAreas(t *testing.T) {
	const ours = "github.com/messageproxy/messageproxy/"
	for want, stacks := range map[string][][]string{
		KafkaClient:  {{"runtime.memmove", "github.com/twmb/franz-go/pkg/kgo.(*source).fetch", "runtime.goexit"}},
		Compression:  {{"github.com/klauspost/compress/s2.Decode", "github.com/twmb/franz-go/pkg/kgo.(*source).fetch"}},
		KafkaBackend: {{"encoding/base64.Encode", ours + "broker-kafka.makeMessages"}, {ours + "broker-kafka/internal/prefix.(*Tracker).Ack"}},
		Coordinator:  {{ours + "server/internal/coordinator.(*State).Step", ours + "server/internal/consume.(*subscription).run"}},
		Streams:      {{ours + "server/internal/consume.(*subscription).run"}, {ours + "server.(*proxy).Consume", "google.golang.org/grpc.(*Server).handleStream"}},
		Frames:       {{"unicode/utf8.Valid", ours + "server/internal/wire.ReceiveAcks"}},
		GRPC:         {{"golang.org/x/net/http2.(*Framer).ReadFrame"}, {"bytes.(*Buffer).Write", "google.golang.org/grpc/internal/transport.newFramer"}},
		Kernel:       {{"internal/runtime/syscall/linux.Syscall6", "google.golang.org/grpc/internal/transport.x"}},
		Allocation:   {{"runtime.memclrNoHeapPointers", "runtime.mallocgc", ours + "broker-kafka.makeMessages"}},
		Garbage:      {{"runtime.scanObject", "runtime.systemstack", "runtime.gcBgMarkWorker"}, {"runtime.x", "runtime.gcAssistAlloc", "runtime.mallocgc"}},
		Scheduler:    {{"runtime.futex", "runtime.schedule", "runtime.mcall"}},
		Other:        {{"log/slog.(*Logger).Info", "main.main"}},
	} {
		for _, stack := range stacks {
			assert.Equal(t, want, area(stack), stack)
		}
		assert.Contains(t, Names, want)
	}
}

func TestSharesAddUp(t *testing.T) {
	function := func(name string) *profile.Location {
		return &profile.Location{Line: []profile.Line{{Function: &profile.Function{Name: name}}}}
	}
	shares := Of(&profile.Profile{Sample: []*profile.Sample{
		{Value: []int64{3, 30}, Location: []*profile.Location{function("google.golang.org/grpc.x")}},
		{Value: []int64{1, 10}, Location: []*profile.Location{function("main.main")}},
	}})
	require.Equal(t, Shares{GRPC: 0.75, Other: 0.25}, shares)
}

func TestWhatCannotBeReadIsNamed(t *testing.T) {
	_, err := Read(filepath.Join(t.TempDir(), "nothing"))
	require.ErrorContains(t, err, "nothing")
}
