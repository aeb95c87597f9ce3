package history

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// checker is one run of Check. Its maps hold everything that entries name.
type checker struct {
	rules   Rules
	entries []Entry

	deleted       map[string]bool  // topics
	stops         map[string][]int // of servers: when they stop
	partitions    map[Partition]*partition
	messages      map[string]*message // by ID
	tokens        map[string]*token
	streams       [2]map[string]*stream // by side and name
	subscriptions map[string]*subscription
	groups        map[groupName]*group
	producers     map[string]*producer
	clients       map[string]*client
	named         map[string]*client // by Consuming.Name, the latest
	healedAt      int                // index, or never
	anyExpected   bool
	positionsRead bool

	found    []Violation
	reported map[string]int // how many, by rule
}

// never is the index of what doesn't happen.
const never = -1

// maxReported is how many violations of one rule are reported.
const maxReported = 20

// partition is one partition of the history.
type partition struct {
	name       Partition
	byPosition map[int64]*message
	messages   []*message // by rank
	log        []*message // by position: a message's rank is its place here
	hasLog     bool
	compacted  bool
	// expiries are the Expired so far.
	expiries      []int
	expiredBefore int64
	// stored are the positions that producers were told, ascending.
	stored  []int64
	expires bool
	// lastExpiry is the position below which they do in the end.
	lastExpiry int64
}

// message is one message of a partition.
type message struct {
	partition *partition
	position  int64
	id        string
	token     string
	rank      int
	logged    bool
	namedAt   int // the entry that said its id first
}

// token is what a producer wrote into a message.
type token struct {
	produced   int // how often
	failed     int // how often it was answered so
	producedAt int // for the first time
	messages   []*message
}

func newChecker(entries []Entry, rules Rules) *checker {
	c := &checker{
		rules:         rules,
		entries:       entries,
		deleted:       make(map[string]bool),
		stops:         make(map[string][]int),
		partitions:    make(map[Partition]*partition),
		messages:      make(map[string]*message),
		tokens:        make(map[string]*token),
		streams:       [2]map[string]*stream{{}, {}},
		subscriptions: make(map[string]*subscription),
		groups:        make(map[groupName]*group),
		producers:     make(map[string]*producer),
		clients:       make(map[string]*client),
		named:         make(map[string]*client),
		healedAt:      never,
		reported:      make(map[string]int),
	}
	for i := range entries {
		c.lookAhead(i)
	}
	c.assumeLogs()
	for _, p := range c.partitions {
		slices.Sort(p.stored)
	}
	return c
}

// lookAhead notes what the checks of earlier entries need to know.
func (c *checker) lookAhead(i int) {
	switch e := c.entries[i].Event.(type) {
	case Log:
		c.takeLog(i, e)
	case Deleted:
		c.deleted[e.Topic] = true
	case Produced:
		c.tokenOf(e.Token).sent(i)
	case Answered:
		if p := c.partitionOf(e.Partition); e.Outcome == Stored && e.Position >= 0 {
			p.stored = append(p.stored, e.Position)
		}
	case Expired:
		p := c.partitionOf(e.Partition)
		p.expires = true
		p.lastExpiry = max(p.lastExpiry, e.Before)
	case Subscribed:
		c.subscriptionOf(e.Subscription).servers[e.Side][e.Server] = true
		c.streamOf(e.Side, e.Stream).lastSend = i
	case Delivered:
		c.streamOf(e.Side, e.Stream).lastSend = i
	case Consuming:
		c.subscriptionOf(e.Subscription)
	case Gained:
		c.groupOf(Server, e.Server, e.Subscription).exact = true
	case Fetched:
		c.groupOf(Server, e.Server, e.Subscription).fetches = true
	case ConsumeEnded:
		s := c.streamOf(e.Side, e.Stream)
		if s.endsAt == never {
			s.endsAt = i
		}
	case Stopped:
		c.stops[e.Server] = append(c.stops[e.Server], i)
	case Withdrawn:
		s := c.streamOf(e.Side, e.Stream)
		s.lastSend = i
		if e.TimeLeft > 0 {
			return
		}
		for _, name := range e.Partitions {
			p := c.partitionOf(name)
			s.leaves[p] = append(s.leaves[p], i)
		}
	case Sent:
		s := c.streamOf(Server, e.Stream)
		s.sends, s.waits = append(s.sends, span{s.lastSend, i}), true
	}
}

func (c *checker) at(i int) time.Time { return c.entries[i].At }

// soon reports whether entry j comes so soon after entry i that they may have
// happened at one time.
func (c *checker) soon(i, j int) bool { return c.at(j).Sub(c.at(i)) <= c.rules.Slack }

func (c *checker) partitionOf(name Partition) *partition {
	p := c.partitions[name]
	if p == nil {
		p = &partition{name: name, byPosition: make(map[int64]*message)}
		c.partitions[name] = p
	}
	return p
}

func (c *checker) tokenOf(text string) *token {
	t := c.tokens[text]
	if t == nil {
		t = &token{producedAt: never}
		c.tokens[text] = t
	}
	return t
}

func (t *token) sent(i int) {
	if t.produced == 0 {
		t.producedAt = i
	}
	t.produced++
}

// sentAt is the entry at which a message was produced, or never.
func (c *checker) sentAt(m *message) int {
	if t := c.tokens[m.token]; m.token != "" && t != nil {
		return t.producedAt
	}
	return never
}

// takeLog makes the messages of a log, before any other messages of its partition.
func (c *checker) takeLog(i int, e Log) {
	p := c.partitionOf(e.Partition)
	p.hasLog = true
	p.compacted = p.compacted || e.Compacted
	messages := e.Messages
	if !slices.IsSortedFunc(messages, byPosition) {
		messages = slices.Clone(messages)
		slices.SortFunc(messages, byPosition)
	}
	for k := range messages {
		m := p.messageAt(&messages[k])
		if !m.logged {
			m.logged = true
			p.log = append(p.log, m)
		}
		if m.token != "" {
			t := c.tokenOf(m.token)
			t.messages = append(t.messages, m)
		}
		c.name(i, m, messages[k].ID)
	}
}

// assumeLogs takes for the log of a partition of a deleted topic what anybody got of
// it; unless compaction may have removed some of that, which it hasn't if the topic
// was created again and isn't compacted now.
func (c *checker) assumeLogs() {
	kept := make(map[string]bool) // topics that aren't compacted
	for _, p := range c.partitions {
		if p.hasLog && !p.compacted {
			kept[topicName(p.name)] = true
		}
	}
	assumed := make(map[*partition]struct{})
	for i := range c.entries {
		name, messages := messagesOf(c.entries[i].Event)
		if len(messages) == 0 || !kept[topicName(name)] {
			continue
		}
		if p := c.partitionOf(name); !p.hasLog {
			assumed[p] = struct{}{}
			for k := range messages {
				p.messageAt(&messages[k])
			}
		}
	}
	for p := range assumed {
		slices.SortFunc(p.messages, func(a, b *message) int { return cmp.Compare(a.position, b.position) })
		for rank, m := range p.messages {
			m.rank = rank
		}
		p.log = slices.Clone(p.messages)
	}
}

// topicName is the name of a partition's topic, whatever its incarnation.
func topicName(p Partition) string {
	name, _, _ := strings.Cut(p.Topic, "#")
	return name
}

// messagesOf returns the messages that somebody gets.
func messagesOf(event Event) (Partition, []Message) {
	switch e := event.(type) {
	case Delivered:
		return e.Partition, e.Messages
	case Fetched:
		return e.Partition, e.Messages
	case Handling:
		return e.Partition, []Message{e.Message}
	}
	return Partition{}, nil
}

func byPosition(a, b Message) int { return cmp.Compare(a.Position, b.Position) }

// messageAt returns the message at a position, which is a new one if nothing was
// known of it.
func (p *partition) messageAt(seen *Message) *message {
	m := p.byPosition[seen.Position]
	if m == nil {
		m = &message{partition: p, position: seen.Position, token: seen.Token, rank: len(p.messages)}
		p.byPosition[seen.Position] = m
		p.messages = append(p.messages, m)
	}
	return m
}

// name notes a message's ID, which is the same whenever it is seen, and never that
// of another message.
func (c *checker) name(i int, m *message, id string) {
	if id == "" || id == m.id {
		return
	}
	if m.id != "" {
		c.report(i, "id-changed", fmt.Sprintf("the message at %s has the id %q, and had %q", m, id, m.id), evidence{m.namedAt, m}, evidence{i, m})
		return
	}
	if other := c.messages[id]; other != nil {
		c.report(i, "id-reused", fmt.Sprintf("the id %q is that of the message at %s, and of the one at %s", id, m, other), evidence{other.namedAt, other}, evidence{i, m})
		return
	}
	m.id, m.namedAt = id, i
	c.messages[id] = m
}

func (m *message) String() string {
	return fmt.Sprintf("%s/%d@%d", m.partition.name.Topic, m.partition.name.Number, m.position)
}

// after is the place in the log of the first message above a position.
func (p *partition) after(position int64) int {
	n, _ := slices.BinarySearchFunc(p.log, position+1, func(m *message, at int64) int { return cmp.Compare(m.position, at) })
	return n
}

// evidence is an entry that explains a violation, and the message that it is about,
// if it is about one.
type evidence struct {
	at int // never: no evidence
	*message
}

func entry(i int) evidence { return evidence{at: i} }

// inLog is the entry of what stands in the log in the end.
const inLog = math.MaxInt

func logged(m *message) evidence { return evidence{inLog, m} }

// report adds a violation that shows at entry i.
func (c *checker) report(i int, rule, problem string, explaining ...evidence) {
	c.reported[rule]++
	if c.reported[rule] > maxReported {
		return
	}
	v := Violation{Rule: rule, Problem: problem, start: c.at(0), index: i}
	explaining = slices.Clone(explaining)
	slices.SortStableFunc(explaining, func(a, b evidence) int { return cmp.Compare(a.at, b.at) })
	for k, x := range explaining {
		if x.at != never && (k == 0 || x != explaining[k-1]) {
			v.Events = append(v.Events, c.excerpt(x))
		}
	}
	c.found = append(c.found, v)
}

func (c *checker) sorted() []Violation {
	slices.SortStableFunc(c.found, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Problem, b.Problem))
	})
	return c.found
}
