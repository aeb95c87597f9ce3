package suite

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// marks are how the table shows outcomes.
var marks = map[Outcome]string{Passed: "✓", Failed: "✗", Unsupported: "n/a", Skipped: "–"}

// WriteTable writes the table of sentences by drivers, in Markdown, and below it why some
// are not shown.
func WriteTable(out io.Writer, sentences []Sentence, notShown map[string]string, drivers []string, results []Result) {
	fmt.Fprintf(out, "| | sentence | %s |\n|---|---|%s\n", strings.Join(drivers, " | "), strings.Repeat(":-:|", len(drivers)))
	var notes []string
	for _, s := range sentences {
		fmt.Fprintf(out, "| %s | %s |", s.Number, firstWords(s.Text))
		for _, d := range drivers {
			fmt.Fprintf(out, " %s |", markOf(d, s.Number, results))
		}
		fmt.Fprintln(out)
		if reason, ok := notShown[s.Number]; ok {
			notes = append(notes, fmt.Sprintf("%s is not shown: %s", s.Number, reason))
		}
	}
	for _, r := range results {
		if r.Outcome == Unsupported || r.Outcome == Skipped {
			notes = append(notes, fmt.Sprintf("%s, %q (%s): %v: %s", r.Driver, r.Scenario.Name, strings.Join(r.Scenario.Shows, " "), r.Outcome, r.Why))
		}
	}
	fmt.Fprintln(out)
	for _, note := range notes {
		fmt.Fprintf(out, "- %s\n", note)
	}
}

// markOf is what the scenarios that show a sentence say of it: it is shown if all passed
// that could be played.
func markOf(driver, number string, results []Result) string {
	worst := Outcome(0)
	for _, r := range results {
		if r.Driver != driver || !slices.Contains(r.Scenario.Shows, number) {
			continue
		}
		switch {
		case r.Outcome == Failed:
			return marks[Failed]
		case r.Outcome == Passed, worst == 0:
			worst = r.Outcome
		}
	}
	if worst == 0 {
		return ""
	}
	return marks[worst]
}

// firstWords is the beginning of a sentence.
func firstWords(text string) string {
	const longest = 90
	text = strings.ReplaceAll(text, "|", `\|`)
	if len(text) <= longest {
		return text
	}
	return strings.TrimRight(strings.ToValidUTF8(text[:strings.LastIndex(text[:longest], " ")], ""), " ,;:") + " …"
}
