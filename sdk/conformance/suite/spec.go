package suite

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Sentence is a numbered sentence of SPEC.md.
type Sentence struct {
	Number, Text string
}

var numbered = regexp.MustCompile(`^- \*\*([A-Z]+[0-9]+)\*\* (.*)$`)

// ReadSpec reads the numbered sentences of a SPEC.md.
func ReadSpec(path string) ([]Sentence, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseSpec(string(data))
}

func parseSpec(text string) ([]Sentence, error) {
	var sentences []Sentence
	inside := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if m := numbered.FindStringSubmatch(line); m != nil {
			if slices.ContainsFunc(sentences, func(s Sentence) bool { return s.Number == m[1] }) {
				return nil, fmt.Errorf("the number %s is there twice", m[1])
			}
			sentences = append(sentences, Sentence{m[1], m[2]})
			inside = true
			continue
		}
		if inside && strings.HasPrefix(line, "  ") {
			sentences[len(sentences)-1].Text += " " + strings.TrimSpace(line)
			continue
		}
		if strings.Contains(line, "- **") {
			return nil, fmt.Errorf("a line that begins like a sentence and has no number: %q", line)
		}
		inside = false
	}
	if len(sentences) == 0 {
		return nil, fmt.Errorf("there is no numbered sentence")
	}
	return sentences, nil
}

// CheckTable says what is wrong between the sentences and the scenarios: sentences that
// nothing shows, scenarios that show sentences that don't exist, and names that are there
// twice. notShown has the sentences that can't be shown, with the reasons.
func CheckTable(sentences []Sentence, scenarios []Scenario, notShown map[string]string) []string {
	var wrong []string
	exists, shown, names := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, s := range sentences {
		exists[s.Number] = true
	}
	for _, s := range scenarios {
		if names[s.Name] {
			wrong = append(wrong, fmt.Sprintf("two scenarios have the name %q", s.Name))
		}
		names[s.Name] = true
		for _, number := range s.Shows {
			if !exists[number] {
				wrong = append(wrong, fmt.Sprintf("the scenario %q shows %s, which is no sentence", s.Name, number))
			}
			if !s.Real {
				shown[number] = true
			}
		}
	}
	for _, s := range sentences {
		reason, excused := notShown[s.Number]
		switch {
		case !shown[s.Number] && (!excused || reason == ""):
			wrong = append(wrong, fmt.Sprintf("no scenario shows %s: %s", s.Number, s.Text))
		case shown[s.Number] && excused:
			wrong = append(wrong, fmt.Sprintf("%s is said not to be shown, and is", s.Number))
		}
	}
	for number := range notShown {
		if !exists[number] {
			wrong = append(wrong, fmt.Sprintf("%s is said not to be shown, and is no sentence", number))
		}
	}
	return wrong
}
