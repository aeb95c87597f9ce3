package report

import (
	"fmt"
	"io"

	"github.com/messageproxy/messageproxy/tools/bench/areas"
)

// Profile is where the proxy's time goes on a path.
type Profile struct {
	Path       string       `json:"path"`
	ValueBytes int          `json:"value_bytes"`
	Shares     areas.Shares `json:"shares"`
}

func (r *Report) writeProfiles(w io.Writer) {
	if len(r.Profiles) == 0 {
		return
	}
	fmt.Fprint(w, "## Where the proxy's time goes\n\n")
	t := table{head: []string{""}}
	for _, p := range r.Profiles {
		t.head = append(t.head, p.Path+" "+size(p.ValueBytes))
	}
	for _, area := range areas.Names {
		row := []string{area}
		for _, p := range r.Profiles {
			row = append(row, fmt.Sprintf("%.0f %%", 100*p.Shares[area]))
		}
		t.add(row...)
	}
	t.write(w)
	fmt.Fprintln(w)
}
