package brokertest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sentence is a sentence of the contract's doc comments.
type sentence struct {
	text string
	// of is the type, function or constant that it stands on.
	of string
}

// notForBackends are sentences that no backend can follow or break, each with the
// reason. Those with a test elsewhere name it.
var notForBackends = map[string]string{
	"Package broker is the contract":            "an introduction",
	"The server speaks only this contract":      "an introduction",
	"The contract knows topics":                 "an introduction",
	"How a backend keeps a subscription's ACKs": "it leaves backends free",
	"Package brokertest checks every sentence":  "it is this test",
	"Code is the kind of an Error":              "a name; TestCodes… in package broker",
	"The codes":                                 "a heading",
	"A backend uses CodeInternal only":          "no check knows what fits no other code",
	"String names the code":                     "TestCodes… in package broker",
	"Codes returns all codes":                   "TestCodes… in package broker",
	"CodeUnauthenticated":                       "the backend's own tests have credentials",
	"CodePermissionDenied":                      "the backend's own tests have permissions",
	"Message says, for a person":                "no check knows what a person needs; Error.Error is checked not to be empty",
	"Err is the cause":                          "a name; TestError… in package broker",
	"Error says the kind":                       "TestError… in package broker",
	"Unwrap returns the cause":                  "TestError… in package broker",
	"Is reports whether target":                 "TestError… in package broker",
	"Error makes a Code a target":               "TestError… in package broker",
	"Compare orders partitions":                 "TestTopicPartition… in package broker",
	"String returns \"topic/partition\"":        "TestTopicPartition… in package broker",
}

// TestEverySentenceOfTheContractIsChecked reads the contract and finds each of its
// sentences in the quotations of a check, and the other way round.
func TestEverySentenceOfTheContractIsChecked(t *testing.T) {
	sentences := readContract(t)
	require.Greater(t, len(sentences), 100)
	used := map[string]bool{}
	for _, s := range sentences {
		var found []string
		for _, c := range Checks() {
			for _, quote := range c.Quotes {
				if quotes(quote, s) {
					used[quote] = true
					found = append(found, c.Name)
				}
			}
		}
		for quote, reason := range notForBackends {
			if strings.HasPrefix(s.text, quote) {
				used[quote] = true
				found = append(found, "(for no backend: "+reason+")")
			}
		}
		t.Logf("%s: %s\n\t%s", s.of, s.text, strings.Join(found, ", "))
		if len(found) == 0 {
			t.Errorf("no check quotes this sentence of %s: %s", s.of, s.text)
		}
	}
	for _, c := range Checks() {
		for _, quote := range c.Quotes {
			if !used[quote] {
				t.Errorf("%s quotes %q, which isn't in the contract", c.Name, quote)
			}
		}
	}
	for quote := range notForBackends {
		if !used[quote] {
			t.Errorf("%q isn't in the contract", quote)
		}
	}
}

func TestChecksAreNamedOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Checks() {
		require.Regexp(t, regexp.MustCompile(`^[a-z]+/[a-z_]+$`), c.Name)
		require.False(t, seen[c.Name], c.Name)
		require.NotEmpty(t, c.Quotes, c.Name)
		seen[c.Name] = true
	}
}

var owner = regexp.MustCompile(` ?\[(\w+)\]$`)

// quotes reports whether a quotation is the beginning of a sentence, or of the
// sentence on the type that it names at its end: "Close may be called twice.
// [Producer]".
func quotes(quote string, s sentence) bool {
	if of := owner.FindStringSubmatch(quote); of != nil {
		quote = owner.ReplaceAllString(quote, "")
		if of[1] != s.of {
			return false
		}
	}
	return strings.HasPrefix(s.text, strings.TrimSuffix(strings.TrimSpace(quote), "."))
}

func readContract(t *testing.T) []sentence {
	files, err := filepath.Glob("../*.go")
	require.NoError(t, err)
	var sentences []sentence
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		require.NoError(t, err)
		sentences = append(sentences, split("package", file.Doc)...)
		for _, decl := range file.Decls {
			sentences = append(sentences, readDecl(decl)...)
		}
	}
	return sentences
}

func readDecl(decl ast.Decl) []sentence {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		return split(decl.Name.Name, decl.Doc)
	case *ast.GenDecl:
		sentences := split(specName(decl.Specs[0]), decl.Doc)
		for _, spec := range decl.Specs {
			name := specName(spec)
			ast.Inspect(spec, func(node ast.Node) bool {
				switch node := node.(type) {
				case *ast.ValueSpec:
					sentences = append(sentences, split(name, node.Doc)...)
				case *ast.Field:
					sentences = append(sentences, split(name, node.Doc)...)
				}
				return true
			})
		}
		return sentences
	}
	return nil
}

func specName(spec ast.Spec) string {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		return spec.Name.Name
	case *ast.ValueSpec:
		return spec.Names[0].Name
	}
	return ""
}

// split returns the sentences of a comment.
func split(of string, doc *ast.CommentGroup) []sentence {
	if doc == nil || !ast.IsExported(of) && of != "package" {
		return nil
	}
	text := strings.Join(strings.Fields(doc.Text()), " ")
	var sentences []sentence
	for _, part := range strings.SplitAfter(text, ". ") {
		if part = strings.TrimSuffix(strings.TrimSpace(part), "."); part != "" {
			sentences = append(sentences, sentence{part, of})
		}
	}
	return slices.Clip(sentences)
}
