package kafka

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/messageproxy/messageproxy/broker"
)

const (
	// askTimeout bounds each of the keeper's requests.
	askTimeout = 4 * time.Second
	// keeperPause is between two looks at what had to wait.
	keeperPause = 100 * time.Millisecond
	// longestStall is how long, at most, an answer may take before further messages
	// are held back.
	longestStall = time.Second
	// sessionPause is between the beginnings of two sessions.
	sessionPause = time.Second
)

// topicKeeper opens topics for a producer: it learns that they exist (or creates
// them), their ids and the rules that they refuse messages by. One goroutine, run,
// opens all topics that wait, together, and it alone begins and ends sessions.
// Another, tendLanes, has no I/O to wait for: it notices answers that are overdue,
// and releases and fails what lanes hold.
type topicKeeper struct {
	b      *Broker
	p      *producer
	log    *slog.Logger
	topics sync.Map // name → *producerTopic, of all that exist or are being opened

	wakeup chan struct{} // of run; capacity 1
	tendup chan struct{} // of tendLanes; capacity 1
	cancel context.CancelFunc
	ctx    context.Context
	wg     sync.WaitGroup

	mu     sync.Mutex
	closed bool
	wanted map[*producerTopic]struct{} // to be opened
	tended map[*producerTopic]struct{} // with messages that are held

	sessions []*session // all that are open; written by run alone

	// Of run's goroutine alone.
	session *session // new topics go here
	denied  bool     // it was logged that rules can't be read
}

func newTopicKeeper(b *Broker, p *producer) (*topicKeeper, error) {
	k := &topicKeeper{
		b: b, p: p, log: b.log,
		wakeup: make(chan struct{}, 1), tendup: make(chan struct{}, 1),
		wanted: make(map[*producerTopic]struct{}), tended: make(map[*producerTopic]struct{}),
	}
	if err := k.newSession(); err != nil {
		return nil, err
	}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	return k, nil
}

func (k *topicKeeper) newSession() error {
	s, err := k.b.newSession(k.p.maxMessageBytes)
	if err != nil {
		return err
	}
	k.session = s
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sessions = append(k.sessions, s)
	return nil
}

func (k *topicKeeper) start() {
	k.wg.Go(k.run)
	k.wg.Go(k.tendLanes)
}

// close ends the goroutines, fails what waits for it, and closes the sessions once
// the answers that are under way are in, or a second is over.
func (k *topicKeeper) close() {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.cancel()
	k.wg.Wait()
	k.topics.Range(func(_, t any) bool {
		t.(*producerTopic).drop(broker.ErrClosed)
		return true
	})
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	for _, s := range k.sessions {
		_ = s.cl.Flush(ctx) // gives up what wasn't sent, and awaits what was
		s.cl.Close()
	}
}

// topic returns the topic of this name, closed if it is new.
func (k *topicKeeper) topic(name string) *producerTopic {
	if t, ok := k.topics.Load(name); ok {
		return t.(*producerTopic)
	}
	t, _ := k.topics.LoadOrStore(name, &producerTopic{name: name, p: k.p})
	return t.(*producerTopic)
}

// want has the topic opened.
func (k *topicKeeper) want(t *producerTopic) {
	if k.add(k.wanted, t) {
		k.wake()
	}
}

// tend has the topic's held messages released, or failed, when it is time.
func (k *topicKeeper) tend(t *producerTopic) {
	if k.add(k.tended, t) {
		nudge(k.tendup)
	}
}

// wake has both goroutines look at what they have to do.
func (k *topicKeeper) wake() {
	nudge(k.wakeup)
	nudge(k.tendup)
}

func nudge(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// inspect finds out whether the session can go on, and has its topics leave it if
// it can't.
func (k *topicKeeper) inspect(s *session) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed || s.broken.Load() || s.inspecting.Swap(true) {
		return
	}
	k.wg.Go(func() {
		defer s.inspecting.Store(false)
		ctx, cancel := context.WithTimeout(k.ctx, askTimeout)
		defer cancel()
		if s.isBeyondRepair(ctx) {
			k.abandon(s)
		}
	})
}

func (k *topicKeeper) abandon(s *session) {
	s.broken.Store(true)
	k.topics.Range(func(_, v any) bool {
		t := v.(*producerTopic)
		if info := t.opened.Load(); info != nil && info.session == s {
			t.close(info)
		}
		return true
	})
}

func (k *topicKeeper) run() {
	timer := time.NewTimer(keeperPause)
	defer timer.Stop()
	for {
		topics := k.all(k.wanted)
		if len(topics) > 0 {
			k.open(topics)
			timer.Reset(keeperPause)
		}
		k.closeIdleSessions()
		select {
		case <-k.wakeup:
		case <-timer.C:
		case <-k.ctx.Done():
			return
		}
	}
}

func (k *topicKeeper) tendLanes() {
	stall := min(longestStall, k.p.timeout/4)
	watch := time.NewTicker(min(stall/2, keeperPause))
	defer watch.Stop()
	for {
		for _, t := range k.all(k.tended) {
			k.remove(k.tended, t)
			if t.release() {
				t.expire(nil)
				k.add(k.tended, t)
			}
		}
		select {
		case <-k.tendup:
		case now := <-watch.C:
			k.noticeStalls(now, stall)
		case <-k.ctx.Done():
			return
		}
	}
}

func (k *topicKeeper) noticeStalls(now time.Time, stall time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.sessions {
		s.ledger.noticeStalls(now, stall)
	}
}

func (k *topicKeeper) all(set map[*producerTopic]struct{}) []*producerTopic {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Collect(maps.Keys(set))
}

// add reports whether it was needed.
func (k *topicKeeper) add(set map[*producerTopic]struct{}, t *producerTopic) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, is := set[t]
	set[t] = struct{}{}
	return !is
}

// remove ends a wish. It comes before what follows from it, so a wish that comes
// meanwhile isn't lost.
func (k *topicKeeper) remove(set map[*producerTopic]struct{}, t *producerTopic) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(set, t)
}

// closeIdleSessions ends the sessions that every topic has left. Their topics
// moved after the last answer was in, or are gone; what is left of those fails.
func (k *topicKeeper) closeIdleSessions() {
	var idle []*session
	k.mu.Lock()
	k.sessions = slices.DeleteFunc(k.sessions, func(s *session) bool {
		if s == k.session || s.topics > 0 || s.cl.BufferedProduceRecords() > 0 {
			return false
		}
		idle = append(idle, s)
		return true
	})
	k.mu.Unlock()
	for _, s := range idle {
		s.cl.Close()
	}
}
