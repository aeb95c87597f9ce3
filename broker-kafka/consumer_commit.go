package kafka

import (
	"context"
	"errors"
	"math"
	"net"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// How positions are committed.
//
// The committer sends OffsetCommit requests itself instead of using the client's
// commit functions. Those wait while the group joins, which may take as long as
// another member's handover; they repeat a request on a new connection when the
// old one broke, whatever became of the first; and they put in the generation at
// the moment of sending.
//
// Kafka checks of a commit only that its member and generation are current, not
// that the member has the partition assigned. So the generation is read before
// the positions are: a partition that is lost in between is refused, because its
// loss came with a newer generation. A partition that is being revoked is
// committed a last time before the callback returns; after it the client joins
// again, and a commit of before is refused.
//
// Nor does Kafka know what a member had when it was another one: a consumer that was
// thrown out, and that joins again, would be believed. So a partition is committed only
// for the member that it was assigned to.
//
// A commit whose answer didn't come may still be carried out later, and would
// then take back the position of one that was sent after it. The client gives up
// on an answer after 10 s, with the connection. That a connection was closed says
// no more: whatever stands between here and the broker may have closed it, with
// the request on its way, and the broker itself carries out what it has read. So
// the outcome is made certain: the consumer joins the group again, which begins a
// new generation, and whatever is left of the old one is refused. Only then comes
// the next commit. A consumer that closes and can't join again in time leaves without
// another commit: Kafka refuses what comes from a member that left.

// commits is the schedule of commits, and what became of them. The consumer's mu
// guards it.
type commits struct {
	// acked is how many messages were ACKed since the last commit was put together.
	acked int
	// moved: a position moved without an ACK.
	moved bool
	// since is when the first of them came; zero if nothing came.
	since time.Time
	// urgent: commit now.
	urgent bool

	// retryAt is when to try again after a failure.
	retryAt time.Time
	backoff time.Duration
	// doubtful is the membership of a commit whose outcome is unknown.
	doubtful membership
	// rejoining: that makes the consumer join again, after it had joined
	// rejoinedAfter times.
	rejoining     bool
	rejoinedAfter int
	joins         int // how often the consumer joined

	// inFlight is what a commit is under way for, since when.
	inFlight      []*partition
	inFlightSince time.Time

	// failedSince is when the first commit was begun that failed; zero if the last
	// one succeeded.
	failedSince time.Time
	failedErr   *broker.Error
	// reported is when EventAckTrouble was told last; zero if the caller knows of
	// no trouble.
	reported time.Time

	// settled is closed, and replaced, when a commit is over.
	settled chan struct{}
}

// membership is what Kafka knows a member by.
type membership struct {
	member     string
	generation int32
}

// arePrompt reports whether commits succeed, and in no time.
func (s *commits) arePrompt(now time.Time) bool {
	return s.failedSince.IsZero() && (s.inFlightSince.IsZero() || now.Sub(s.inFlightSince) <= windowPatience)
}

const (
	firstCommitBackoff = 100 * time.Millisecond
	maxCommitBackoff   = 2 * time.Second
)

// scheduleCommitLocked notes when something to commit came and wakes the
// committer if it has to look at its schedule.
func (c *consumer) scheduleCommitLocked() {
	s := &c.commits
	if s.acked == 0 && !s.moved && !s.urgent {
		return
	}
	first := s.since.IsZero()
	if first {
		s.since = time.Now()
	}
	if first || s.urgent || s.acked >= c.commitMessages {
		signal(c.commitWake)
	}
}

// commitLoop commits when the schedule says so.
func (c *consumer) commitLoop() {
	timer := time.NewTimer(c.commitInterval)
	defer timer.Stop()
	for c.ctx.Err() == nil {
		wait := c.untilCommit(time.Now())
		if wait <= 0 {
			c.commit()
			continue
		}
		timer.Reset(wait)
		select {
		case <-c.ctx.Done():
		case <-c.commitWake:
		case <-timer.C:
		}
	}
}

// untilCommit is how long until the next commit is due.
func (c *consumer) untilCommit(now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.commits
	if s.since.IsZero() {
		return math.MaxInt64
	}
	due := s.since.Add(c.commitInterval)
	if s.urgent || s.acked >= c.commitMessages {
		due = now
	}
	if s.retryAt.After(due) {
		due = s.retryAt
	}
	return due.Sub(now)
}

// flush commits the partitions' positions at once and returns when they are
// durable, or gone, or ctx's error when that ends before.
func (c *consumer) flush(ctx context.Context, ps []*partition) error {
	for {
		c.mu.Lock()
		settled := c.commits.settled
		dirty, member := false, c.membership().member
		for _, p := range ps {
			dirty = dirty || c.partitions[p.id] == p && p.member == member && p.needsCommit()
		}
		if dirty {
			c.commits.urgent = true
			c.scheduleCommitLocked()
		}
		c.mu.Unlock()
		if !dirty {
			return nil
		}
		select {
		case <-settled:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// commit makes one attempt to commit everything that moved.
func (c *consumer) commit() {
	if !c.outcomeIsCertain() {
		return
	}
	current := c.membership() // before the positions: see above
	b := c.beginCommit(current)
	if b == nil {
		return
	}
	resp, err := c.sendCommit(b.request)
	c.endCommit(b, resp, err)
}

func (c *consumer) membership() membership {
	member, generation := c.client.GroupMetadata()
	return membership{member, generation}
}

// commitBatch is one commit.
type commitBatch struct {
	membership membership
	positions  map[*partition]int64
	request    *kmsg.OffsetCommitRequest
	begun      time.Time
}

// beginCommit collects the positions that moved, or returns nil.
func (c *consumer) beginCommit(current membership) *commitBatch {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.commits
	b := &commitBatch{
		membership: current, positions: make(map[*partition]int64), begun: time.Now(),
		request: kmsg.NewPtrOffsetCommitRequest(),
	}
	b.request.Group, b.request.MemberID, b.request.Generation = c.opts.Subscription, current.member, current.generation
	topics := make(map[string]int)
	for _, p := range c.partitions {
		if p.member == current.member && p.needsCommit() {
			b.positions[p] = p.tracker.Position()
			c.addToCommit(b.request, topics, p)
		}
	}
	s.acked, s.moved, s.since, s.urgent = 0, false, time.Time{}, false
	if len(b.positions) == 0 {
		c.settleLocked()
		return nil
	}
	s.inFlightSince = b.begun
	for p := range b.positions {
		s.inFlight = append(s.inFlight, p)
	}
	return b
}

func (c *consumer) addToCommit(req *kmsg.OffsetCommitRequest, topics map[string]int, p *partition) {
	i, ok := topics[p.id.Topic]
	if !ok {
		i = len(req.Topics)
		topics[p.id.Topic] = i
		t := kmsg.NewOffsetCommitRequestTopic()
		t.Topic, t.TopicID = p.id.Topic, p.topic
		req.Topics = append(req.Topics, t)
	}
	position := p.tracker.Position()
	r := kmsg.NewOffsetCommitRequestTopicPartition()
	r.Partition, r.Offset, r.LeaderEpoch = p.id.Partition, position, p.epochs.at(position)
	r.Metadata = kmsg.StringPtr(p.note)
	req.Topics[i].Partitions = append(req.Topics[i].Partitions, r)
}

// endCommit notes what became of a commit.
func (c *consumer) endCommit(b *commitBatch, resp *kmsg.OffsetCommitResponse, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.commits
	s.inFlight, s.inFlightSince = nil, time.Time{}
	if err != nil {
		if mayComeLater(err) {
			s.doubtful = b.membership
		}
		for p := range b.positions {
			p.commitFailed = true
		}
		c.commitFailedLocked(b, mapError(err, "", broker.AnyPartition))
	} else if failed := c.takeAnswersLocked(b, resp); failed != nil {
		c.commitFailedLocked(b, failed)
	} else {
		s.backoff, s.retryAt = 0, time.Time{}
	}
	c.reviewAckTroubleLocked(time.Now())
	c.settleLocked()
}

func (c *consumer) settleLocked() {
	close(c.commits.settled)
	c.commits.settled = make(chan struct{})
}

func (c *consumer) commitFailedLocked(b *commitBatch, err *broker.Error) {
	s := &c.commits
	s.failedErr = err
	if s.failedSince.IsZero() {
		s.failedSince = b.begun
	}
	if isTopicGone(err) { // then it fails for ever, and a start is not written down
		c.noteTopicFailureLocked(err.Topic, err)
	}
	c.retryCommitLocked()
	c.log.Debug("a commit failed", "error", err)
}

func (c *consumer) retryCommitLocked() {
	s := &c.commits
	s.backoff = min(max(2*s.backoff, firstCommitBackoff), maxCommitBackoff)
	s.retryAt = time.Now().Add(s.backoff)
	s.urgent = true
	c.scheduleCommitLocked()
}

// takeAnswersLocked takes the answer for each partition, and returns an error if
// there is one among them.
func (c *consumer) takeAnswersLocked(b *commitBatch, resp *kmsg.OffsetCommitResponse) (failed *broker.Error) {
	answers := make(map[broker.TopicPartition]int16)
	for i := range resp.Topics {
		t := &resp.Topics[i]
		name := t.Topic
		if name == "" {
			name = c.topicNames[t.TopicID]
		}
		for _, p := range t.Partitions {
			answers[broker.TopicPartition{Topic: name, Partition: p.Partition}] = p.ErrorCode
		}
	}
	for p, position := range b.positions {
		code, ok := answers[p.id]
		err := kerr.ErrorForCode(code)
		if !ok {
			err = errNoCommitAnswer
		}
		if err != nil {
			p.commitFailed = true
			failed = mapError(err, p.id.Topic, p.id.Partition)
			c.heedCommitErrorLocked(b, err)
			continue
		}
		p.tracker.Commit(position)
		p.epochs.forget(position)
		p.commitFailed, p.writeStart = false, false
		c.reviewWindowLocked(p)
		if c.partitions[p.id] == p {
			c.applyPausesLocked(p)
		}
	}
	return failed
}

var errNoCommitAnswer = errors.New("Kafka answered a commit without a word about the partition")

// heedCommitErrorLocked does what an error asks for besides trying again.
func (c *consumer) heedCommitErrorLocked(b *commitBatch, err error) {
	switch {
	case errors.Is(err, kerr.UnknownMemberID):
		// Kafka has thrown this consumer out. The next heartbeat says so too, and ends
		// its partitions; joining again would keep them.
	case errors.Is(err, kerr.IllegalGeneration):
		if c.membership() == b.membership {
			c.client.ForceRebalance() // rather than wait for the next heartbeat to say so
		}
	case errors.Is(err, kerr.NotCoordinator), errors.Is(err, kerr.CoordinatorNotAvailable),
		errors.Is(err, kerr.CoordinatorLoadInProgress):
		c.health.forgetCoordinator()
	}
}

// sendCommit sends a commit, once.
func (c *consumer) sendCommit(req *kmsg.OffsetCommitRequest) (*kmsg.OffsetCommitResponse, error) {
	coordinator, err := c.coordinator(c.ctx)
	if err != nil {
		return nil, &notSentError{err}
	}
	resp, err := c.client.Broker(int(coordinator)).Request(c.ctx, req)
	if err != nil {
		c.health.forgetCoordinator()
		return nil, err
	}
	return resp.(*kmsg.OffsetCommitResponse), nil
}

// notSentError says that a request was not sent.
type notSentError struct{ err error }

func (e *notSentError) Error() string { return e.err.Error() }
func (e *notSentError) Unwrap() error { return e.err }

// mayComeLater reports whether a request that failed this way can still be
// carried out.
func mayComeLater(err error) bool {
	if _, ok := errors.AsType[*notSentError](err); ok {
		return false
	}
	op, ok := errors.AsType[*net.OpError](err)
	return !ok || op.Op != "dial"
}

// coordinator returns the node that holds the group's positions.
func (c *consumer) coordinator(ctx context.Context) (int32, error) {
	if node, ok := c.health.knownCoordinator(); ok {
		return node, nil
	}
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorKey = c.opts.Subscription
	req.CoordinatorKeys = []string{c.opts.Subscription}
	resp, err := req.RequestWith(ctx, c.client)
	if err != nil {
		return 0, err
	}
	node, code := resp.NodeID, resp.ErrorCode
	if len(resp.Coordinators) > 0 {
		node, code = resp.Coordinators[0].NodeID, resp.Coordinators[0].ErrorCode
	}
	if err := kerr.ErrorForCode(code); err != nil {
		return 0, err
	}
	c.health.foundCoordinator(node)
	return node, nil
}

// outcomeIsCertain answers whether the next commit can be sent. If an earlier
// one may still be carried out, it makes the consumer join the group again.
func (c *consumer) outcomeIsCertain() bool {
	current := c.membership()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.commits
	if s.doubtful == (membership{}) {
		return true
	}
	// Were the generation the same after joining again, nothing more could be done.
	rejoined := s.rejoining && s.joins > s.rejoinedAfter
	if s.doubtful != current || rejoined || c.isHandingOverLocked() {
		s.doubtful, s.rejoining = membership{}, false
		return true
	}
	if !s.rejoining {
		c.log.Warn("a commit was not answered; joining the subscription again, so that it can't undo a later one")
		s.rejoining, s.rejoinedAfter = true, s.joins
		c.client.ForceRebalance()
	}
	c.retryCommitLocked()
	return false
}

// isHandingOverLocked: while partitions are being revoked, the client can't join
// again, but it will right after.
func (c *consumer) isHandingOverLocked() bool {
	for _, p := range c.partitions {
		if p.isRevoking() {
			return true
		}
	}
	return false
}
