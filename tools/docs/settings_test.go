package docs

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The command's own tests keep this file equal to its settings.
const settings = "server/internal/config/testdata/settings.md"

func TestSettingsInTheReadme(t *testing.T) {
	_, rest, opened := strings.Cut(read(t, "README.md"), "\n<!-- settings -->\n")
	table, _, closed := strings.Cut(rest, "<!-- /settings -->\n")
	require.True(t, opened && closed, "README.md has no <!-- settings --> … <!-- /settings -->")
	want := strings.TrimSpace(section(t, "\n"+read(t, settings), "## serve"))
	assert.Equal(t, want, strings.TrimSpace(table), "copy the table of serve from %s", settings)
}
