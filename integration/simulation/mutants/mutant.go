package mutants

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Mutant is the proxy with one rule switched off.
type Mutant struct {
	// Name says which rule, in a few words with dashes.
	Name string
	// Guarantee is the rule of docs/guarantees.md that is broken: "C5", "P3", or the
	// words of a promise there.
	Guarantee string
	// Off says what the proxy doesn't do any more.
	Off string
	// Caught are the violations by which the simulation is expected to notice: any one
	// of them. What else it finds counts as caught too, and is shown.
	Caught []string
	// Rare: it takes more plans than others to come upon what the rule is for.
	Rare  bool
	Edits []Edit
}

// Edit replaces a piece of one file.
type Edit struct {
	// File is the path from the root of the repository.
	File string
	// Old occurs exactly once in it.
	Old string
	New string
}

// All returns every mutant.
func All() []Mutant {
	return slices.Concat(coordinatorMutants, consumeMutants, kafkaConsumerMutants, kafkaProducerMutants, produceMutants, sdkMutants)
}

// Files returns what the mutant makes of the files that it edits, by their paths
// from the root of the repository.
func (m Mutant) Files(root string) (map[string]string, error) {
	files := make(map[string]string)
	for _, e := range m.Edits {
		text, ok := files[e.File]
		if !ok {
			raw, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(e.File)))
			if err != nil {
				return nil, fmt.Errorf("mutant %s: %w", m.Name, err)
			}
			text = string(raw)
		}
		if n := strings.Count(text, e.Old); n != 1 {
			return nil, fmt.Errorf("mutant %s: this piece of %s is there %d times, not once: write the edit anew\n%s",
				m.Name, e.File, n, e.Old)
		}
		files[e.File] = strings.Replace(text, e.Old, e.New, 1)
	}
	return files, nil
}
