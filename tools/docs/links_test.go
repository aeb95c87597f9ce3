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

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
	// notInAnchor is what is left out of a heading's anchor.
	notInAnchor = regexp.MustCompile(`[^\pL\pN _-]`)
)

// TestRelativeLinksLeadSomewhere doesn't look at links to other sites.
func TestRelativeLinksLeadSomewhere(t *testing.T) {
	files, folders := tree(t)
	known := slices.Concat(files, folders)
	links := 0
	for _, document := range documents(t) {
		text := code.ReplaceAllString(fence.ReplaceAllString(read(t, document), ""), "")
		for _, match := range link.FindAllStringSubmatch(text, -1) {
			target, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, ":") {
				continue
			}
			links++
			file := document
			if target != "" {
				file = path.Join(path.Dir(document), target)
			}
			leads := slices.Contains(known, file) && (anchor == "" || slices.Contains(anchors(read(t, file)), anchor))
			assert.True(t, leads, "%s links to %s", document, match[1])
		}
	}
	require.NotZero(t, links)
}

// anchors are the names by which links reach the headings of a document.
func anchors(document string) (anchors []string) {
	for _, match := range heading.FindAllStringSubmatch(fence.ReplaceAllString(document, ""), -1) {
		name := notInAnchor.ReplaceAllString(strings.ToLower(match[1]), "")
		anchors = append(anchors, strings.ReplaceAll(name, " ", "-"))
	}
	return anchors
}
