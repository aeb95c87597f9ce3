package kafka

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestNotesAreReadAsWritten(t *testing.T) {
	for _, n := range []note{
		{topic: topicID{1, 2, 3}},
		{topic: topicID{15: 255}, began: 1},
		{topic: topicID{7}, began: 1 << 30},
	} {
		assert.Equal(t, n, parseNote(n.String()), n.String())
	}
}

func TestNotesOfOthers(t *testing.T) {
	for text, want := range map[string]note{
		"":                         {},
		"anything":                 {},
		"messageproxy: ":           {},
		"messageproxy: topic":      {},
		"messageproxy: topic=AAAA": {},
		"messageproxy: began at the latest with partitions=12":                      {began: 12}, // before topics were noted
		"messageproxy: began at the latest with partitions=-1":                      {},
		"messageproxy: began at the latest with partitions=x":                       {},
		"messageproxy: began at the latest with partitions=3; topic=!":              {began: 3},
		"messageproxy: began at the latest with partitions=0; topic=" + ones:        {topic: topicOfOnes},
		"messageproxy: topic=" + ones:                                               {topic: topicOfOnes},
		" messageproxy: topic=" + ones:                                              {},
		"messageproxy: topic=" + ones + "; something that a later version will say": {topic: topicOfOnes},
	} {
		assert.Equal(t, want, parseNote(text), text)
	}
}

const ones = "AQEBAQEBAQEBAQEBAQEBAQ"

var topicOfOnes = topicID{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}

func TestForeignNotes(t *testing.T) {
	assert.False(t, note{}.isForeign(topicOfOnes), "nothing is noted: it is taken as it is")
	assert.False(t, note{topic: topicOfOnes}.isForeign(topicOfOnes))
	assert.True(t, note{topic: topicID{2}}.isForeign(topicOfOnes))
}
