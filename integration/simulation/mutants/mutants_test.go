package mutants_test

import (
	"go/parser"
	"go/token"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/integration/simulation/mutants"
)

const root = "../../.."

func TestEditsFindTheirPlaces(t *testing.T) {
	for _, m := range mutants.All() {
		t.Run(m.Name, func(t *testing.T) {
			files, err := m.Files(root)
			require.NoError(t, err)
			require.NotEmpty(t, files)
			for name, text := range files {
				_, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
				assert.NoError(t, err)
			}
		})
	}
}

func TestMutantsSayWhatTheyAre(t *testing.T) {
	names := map[string]bool{}
	for _, m := range mutants.All() {
		assert.NotEmpty(t, m.Name)
		assert.False(t, names[m.Name], "%s names two mutants", m.Name)
		names[m.Name] = true
		assert.NotEmpty(t, m.Guarantee, m.Name)
		assert.NotEmpty(t, m.Off, m.Name)
		assert.NotEmpty(t, m.Caught, m.Name)
		for _, e := range m.Edits {
			assert.NotEqual(t, e.Old, e.New, m.Name)
		}
	}
	assert.GreaterOrEqual(t, len(names), 15)
}
