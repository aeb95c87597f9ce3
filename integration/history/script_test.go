package history_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/integration/history"
)

var update = flag.Bool("update", false, "write what is reported into the scripts")

// TestScripts checks the histories of testdata. A file begins with what it shows,
// then says what happens, a line each, a second apart ("=" for at the same time, "+5s"
// for later), and ends with what is to be reported: nothing if there is nothing after
// the dashes. The name of a file of which something is reported begins with the rule.
//
// Streams are those that servers see, or clients if their name begins with "c:".
// Messages are written as positions: "0-3,5"; "5=x" has the token x, "5#x" the id x.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) { runScript(t, file, name) })
	}
}

const dashes = "\n----\n"

func runScript(t *testing.T, file, name string) {
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	body, want, ok := strings.Cut(string(text), dashes)
	require.True(t, ok, "a line of four dashes stands before the report")
	s := script{T: t, now: epoch}
	for line := range strings.Lines(body) {
		s.line(strings.TrimSpace(line))
	}
	violations := history.Check(s.entries, s.rules)
	rule, _, _ := strings.Cut(name, "_")
	if rule != "clean" {
		require.Len(t, violations, 1)
		assert.Equal(t, rule, violations[0].Rule)
	}
	got := history.Report(violations)
	if got != "" {
		got += "\n"
	}
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(body+dashes+got), 0o600))
		return
	}
	assert.Equal(t, want, got)
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// script makes a history of a text.
type script struct {
	*testing.T
	now     time.Time
	entries []history.Entry
	rules   history.Rules
}

// line takes one line of a script.
func (s *script) line(line string) {
	words := strings.Fields(line)
	if len(words) == 0 || words[0] == "#" {
		return
	}
	step := time.Second
	switch first := words[0]; {
	case first == "=":
		step, words = 0, words[1:]
	case first[0] == '+':
		step, words = s.duration(first[1:]), words[1:]
	case first == "rules":
		s.setRules(words[1:])
		return
	}
	s.now = s.now.Add(step)
	parse := verbs[words[0]]
	require.NotNil(s, parse, "what does %q mean?", line)
	s.entries = append(s.entries, history.Entry{At: s.now, Event: parse(&phrase{s, words[1:]})})
}

func (s *script) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	require.NoError(s, err)
	return d
}

func (s *script) setRules(words []string) {
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "slack":
			s.rules.Slack = s.duration(value)
		case "timeout":
			s.rules.AckTimeout = s.duration(value)
		case "window":
			s.rules.PartitionWindow = s.number(value)
		case "overshoot":
			s.rules.Overshoot = s.number(value)
		case "window-bytes":
			s.rules.WindowBytes = s.number(value)
		case "budget":
			s.rules.BufferedBytes = s.number(value)
		case "latest":
			s.rules.StartLatest = map[string]bool{value: true}
		case "settled":
			s.rules.Settled = true
		default:
			s.Fatalf("no rule is called %q", name)
		}
	}
}

func (s *script) number(text string) int {
	n, err := strconv.Atoi(text)
	require.NoError(s, err)
	return n
}

// phrase are the words of a line after its verb, taken one by one.
type phrase struct {
	*script
	left []string
}

func (w *phrase) next() string {
	require.NotEmpty(w, w.left, "a word is missing")
	word := w.left[0]
	w.left = w.left[1:]
	return word
}

// option returns the value of a word "name=value" among those that are left.
func (w *phrase) option(name string) string {
	for i, word := range w.left {
		if value, ok := strings.CutPrefix(word, name+"="); ok {
			w.left = append(w.left[:i:i], w.left[i+1:]...)
			return value
		}
	}
	return ""
}

func (w *phrase) has(flag string) bool { return len(w.left) > 0 && w.left[0] == flag }

func (w *phrase) rest() string { return strings.Join(w.left, " ") }

func (w *phrase) stream() (history.Side, string) {
	if name, ok := strings.CutPrefix(w.left[0], "c:"); ok {
		w.next()
		return history.Client, name
	}
	return history.Server, w.next()
}

func (w *phrase) partition() history.Partition {
	topic, number, ok := strings.Cut(w.next(), "/")
	require.True(w, ok, "topic/number names a partition")
	return history.Partition{Topic: topic, Number: int32(w.number(number))}
}

func (w *phrase) partitions() (partitions []history.Partition) {
	for len(w.left) > 0 && strings.Contains(w.left[0], "/") {
		partitions = append(partitions, w.partition())
	}
	return partitions
}

func (w *phrase) messages(p history.Partition) (messages []history.Message) {
	if w.has("-") {
		w.next()
		return nil
	}
	for item := range strings.SplitSeq(w.next(), ",") {
		item, id, _ := strings.Cut(item, "#")
		item, token, _ := strings.Cut(item, "=")
		from, to, isRange := strings.Cut(item, "-")
		if !isRange {
			to = from
		}
		for n := w.number(from); n <= w.number(to); n++ {
			m := message(p, int64(n), token)
			if id != "" {
				m.ID = id
			}
			messages = append(messages, m)
		}
	}
	return messages
}

func message(p history.Partition, position int64, token string) history.Message {
	id := fmt.Sprintf("%s/%d@%d", p.Topic, p.Number, position)
	if token == "" {
		token = id
	}
	return history.Message{ID: id, Position: position, Token: token, Size: 100}
}

func (w *phrase) span() time.Duration { return w.duration(w.next()) }
