package docs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var goSnippet = regexp.MustCompile("(?s)```go\\n(import .*?)\\n\\n(.*?)```")

// What the documents show of the SDK compiles as it stands, in a function that has
// a context and a handler's work.
func TestSnippetsCompile(t *testing.T) {
	sdk, err := filepath.Abs("../../sdk/go")
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range []string{"README.md", "sdk/go/README.md"} {
		text, err := os.ReadFile(filepath.Join("../..", document))
		if err != nil {
			t.Fatal(err)
		}
		snippet := goSnippet.FindStringSubmatch(string(text))
		if snippet == nil {
			t.Fatalf("%s shows no Go that begins with its import", document)
		}
		t.Run(document, func(t *testing.T) { compile(t, sdk, snippet[1], snippet[2]) })
	}
}

// compile builds the snippet as an application of its own.
func compile(t *testing.T, sdk, imports, body string) {
	dir := t.TempDir()
	const module = "github.com/messageproxy/messageproxy"
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sums, err := os.ReadFile(filepath.Join(sdk, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	write("go.sum", string(sums))
	write("go.mod", fmt.Sprintf("module snippet\n\ngo 1.26.0\n\nrequire %[1]s/sdk/go v0.0.0\n\nreplace (\n\t%[1]s/sdk/go => %[2]s\n\t%[1]s/api => %[3]s\n)\n",
		module, sdk, filepath.Join(sdk, "../../api")))
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
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
