package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// table is a Markdown table whose columns are aligned, so that it can be read as it
// is too.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) write(w io.Writer) {
	widths := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell), len("---"))
		}
	}
	rule := make([]string, len(t.head))
	for i := range rule {
		rule[i] = strings.Repeat("-", widths[i])
		if i > 0 {
			rule[i] = rule[i][1:] + ":"
		}
	}
	writeRow(w, t.head, widths)
	writeRow(w, rule, widths)
	for _, row := range t.rows {
		writeRow(w, row, widths)
	}
}

// writeRow writes the first cell to the left, the others, which are figures, to the
// right.
func writeRow(w io.Writer, cells []string, widths []int) {
	for i, cell := range cells {
		space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if i == 0 {
			fmt.Fprint(w, "| "+cell+space+" |")
		} else {
			fmt.Fprint(w, " "+space+cell+" |")
		}
	}
	fmt.Fprintln(w)
}

// thousands writes a whole number with commas.
func thousands(n float64) string {
	digits := strconv.FormatFloat(n, 'f', 0, 64)
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

func percent(part float64) string { return fmt.Sprintf("%.0f %%", 100*part) }

func mebibytes(bytes int64) string {
	if bytes == 0 {
		return ""
	}
	return thousands(float64(bytes)/(1<<20)) + " MiB"
}
