//go:build synctests

package simulation

import (
	"bytes"
	"strings"
)

// bubbleStacks are those of goroutines in bubbles that nothing can wake any more.
func bubbleStacks() string {
	var kept []string
	for stack := range bytes.SplitSeq(stacks(), []byte("\n\n")) {
		if bytes.Contains(stack, []byte("synctest bubble")) {
			kept = append(kept, string(stack))
		}
	}
	return strings.Join(kept, "\n\n")
}
