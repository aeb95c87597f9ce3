package config

import (
	"fmt"
	"strings"
)

// lookUp finds a command's setting by one of its names. The error says what may
// have been meant.
func (l *loader) lookUp(name string, nameOf func(Setting) string) (Setting, error) {
	for _, s := range table {
		if nameOf(s) != name {
			continue
		}
		if s.Commands&l.command == 0 {
			return Setting{}, fmt.Errorf("is a setting of the command %s, not of %s", s.Commands, l.command)
		}
		return s, nil
	}
	if similar := mostSimilar(name, Of(l.command), nameOf); similar != "" {
		return Setting{}, fmt.Errorf("there is no such setting: is %s meant?", similar)
	}
	return Setting{}, fmt.Errorf("there is no such setting: see \"messageproxy %s --help\"", l.command)
}

// mostSimilar returns the name that is most similar to this one, or nothing if
// none is.
func mostSimilar(name string, settings []Setting, nameOf func(Setting) string) string {
	const longest = 100 // whatever is longer is no slip of the pen
	if len(name) > longest {
		return ""
	}
	best, least := "", 4 // differing in more letters than 3 isn't similar
	for _, s := range settings {
		for _, candidate := range []string{s.Key, s.Flag, s.Env()} {
			if d := distance(normalize(name), normalize(candidate)); d < least {
				best, least = nameOf(s), d
			}
		}
	}
	return best
}

// normalize makes names of flags, variables and keys alike.
func normalize(name string) string {
	name = strings.NewReplacer("-", "", "_", "", ".", "").Replace(strings.ToLower(name))
	return strings.TrimPrefix(name, "messageproxy")
}

// distance is the Levenshtein distance of two texts, in bytes (Wagner and
// Fischer's algorithm, one row at a time).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
