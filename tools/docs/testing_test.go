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
	testingPage = "docs/testing.md"
	histories   = "integration/history/testdata"
	simulation  = "integration/simulation"
	plans       = "integration/simulation/testdata"
	mutantLists = "integration/simulation/mutants"
)

var (
	testLike   = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	ownRule    = regexp.MustCompile(`(?:violate\(|Rule: )"([a-z-]+)"`)
	mutantName = regexp.MustCompile(`(?m)^\t\tName: +"([a-z-]+)"`)
)

// The invariants are those that the checker has, each of which has a history that
// breaks it, and those that the simulation checks itself.
func TestTestingNamesEveryInvariant(t *testing.T) {
	var rules []string
	files, _ := tree(t)
	for _, file := range files {
		switch {
		case path.Dir(file) == histories:
			rule, _, _ := strings.Cut(strings.TrimSuffix(path.Base(file), ".txt"), "_")
			rules = append(rules, rule)
		case path.Dir(file) == simulation && strings.HasSuffix(file, ".go") && !strings.HasSuffix(file, "_test.go"):
			rules = append(rules, matches(ownRule, read(t, file))...)
		}
	}
	slices.Sort(rules)
	rules = slices.Compact(rules)
	rules = slices.DeleteFunc(rules, func(rule string) bool { return rule == "clean" })
	require.NotEmpty(t, rules)
	var named []string
	for _, row := range rows(section(t, read(t, testingPage), "## The invariants")) {
		named = append(named, quoted(row[0])...)
	}
	slices.Sort(named)
	assert.Equal(t, rules, named)
}

func TestTestingNamesTestsAndPlansThatExist(t *testing.T) {
	files, _ := tree(t)
	var known []string
	for _, file := range files {
		switch {
		case strings.HasSuffix(file, "_test.go"):
			known = append(known, matches(testLike, read(t, file))...)
		case path.Dir(file) == plans, path.Dir(file) == histories:
			known = append(known, path.Base(file))
		}
	}
	named := regexp.MustCompile(`^((Test|Fuzz|Benchmark)[A-Z]\w*|[\w-]+\.plan)$`)
	count := 0
	for _, name := range quoted(read(t, testingPage)) {
		if named.MatchString(name) {
			count++
			assert.True(t, slices.Contains(known, name), "%s names %s, which is nowhere", testingPage, name)
		}
	}
	assert.Positive(t, count)
}

func TestTestingNamesEveryMutant(t *testing.T) {
	files, _ := tree(t)
	var mutants []string
	for _, file := range files {
		if path.Dir(file) == mutantLists && strings.HasPrefix(path.Base(file), "list_") {
			mutants = append(mutants, matches(mutantName, read(t, file))...)
		}
	}
	require.NotEmpty(t, mutants)
	var named []string
	for _, row := range rows(section(t, read(t, testingPage), "## Mutation check")) {
		named = append(named, quoted(row[0])...)
	}
	assert.ElementsMatch(t, mutants, named)
}
