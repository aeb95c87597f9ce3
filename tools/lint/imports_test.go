//go:build lint

package lint

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const ours = "github.com/messageproxy/messageproxy/"

// imports says, for a file of each kind, what it may and what it must not import.
var imports = []struct {
	file      string
	allowed   []string
	forbidden []string
}{
	{
		"api/messageproxy/v1/x.go",
		[]string{"google.golang.org/grpc", ours + "api/other"},
		[]string{ours + "broker", ours + "server", ours + "sdk/go", "github.com/twmb/franz-go/pkg/kgo"},
	},
	{
		"broker/x.go",
		[]string{"context", "net/http"},
		[]string{"github.com/stretchr/testify/require", "google.golang.org/grpc", ours + "broker-kafka", ours + "api/messageproxy/v1"},
	},
	{
		"broker/x_test.go",
		[]string{"github.com/stretchr/testify/require", ours + "broker/brokertest"},
		[]string{ours + "broker-kafka", ours + "server"},
	},
	{
		"broker/brokertest/x.go",
		[]string{"github.com/stretchr/testify/require", ours + "broker"},
		[]string{ours + "broker-kafka", "github.com/twmb/franz-go/pkg/kgo"},
	},
	{
		"broker-kafka/x.go",
		[]string{ours + "broker", ours + "broker-kafka/internal/x", "github.com/twmb/franz-go/pkg/kgo"},
		[]string{ours + "server", ours + "api/messageproxy/v1", ours + "sdk/go"},
	},
	{
		"server/internal/x/x.go",
		[]string{ours + "broker", ours + "broker/brokertest", ours + "api/messageproxy/v1", "google.golang.org/grpc"},
		[]string{ours + "broker-kafka", ours + "broker-kafka/kafkadev", ours + "sdk/go", "github.com/twmb/franz-go/pkg/kgo"},
	},
	{
		"server/cmd/messageproxy/x.go",
		[]string{ours + "broker-kafka", ours + "broker-kafka/kafkadev", ours + "server"},
		[]string{ours + "sdk/go", "github.com/twmb/franz-go/pkg/kgo"},
	},
	{
		"sdk/go/x.go",
		[]string{ours + "api/messageproxy/v1", "google.golang.org/grpc/codes", "google.golang.org/protobuf/proto"},
		[]string{ours + "server", ours + "broker", "github.com/stretchr/testify/require", "github.com/twmb/franz-go/pkg/kgo"},
	},
	{
		"sdk/go/x_test.go",
		[]string{ours + "sdk/go/messageproxytest", "github.com/stretchr/testify/require", "go.uber.org/goleak"},
		[]string{ours + "server", ours + "broker"},
	},
	{
		"sdk/go/internal/x/x_test.go",
		[]string{ours + "sdk/go", "github.com/stretchr/testify/require"},
		[]string{ours + "broker"},
	},
	{
		"sdk/examples/produce/x.go",
		[]string{ours + "sdk/go", "log/slog"},
		[]string{ours + "api/messageproxy/v1", ours + "server", "google.golang.org/grpc"},
	},
	{
		"tools/x.go",
		[]string{ours + "server", ours + "broker-kafka", ours + "sdk/go", "github.com/twmb/franz-go/pkg/kgo"},
		nil,
	},
	{
		"integration/x_test.go",
		[]string{ours + "server", ours + "broker-kafka", ours + "sdk/go", "github.com/twmb/franz-go/pkg/kgo"},
		nil,
	},
}

func TestForbiddenImportsAreCaught(t *testing.T) {
	for _, want := range imports {
		t.Run(want.file, func(t *testing.T) {
			found := lint(t, writeFixture(t, want.file, slices.Concat(want.allowed, want.forbidden)))
			assert.ElementsMatch(t, want.forbidden, found)
		})
	}
}

// writeFixture writes a module with one file that imports paths, a stub of each of
// those packages, and the linter's configuration.
func writeFixture(t *testing.T, file string, paths []string) string {
	t.Helper()
	root := t.TempDir()
	config, err := os.ReadFile("../../.golangci.yml")
	require.NoError(t, err)
	write(t, filepath.Join(root, ".golangci.yml"), string(config))

	mod := "module " + strings.TrimSuffix(ours, "/") + "\n\ngo 1.26.0\n"
	source := "package x\n\n"
	for _, path := range paths {
		source += fmt.Sprintf("import _ %q\n", path)
		if inside, ok := strings.CutPrefix(path, ours); ok {
			write(t, filepath.Join(root, inside, "stub.go"), "package x\n")
		} else if strings.Contains(path, ".") {
			stub := filepath.Join("stubs", path)
			write(t, filepath.Join(root, stub, "stub.go"), "package x\n")
			write(t, filepath.Join(root, stub, "go.mod"), "module "+path+"\n")
			mod += fmt.Sprintf("require %s v0.0.0\nreplace %s => ./%s\n", path, path, stub)
		}
	}
	write(t, filepath.Join(root, "go.mod"), mod)
	write(t, filepath.Join(root, file), source)
	return root
}

func write(t *testing.T, path, content string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
}

// lint returns the import paths that depguard objects to.
func lint(t *testing.T, root string) []string {
	t.Helper()
	linter, err := filepath.Abs("../../.bin/golangci-lint")
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), linter, "run", "--enable-only", "depguard",
		"--max-issues-per-linter=0", "--max-same-issues=0", "--output.json.path=stdout", "--show-stats=false", "./...")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "GOPROXY=off")
	output, err := cmd.Output()
	var report struct {
		Issues []struct{ FromLinter, Text string }
	}
	require.NoError(t, json.Unmarshal(output, &report), "%s: %v", output, err)
	var found []string
	for _, issue := range report.Issues {
		require.Equal(t, "depguard", issue.FromLinter, issue.Text)
		found = append(found, strings.Split(issue.Text, "'")[1])
	}
	return found
}
