package suite

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const text = `# What an SDK does

- **C1** A client is made of a target,
  and options.
- **C2** Targets | are checked.

| of | option |
| --- | --- |
`

func TestSentencesAreRead(t *testing.T) {
	sentences, err := parseSpec(text)
	require.NoError(t, err)
	assert.Equal(t, []Sentence{{"C1", "A client is made of a target, and options."}, {"C2", "Targets | are checked."}}, sentences)
	_, err = parseSpec(text + "- **C1** Again.\n")
	require.ErrorContains(t, err, "C1")
	_, err = parseSpec(text + "- **c3** No number.\n")
	require.ErrorContains(t, err, "no number")
	_, err = parseSpec("nothing")
	require.Error(t, err)
}

func TestSentencesWithoutScenariosAreNoticed(t *testing.T) {
	sentences, err := parseSpec(text)
	require.NoError(t, err)
	one := Scenario{Name: "one", Shows: []string{"C1"}}
	two := Scenario{Name: "two", Shows: []string{"C2"}}
	assert.Empty(t, CheckTable(sentences, []Scenario{one, two}, nil))
	assert.Empty(t, CheckTable(sentences, []Scenario{one}, map[string]string{"C2": "it can't be seen"}))
	for what, wrong := range map[string][]string{
		"no scenario shows C2":       CheckTable(sentences, []Scenario{one}, nil),
		"C2":                         CheckTable(sentences, []Scenario{one}, map[string]string{"C2": ""}),
		"is said not to be shown":    CheckTable(sentences, []Scenario{one, two}, map[string]string{"C2": "and yet"}),
		"which is no sentence":       CheckTable(sentences, []Scenario{one, two, {Name: "three", Shows: []string{"C3"}}}, nil),
		"two scenarios":              CheckTable(sentences, []Scenario{one, two, {Name: "two"}}, nil),
		"and is no sentence":         CheckTable(sentences, []Scenario{one, two}, map[string]string{"C3": "it can't be seen"}),
		"no scenario shows C2: Targ": CheckTable(sentences, []Scenario{one, {Name: "real", Shows: []string{"C2"}, Real: true}}, nil),
	} {
		require.Len(t, wrong, 1, what)
		assert.Contains(t, wrong[0], what)
	}
}

func TestTheTableShowsTheWorstOfWhatWasPlayed(t *testing.T) {
	sentences, err := parseSpec(text)
	require.NoError(t, err)
	both, first := &Scenario{Name: "both", Shows: []string{"C1", "C2"}}, &Scenario{Name: "first", Shows: []string{"C1"}}
	results := []Result{
		{Driver: "go", Scenario: both, Outcome: Passed},
		{Driver: "go", Scenario: first, Outcome: Failed},
		{Driver: "java", Scenario: both, Outcome: Unsupported, Why: "no such type"},
		{Driver: "java", Scenario: first, Outcome: Passed},
	}
	var out strings.Builder
	WriteTable(&out, sentences, nil, []string{"go", "java", "none"}, results)
	assert.Equal(t, `| | sentence | go | java | none |
|---|---|:-:|:-:|:-:|
| C1 | A client is made of a target, and options. | ✗ | ✓ |  |
| C2 | Targets \| are checked. | ✓ | n/a |  |

- java, "both" (C1 C2): unsupported: no such type
`, out.String())
}
