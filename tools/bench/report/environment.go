package report

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// Environment is what a run was made with.
type Environment struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory int64  `json:"memory_bytes"`
	System string `json:"system"`
	// Commit is the repository's, with a plus if files differ from it.
	Commit string `json:"commit"`
	Go     string `json:"go"`
	// Libraries have their versions.
	Libraries map[string]string `json:"libraries"`
	// Runtimes are those of the other languages that were measured.
	Runtimes map[string]string `json:"runtimes,omitempty"`
	// Kafka is the kind of Kafka.
	Kafka string `json:"kafka"`
}

// libraries are those that figures depend on.
var libraries = []string{
	"github.com/twmb/franz-go", "github.com/twmb/franz-go/pkg/kfake",
	"google.golang.org/grpc", "google.golang.org/protobuf",
}

// New begins a report.
func New(ctx context.Context, root, kafka string, rounds int, scale float64) *Report {
	return &Report{
		Environment: Environment{
			CPU: cpuModel(), Cores: runtime.NumCPU(), Memory: memoryTotal(),
			System: runtime.GOOS + "/" + runtime.GOARCH,
			Commit: commit(ctx, root), Go: runtime.Version(),
			Libraries: versions(), Runtimes: map[string]string{}, Kafka: kafka,
		},
		Rounds: rounds, Scale: scale, Started: time.Now(),
	}
}

func versions() map[string]string {
	found := map[string]string{}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return found
	}
	for _, dependency := range info.Deps {
		for _, library := range libraries {
			if dependency.Path == library {
				found[library] = dependency.Version
			}
		}
	}
	return found
}

func commit(ctx context.Context, root string) string {
	cmd := exec.CommandContext(ctx, "git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+")
	cmd.Dir = root
	output, err := cmd.Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(output))
}

var (
	modelName = regexp.MustCompile(`(?m)^model name\s*: (.*)$`)
	memTotal  = regexp.MustCompile(`(?m)^MemTotal:\s*(\d+) kB$`)
)

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // only Linux has it
	if match := modelName.FindSubmatch(text); match != nil {
		return string(match[1])
	}
	return runtime.GOARCH
}

func memoryTotal() int64 {
	text, _ := os.ReadFile("/proc/meminfo")
	match := memTotal.FindSubmatch(text)
	if match == nil {
		return 0
	}
	var kib int64
	for _, digit := range match[1] {
		kib = kib*10 + int64(digit-'0')
	}
	return kib << 10
}
