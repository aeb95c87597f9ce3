//go:build synctests

package simulation

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/messageproxy/messageproxy/integration/history"
)

// Print writes a history, a line for each event, with the time since its begin.
func Print(w io.Writer, entries []history.Entry) {
	for _, e := range entries {
		fmt.Fprintf(w, "%10v %s\n", e.At.Sub(entries[0].At).Round(time.Millisecond), describe(e.Event))
	}
}

func describe(event history.Event) string {
	switch e := event.(type) {
	case history.Delivered:
		return fmt.Sprintf("%s Delivered %s %s/%d %s", side(e.Side), e.Stream, e.Partition.Topic, e.Partition.Number, positions(e.Messages))
	case history.Fetched:
		return fmt.Sprintf("Fetched %s %s %s/%d %s", e.Server, e.Subscription, e.Partition.Topic, e.Partition.Number, positions(e.Messages))
	case history.Log:
		return fmt.Sprintf("Log %s/%d %s", e.Partition.Topic, e.Partition.Number, positions(e.Messages))
	case history.Acked:
		return fmt.Sprintf("%s Acked %s %d ids", side(e.Side), e.Stream, len(e.IDs))
	case history.NotHeld:
		return fmt.Sprintf("%s NotHeld %s %d ids", side(e.Side), e.Stream, len(e.IDs))
	}
	return strings.Replace(fmt.Sprintf("%T%+v", event, event), "history.", "", 1)
}

func side(s history.Side) string {
	if s == history.Server {
		return "server:"
	}
	return "client:"
}

// positions are those of messages, with runs of neighbours as "3-7".
func positions(messages []history.Message) string {
	var b strings.Builder
	for i := 0; i < len(messages); {
		j := i
		for j+1 < len(messages) && messages[j+1].Position == messages[j].Position+1 {
			j++
		}
		fmt.Fprintf(&b, " %d", messages[i].Position)
		if j > i {
			fmt.Fprintf(&b, "-%d", messages[j].Position)
		}
		i = j + 1
	}
	return b.String()
}
