package kafka

import (
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/broker-kafka/internal/prefix"
)

// partition is one assignment of a partition to the consumer. The consumer's mu
// guards it, apart from id, topic, ids and member, which never change.
type partition struct {
	id    broker.TopicPartition
	topic topicID
	ids   idPrefix // of its messages
	// member is the id of the group's member that it was assigned to.
	member string

	// told: EventAssigned is in the queue or returned. Before that the caller hears
	// nothing of the partition.
	told bool
	// tracker has what PollMessages returned. It is nil until startPositions knows
	// where reading begins.
	tracker *prefix.Tracker
	// next is the offset after everything that was put into the queue. It is at or
	// after the tracker's end, which has what was taken out.
	next int64
	// queued is how many messages are in the queue.
	queued int
	// epochs are the leader epochs of what is in the queue or in the tracker.
	epochs leaderEpochs

	// released is not nil once the partition is being revoked, and closed when the
	// caller has released it.
	released chan struct{}
	pauses   pauses
	// clientPaused is what the client was told last.
	clientPaused bool
	// heldSince is when the window paused it.
	heldSince time.Time
	// quick: the window was free again within windowPatience the last time.
	quick bool
	// arriving is how many messages the client has fetched and not handed out, about.
	arriving int
	// awaited: the window has it paused, but the client isn't told, since the pump
	// waits for the window to be free again.
	awaited bool

	// note is the metadata of the partition's commits.
	note string
	// foreign: the committed position is of another topic of the same name.
	foreign bool
	// topicGone: the topic doesn't exist any more, or is another one.
	topicGone bool
	// writeStart: the position must be made durable although nothing is ACKed.
	writeStart bool
	// commitFailed: a commit of this partition failed, and none succeeded since.
	commitFailed bool

	failure failure
}

// failure is why a partition, or a topic, can't be fetched.
type failure struct {
	err   error
	since time.Time
	last  time.Time // when it was seen last
}

func (f *failure) note(err error, now time.Time) {
	f.err, f.last = err, now
	if f.since.IsZero() {
		f.since = now
	}
}

func (p *partition) isRevoking() bool { return p.released != nil }

// outstanding is how many messages count against the window: those returned and
// not durably ACKed, and those that wait to be returned.
func (p *partition) outstanding() int {
	if p.tracker == nil {
		return 0
	}
	return p.tracker.Outstanding() + p.queued
}

// held is how many of these would be left if a commit were made now.
func (p *partition) held() int {
	if p.tracker == nil {
		return 0
	}
	return p.tracker.Held() + p.queued
}

func (p *partition) isHeldBack() bool { return p.pauses&pausedByWindow != 0 }

// needsCommit: the position moved since it was last made durable. While the topic may
// be gone nothing is committed, since it could be for another topic of the same name.
func (p *partition) needsCommit() bool {
	return p.tracker != nil && !p.mayBeGone() && (p.writeStart || p.tracker.Position() > p.tracker.Durable())
}

func (p *partition) mayBeGone() bool { return p.topicGone || isTopicGone(p.failure.err) }

// pauses are the reasons why a partition isn't fetched.
type pauses uint8

const (
	pausedByCaller pauses = 1 << iota // PausePartitions
	pausedByWindow                    // too many outstanding messages
	pausedByRepair                    // its position isn't in the log
)

func (p *pauses) set(reason pauses, on bool) {
	if on {
		*p |= reason
	} else {
		*p &^= reason
	}
}

// windowPatience is how long the pump waits for windows that were free quickly the
// last time, before it pauses their partitions.
//
// Pausing is dear to a caller that ACKs fast: the client has one fetch request at a
// time under way to each Kafka broker, so a partition that is resumed a moment later
// still waits until that request is answered, which takes fetchWait while the other
// partitions are idle. Not pausing is dear to a slow caller: what was fetched
// meanwhile is dropped and fetched again. So partitions are paused at once, unless
// their windows proved to be free again in no time.
const windowPatience = 50 * time.Millisecond

// holdLocked pauses a partition for having as many outstanding messages as its
// window, or more.
func (c *consumer) holdLocked(p *partition) {
	if p.isHeldBack() {
		return
	}
	p.pauses.set(pausedByWindow, true)
	p.heldSince = time.Now()
	p.awaited = p.quick
}

// freeLocked ends that.
func (c *consumer) freeLocked(p *partition) {
	if !p.isHeldBack() {
		return
	}
	p.pauses.set(pausedByWindow, false)
	p.quick = time.Since(p.heldSince) <= windowPatience
	if p.awaited {
		p.awaited = false
		signal(c.windowWake)
	}
}

// reviewWindowLocked pauses a partition that has as many outstanding messages as
// its window, and resumes it when half of it is left.
func (c *consumer) reviewWindowLocked(p *partition) {
	n := p.outstanding()
	if c.presumesCommitsLocked(p) {
		n = p.held()
	}
	switch {
	case n >= c.opts.PartitionWindow:
		c.holdLocked(p)
	case n <= c.opts.PartitionWindow/2:
		c.freeLocked(p)
	}
}

// ackedToHalfLocked is called when a commit would leave at most half of a window that
// is held back.
func (c *consumer) ackedToHalfLocked(p *partition) {
	if c.presumesCommitsLocked(p) {
		c.freeLocked(p)
		c.applyPausesLocked(p)
	} else {
		c.commits.urgent = true
	}
}

// presumesCommitsLocked reports whether what is ACKed in a partition counts as durable
// for its window. To wait for the commits too would leave a fast caller without messages
// for a good part of the time, as a commit takes about as long as a fetch; and as long
// as commits are prompt, little is ACKed and not durable.
func (c *consumer) presumesCommitsLocked(p *partition) bool {
	return p.quick && !p.commitFailed && c.commits.arePrompt(time.Now())
}

// awaitWindows waits for the partitions that are awaited, and pauses those that
// take too long.
func (c *consumer) awaitWindows(timer *time.Timer) {
	timer.Reset(windowPatience)
	for c.awaitsWindows() {
		select {
		case <-c.windowWake:
		case <-timer.C:
			c.stopAwaiting()
		case <-c.pumping.Done():
			return
		}
	}
}

func (c *consumer) awaitsWindows() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.awaited {
		if p.awaited && c.partitions[p.id] == p {
			return true
		}
	}
	c.awaited = c.awaited[:0]
	return false
}

func (c *consumer) stopAwaiting() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.awaited {
		if p.awaited {
			p.awaited = false
			if c.partitions[p.id] == p {
				c.applyPausesLocked(p)
			}
		}
	}
}

// arrives notes what the client has fetched. The client sends the next request as soon as
// it hands the fetch out, and the pump's pause may come too late for that: what the request
// brings of a paused partition is dropped, and fetched again later. So it had better be
// little. (The pump can't pause any sooner: that would drop the fetch itself.)
func (c *consumer) arrives(id broker.TopicPartition, messages int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.partitions[id]
	if p == nil {
		return
	}
	p.arriving += messages
	if !p.quick && p.outstanding()+p.arriving >= c.opts.PartitionWindow {
		c.client.UpdateFetchMaxBytes(c.maxFetchBytes, 1) // one batch comes all the same
	}
}

// fetchInFullLocked ends that.
func (c *consumer) fetchInFullLocked() {
	c.client.UpdateFetchMaxBytes(c.maxFetchBytes, fetchPartitionBytes)
}

// applyPausesLocked tells the client which of the partitions to fetch.
func (c *consumer) applyPausesLocked(ps ...*partition) {
	var pause, resume map[string][]int32
	for _, p := range ps {
		pauses := p.pauses
		if p.awaited {
			pauses.set(pausedByWindow, false)
		}
		paused := pauses != 0
		if p.clientPaused == paused {
			continue
		}
		p.clientPaused = paused
		m := &pause
		if !paused {
			m = &resume
			p.arriving = 0 // it was dropped
		}
		if *m == nil {
			*m = make(map[string][]int32)
		}
		(*m)[p.id.Topic] = append((*m)[p.id.Topic], p.id.Partition)
	}
	if pause != nil {
		c.client.PauseFetchPartitions(pause)
	}
	if resume != nil {
		c.fetchInFullLocked()
		c.client.ResumeFetchPartitions(resume)
	}
}

// leaderEpochs say from which offset on which epoch is in force, ascending.
//
// A commit carries the epoch of the message at the position, or, if there is
// none yet, that of the last one before it: whoever goes on from there asks
// Kafka whether that epoch reaches to the position, and so finds out if the log
// was cut off and written anew in between. An epoch older than the position
// would raise that alarm for nothing.
type leaderEpochs []leaderEpoch

type leaderEpoch struct {
	from  int64
	epoch int32 // -1: unknown
}

func (e *leaderEpochs) add(from int64, epoch int32) {
	if n := len(*e); n > 0 && (*e)[n-1].epoch == epoch {
		return
	}
	*e = append(*e, leaderEpoch{from, epoch})
}

func (e leaderEpochs) at(offset int64) int32 {
	epoch := int32(-1)
	for _, l := range e {
		if l.from > offset {
			break
		}
		epoch = l.epoch
	}
	return epoch
}

// forget drops what is only needed below offset.
func (e *leaderEpochs) forget(offset int64) {
	for len(*e) > 1 && (*e)[1].from <= offset {
		*e = (*e)[1:]
	}
}
