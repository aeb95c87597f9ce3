package docs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var goSnippet = regexp.MustCompile("(?s)```go\\n(import .*?)\\n\\n(.*?)```")

// What the documents show of the SDK compiles as it stands, in a function that has
// a context and a handler's work.
func TestSnippetsCompile(t *testing.T) {
	for _, document := range []string{"README.md", "sdk/go/README.md"} {
		snippet := goSnippet.FindStringSubmatch(read(t, document))
		require.NotNil(t, snippet, "%s shows no Go that begins with its import", document)
		t.Run(document, func(t *testing.T) { compile(t, snippet[1], snippet[2]) })
	}
}

// compile builds the snippet as an application of its own.
func compile(t *testing.T, imports, body string) {
	repository, err := filepath.Abs(root)
	require.NoError(t, err)
	dir := t.TempDir()
	const module = "github.com/messageproxy/messageproxy"
	write := func(name, content string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	write("go.sum", read(t, "sdk/go/go.sum"))
	write("go.mod", fmt.Sprintf("module snippet\n\ngo 1.26.0\n\nrequire %[1]s/sdk/go v0.0.0\n\nreplace (\n\t%[1]s/sdk/go => %[2]s/sdk/go\n\t%[1]s/api => %[2]s/api\n)\n",
		module, repository))
	write("main.go", strings.Join([]string{
		"package main", "import (\n\"context\"\n\"log\"\n)", imports,
		"func run(ctx context.Context) error {", body, "return err\n}",
		"func charge(context.Context, []byte) error { return nil }",
		"func bill(context.Context, []byte) error { return nil }",
		"func main() { log.Println(run(context.Background()), charge, bill) }",
	}, "\n"))
	build := exec.CommandContext(t.Context(), "go", "build", "-mod=mod", "-o", os.DevNull, ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOWORK=off")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
}
