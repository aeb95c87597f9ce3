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

const (
	guarantees = "docs/guarantees.md"
	rules      = "## The rules and their tests"
	scripts    = "server/internal/coordinator/testdata/"
	suite      = "broker/brokertest"
)

var (
	testFunction = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	suiteCheck   = regexp.MustCompile(`(?m)^\s*Name:\s*"(\w+/\w+)"`)
	// shown is one place and its tests: consume `TestA`, `TestB`.
	shown = regexp.MustCompile("^(\\w+) (`[^`]+`(?:, `[^`]+`)*)$")
	rule  = regexp.MustCompile(`(?m)^### ([CP]\d) `)
)

// testsByFolder finds the tests, the coordinator's scripts and the suite's checks
// of each folder, by the names that the document uses.
func testsByFolder(t *testing.T) map[string][]string {
	t.Helper()
	tests := map[string][]string{}
	add := func(folder, file string, pattern *regexp.Regexp) {
		tests[folder] = append(tests[folder], matches(pattern, read(t, file))...)
	}
	files, _ := tree(t)
	for _, file := range files {
		folder, base := path.Dir(file), path.Base(file)
		switch {
		case strings.HasSuffix(base, "_test.go"):
			add(folder, file, testFunction)
		case folder == suite && strings.HasPrefix(base, "checks_"):
			add(folder, file, suiteCheck)
		case folder+"/" == scripts && path.Ext(base) == ".txt":
			parent := path.Dir(folder)
			tests[parent] = append(tests[parent], "TestScripts/"+strings.TrimSuffix(base, ".txt"))
		}
	}
	return tests
}

// places are the folders that the document's table of places gives names to.
func places(t *testing.T, text string) map[string]string {
	t.Helper()
	before, _, found := strings.Cut(text, "\n### ")
	require.True(t, found)
	places := map[string]string{}
	for _, row := range rows(before) {
		places[row[0]] = strings.Trim(row[1], "`")
	}
	require.NotEmpty(t, places)
	return places
}

func TestGuaranteesNameTestsThatExist(t *testing.T) {
	text := section(t, read(t, guarantees), rules)
	folders, tests := places(t, text), testsByFolder(t)
	_, tables, _ := strings.Cut(text, "\n### ")
	all := rows(tables)
	require.NotEmpty(t, all)
	for _, row := range all {
		require.Len(t, row, 2, "%v", row)
		for _, part := range strings.Split(row[1], "; ") {
			match := shown.FindStringSubmatch(part)
			if !assert.NotNil(t, match, "%q is not a place and its tests", part) {
				continue
			}
			folder := folders[match[1]]
			assert.NotEmpty(t, folder, "%q is not in the table of places", match[1])
			for _, name := range quoted(match[2]) {
				assert.True(t, slices.Contains(tests[folder], name), "%s names %s, which is not in %s", guarantees, name, folder)
			}
		}
	}
}

// A test may be named in the text too, without its place.
func TestGuaranteesNameNoOtherTests(t *testing.T) {
	var known []string
	for _, names := range testsByFolder(t) {
		known = append(known, names...)
	}
	for _, name := range quoted(read(t, guarantees)) {
		if strings.HasPrefix(name, "Test") && name != "TestScripts/x" {
			assert.True(t, slices.Contains(known, name), "%s names %s, which is nowhere", guarantees, name)
		}
	}
}

func TestEveryRuleHasTests(t *testing.T) {
	text := section(t, read(t, guarantees), rules)
	var found []string
	for _, match := range rule.FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
		_, after, _ := strings.Cut(text, match[0])
		before, _, _ := strings.Cut(after, "\n### ")
		assert.NotEmpty(t, rows(before), "%s names no test of %s", guarantees, match[1])
		assert.True(t, strings.Contains(before, "\n> "), "%s doesn't quote %s", guarantees, match[1])
	}
	assert.Equal(t, []string{"C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8", "C9", "P1", "P2", "P3"}, found)
}

// A script that no rule names shows nobody anything.
func TestGuaranteesNameEveryScript(t *testing.T) {
	text := read(t, guarantees)
	for _, name := range slices.Sorted(slices.Values(testsByFolder(t)[path.Dir(path.Clean(scripts))])) {
		if strings.HasPrefix(name, "TestScripts/") {
			assert.True(t, strings.Contains(text, "`"+name+"`"), "%s doesn't name %s", guarantees, name)
		}
	}
}
