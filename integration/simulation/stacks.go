//go:build synctests

package simulation

import (
	"bytes"
	"runtime"
	"strings"
)

// stacks returns those stacks of goroutines whose first line is of interest.
func stacks(ofInterest func(first []byte) bool) string {
	b := make([]byte, 8<<20)
	b = b[:runtime.Stack(b, true)]
	var kept []string
	for stack := range bytes.SplitSeq(b, []byte("\n\n")) {
		if first, _, _ := bytes.Cut(stack, []byte("\n")); ofInterest(first) {
			kept = append(kept, string(stack))
		}
	}
	return strings.Join(kept, "\n\n")
}

// bubbleStacks are those of goroutines in bubbles.
func bubbleStacks() string {
	return stacks(func(first []byte) bool { return bytes.Contains(first, []byte("synctest bubble")) })
}

// runningStacks are those of goroutines that keep time in their bubbles from
// passing.
func runningStacks() string {
	return stacks(func(first []byte) bool {
		return bytes.Contains(first, []byte("synctest bubble")) && !bytes.Contains(first, []byte("(durable)"))
	})
}
