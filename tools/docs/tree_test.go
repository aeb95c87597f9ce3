package docs

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const root = "../.."

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	require.NoError(t, err)
	return string(content)
}

// tree lists the repository's files and folders, with slashes, relative to its
// root. What begins with a dot is left out, apart from what is kept in git.
func tree(t *testing.T) (files, folders []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		switch {
		case !entry.IsDir():
			files = append(files, relative)
		case isHidden(relative):
			return filepath.SkipDir
		default:
			folders = append(folders, relative)
		}
		return nil
	})
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files, folders
}

func isHidden(folder string) bool {
	base := path.Base(folder)
	return base == "node_modules" ||
		strings.HasPrefix(base, ".") && folder != "." && base != ".github" && base != ".ci"
}

// documents are the Markdown files.
func documents(t *testing.T) []string {
	t.Helper()
	var documents []string
	files, _ := tree(t)
	for _, file := range files {
		if path.Ext(file) == ".md" {
			documents = append(documents, file)
		}
	}
	require.Contains(t, documents, "README.md")
	return documents
}

var (
	fence = regexp.MustCompile("(?ms)^```.*?^```")
	code  = regexp.MustCompile("`([^`]+)`")
)

// quoted returns what stands in backticks in a document, outside of blocks.
func quoted(document string) []string {
	return matches(code, fence.ReplaceAllString(document, ""))
}

// matches returns what the first group of a pattern matches in a text.
func matches(pattern *regexp.Regexp, text string) (texts []string) {
	for _, match := range pattern.FindAllStringSubmatch(text, -1) {
		texts = append(texts, match[1])
	}
	return texts
}

// section returns what stands between a heading and the next one of its level or
// above.
func section(t *testing.T, document, heading string) string {
	t.Helper()
	_, rest, found := strings.Cut(document, "\n"+heading+"\n")
	require.True(t, found, "there is no %q", heading)
	level, _, _ := strings.Cut(heading, " ")
	var lines []string
	for line := range strings.Lines(rest) {
		hashes, _, isHeading := strings.Cut(line, " ")
		if isHeading && hashes != "" && strings.Trim(hashes, "#") == "" && len(hashes) <= len(level) {
			break
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "")
}

// rows returns the cells of the tables of a text, without their headings.
func rows(text string) (rows [][]string) {
	inTable := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case !strings.HasPrefix(line, "|"):
			inTable = false
		case strings.HasPrefix(line, "| ---"):
			inTable = true
		case inTable:
			cells := strings.Split(strings.Trim(line, "|"), " | ")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			rows = append(rows, cells)
		}
	}
	return rows
}
