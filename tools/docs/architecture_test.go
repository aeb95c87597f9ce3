package docs

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const architecture = "ARCHITECTURE.md"

// looksLikePath matches what names a file or a folder: something with a slash that
// is no text of another kind, or a file with an extension that is used here.
var looksLikePath = regexp.MustCompile(`^[\w.-]+(/[\w.-]+)+$|^[\w-]*\.?[\w-]+\.(go|md|proto|txt|yml|yaml|work|mod)$`)

// notPaths look like paths and aren't.
var notPaths = []string{"testing/synctest", "go.mod"}

// TestArchitectureNamesFilesThatExist also holds for the pages in docs/adr. A file is
// named by its path, or by the end of it, as long as only one file's ends so.
func TestArchitectureNamesFilesThatExist(t *testing.T) {
	files, folders := tree(t)
	known := slices.Concat(files, folders)
	pages := []string{architecture}
	for _, document := range documents(t) {
		if strings.HasPrefix(document, "docs/adr/") {
			pages = append(pages, document)
		}
	}
	paths := 0
	for _, page := range pages {
		for _, name := range quoted(read(t, page)) {
			if !looksLikePath.MatchString(name) || slices.Contains(notPaths, name) {
				continue
			}
			paths++
			found := named(known, name)
			assert.Len(t, found, 1, "%s names %s, which must be one file", page, name)
		}
	}
	require.Greater(t, paths, 100, "the pattern finds no paths any more")
}

var (
	identifierInFile = regexp.MustCompile("`(\\w+)`\\s+in\\s+`([^`]+\\.go)`")
	fileOfIdentifier = regexp.MustCompile("`([^`]+\\.go)`,?\\s+\\(?`(\\w+)`")
)

// TestArchitectureNamesIdentifiersThatExist: `name` in `file.go`, `file.go` (`name`),
// `file.go`, `name`.
func TestArchitectureNamesIdentifiersThatExist(t *testing.T) {
	text, found := read(t, architecture), 0
	check := func(file, identifier string) {
		found++
		files, _ := tree(t)
		of := named(files, file)
		require.Len(t, of, 1, file)
		declared := regexp.MustCompile(`(?m)^(func (\([^)]*\) )?|type )` + identifier + `\b`)
		assert.True(t, declared.MatchString(read(t, of[0])), "%s says that %s has %s", architecture, file, identifier)
	}
	for _, match := range identifierInFile.FindAllStringSubmatch(text, -1) {
		check(match[2], match[1])
	}
	for _, match := range fileOfIdentifier.FindAllStringSubmatch(text, -1) {
		check(match[1], match[2])
	}
	require.Greater(t, found, 5, "the patterns find nothing any more")
}

// named are the files and folders that a name stands for.
func named(known []string, name string) (found []string) {
	if slices.Contains(known, name) {
		return []string{name}
	}
	for _, file := range known {
		if strings.HasSuffix(file, "/"+name) {
			found = append(found, file)
		}
	}
	return found
}

// Every page of docs/adr is listed, under its number and with its title.
func TestArchitectureListsTheDecisions(t *testing.T) {
	list := section(t, read(t, architecture), "## Decisions")
	numbered := regexp.MustCompile(`^docs/adr/(0*([1-9]\d*))-[a-z0-9-]+\.md$`)
	count := 0
	for _, document := range documents(t) {
		if path.Dir(document) != "docs/adr" {
			continue
		}
		count++
		match := numbered.FindStringSubmatch(document)
		require.NotNil(t, match, "%s is not called NNNN-title.md", document)
		require.Len(t, match[1], 4, document)
		first, _, _ := strings.Cut(read(t, document), "\n")
		title, isNumbered := strings.CutPrefix(first, "# "+match[2]+". ")
		assert.True(t, isNumbered, "%s begins with %q", document, first)
		entry := match[2] + ". [" + title + "](" + document + ")\n"
		assert.True(t, strings.Contains(list, entry), "%s doesn't list %q", architecture, entry)
	}
	assert.Equal(t, count, strings.Count(list, "(docs/adr/"))
	assert.NotZero(t, count)
}
