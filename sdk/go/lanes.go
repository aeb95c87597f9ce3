package messageproxy

import (
	"hash/maphash"
)

// lane is a queue of messages that are handled one after another: those of a
// partition, or some keys of all partitions. It outlives streams, so that the
// messages of a new stream wait for a handler that still runs for the old one.
// Guarded by the consumer's mu.
type lane struct {
	// tasks[next:] haven't begun.
	tasks []task
	next  int
	// busy: it is in the ready list, or a runner has it.
	busy bool
}

// task is a message to handle.
type task struct {
	partition *partition
	message   *Message
	id        string // the message's; the handler may change what it was given
}

func (l *lane) empty() bool { return l.next == len(l.tasks) }

func (l *lane) push(t task) { l.tasks = append(l.tasks, t) }

func (l *lane) pop() task {
	t := l.tasks[l.next]
	l.tasks[l.next] = task{}
	l.next++
	if l.empty() {
		l.tasks, l.next = l.tasks[:0], 0
	}
	return t
}

// purge drops the tasks that drop says.
func (l *lane) purge(drop func(task) bool) {
	kept := l.tasks[:0]
	for _, t := range l.tasks[l.next:] {
		if !drop(t) {
			kept = append(kept, t)
		}
	}
	clear(l.tasks[len(kept):])
	l.tasks, l.next = kept, 0
}

// lanes are the lanes of a consumer, and which of them have something to do.
// Guarded by the consumer's mu.
type lanes struct {
	byPartition map[TopicPartition]*lane
	byKey       []*lane // if not empty, instead of byPartition
	seed        maphash.Seed
	keyless     int // takes turns

	// ready[next:] are not empty and not being run, the first first.
	ready   []*lane
	next    int
	running int // runners
	limit   int // of runners; 0: none
}

func newLanes(config *consumeConfig) lanes {
	l := lanes{byPartition: map[TopicPartition]*lane{}, limit: config.maxHandlers}
	if config.keyWorkers > 0 {
		l.seed = maphash.MakeSeed()
		l.byKey = make([]*lane, config.keyWorkers)
		for i := range l.byKey {
			l.byKey[i] = &lane{}
		}
	}
	return l
}

// of returns the lane of a message.
func (l *lanes) of(m *Message) *lane {
	if len(l.byKey) > 0 {
		return l.byKey[l.keyIndex(m)]
	}
	name := TopicPartition{m.Topic, m.Partition}
	found := l.byPartition[name]
	if found == nil {
		found = &lane{}
		l.byPartition[name] = found
	}
	return found
}

func (l *lanes) keyIndex(m *Message) int {
	if m.Key == nil {
		l.keyless++
		return l.keyless % len(l.byKey)
	}
	return int(maphash.Bytes(l.seed, m.Key) % uint64(len(l.byKey)))
}

// push queues a task and reports whether another runner is needed for it.
func (l *lanes) push(target *lane, t task) (startRunner bool) {
	target.push(t)
	if target.busy {
		return false
	}
	target.busy = true
	l.pushReady(target)
	if l.limit > 0 && l.running >= l.limit {
		return false
	}
	l.running++
	return true
}

// pop takes the next task and its lane, or ends the runner.
func (l *lanes) pop() (*lane, task, bool) {
	for l.next < len(l.ready) {
		next := l.ready[l.next]
		l.ready[l.next] = nil
		l.next++
		if !next.empty() {
			return next, next.pop(), true
		}
		next.busy = false // purged
	}
	l.running--
	return nil, task{}, false
}

// done takes a lane back whose task is finished.
func (l *lanes) done(finished *lane) {
	if finished.empty() {
		finished.busy = false
		return
	}
	l.pushReady(finished)
}

// pushReady makes a lane the last of those that are ready. When half of the memory is
// behind next it is used again, so that lanes that take turns need no more of it.
func (l *lanes) pushReady(last *lane) {
	if len(l.ready) == cap(l.ready) && 2*l.next >= len(l.ready) {
		n := copy(l.ready, l.ready[l.next:])
		clear(l.ready[n:])
		l.ready, l.next = l.ready[:n], 0
	}
	l.ready = append(l.ready, last)
}

// purge drops the tasks that drop says, wherever they are.
func (l *lanes) purge(drop func(task) bool) {
	for _, lane := range l.byPartition {
		lane.purge(drop)
	}
	for _, lane := range l.byKey {
		lane.purge(drop)
	}
}
