package coordinator

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// chooser decides, for the random tests, what happens next, and is told what goes
// wrong.
type chooser interface {
	require.TestingT
	Logf(format string, args ...any)
	// choose answers one of 0 to most, which is at most 255.
	choose(label string, most int) int
}

// rapidChooser has rapid choose, and shrink what fails.
type rapidChooser struct{ *rapid.T }

func (c rapidChooser) choose(label string, most int) int { return upTo(most).Draw(c.T, label) }

// upTo draws evenly from 0 to most, which is at most 255. (rapid's own generators
// prefer small numbers.)
func upTo(most int) *rapid.Generator[int] {
	return rapid.Custom(func(t *rapid.T) int {
		n := 0
		for range 8 {
			n *= 2
			if rapid.Bool().Draw(t, "bit") {
				n++
			}
		}
		return n * (most + 1) / 256
	})
}

// byteChooser has a fuzzer choose: a byte for each choice, and the first when it has
// no more.
type byteChooser struct {
	*testing.T
	choices []byte
}

func (c *byteChooser) choose(_ string, most int) int {
	if len(c.choices) == 0 {
		return 0
	}
	choice := c.choices[0]
	c.choices = c.choices[1:]
	return int(choice) % (most + 1)
}

// shuffled returns list in an order that is chosen.
func shuffled[T any](c chooser, list []T) []T {
	list = append([]T(nil), list...)
	for i := len(list) - 1; i > 0; i-- {
		j := c.choose("order", i)
		list[i], list[j] = list[j], list[i]
	}
	return list
}
