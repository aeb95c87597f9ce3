//go:build synctests

package simulation

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// apiKeys are Kafka's numbers of the kinds of requests.
var apiKeys = map[API]kmsg.Key{
	ProduceAPI: kmsg.Produce, FetchAPI: kmsg.Fetch, ListOffsets: kmsg.ListOffsets, Metadata: kmsg.Metadata,
	Commit: kmsg.OffsetCommit, FetchPositions: kmsg.OffsetFetch, Coordinator: kmsg.FindCoordinator,
	Join: kmsg.JoinGroup, Sync: kmsg.SyncGroup, Heartbeat: kmsg.Heartbeat, LeaveGroup: kmsg.LeaveGroup,
	InitProducer: kmsg.InitProducerID,
}

// usualErrors are what Fail answers by default, one of them: errors that such a
// request gets in the life of a cluster, and after which it is right to try again,
// in the same way. (Kafka does what it is asked to when it answers REQUEST_TIMED_OUT
// or NOT_ENOUGH_REPLICAS_AFTER_APPEND, and so does kfake.) None of them says that a
// member is unknown: Kafka says so of members that are gone, whose late commits it
// refuses; to that there is Kick.
var usualErrors = map[API][]*kerr.Error{
	ProduceAPI: {
		kerr.NotLeaderForPartition, kerr.LeaderNotAvailable, kerr.RequestTimedOut, kerr.NotEnoughReplicas,
		kerr.NotEnoughReplicasAfterAppend, kerr.KafkaStorageError, kerr.UnknownTopicOrPartition,
	},
	FetchAPI: {
		kerr.NotLeaderForPartition, kerr.UnknownLeaderEpoch, kerr.FencedLeaderEpoch, kerr.KafkaStorageError,
		kerr.UnknownTopicOrPartition, kerr.ReplicaNotAvailable,
	},
	ListOffsets:    {kerr.NotLeaderForPartition, kerr.LeaderNotAvailable, kerr.UnknownTopicOrPartition},
	Metadata:       {kerr.LeaderNotAvailable, kerr.UnknownTopicOrPartition},
	Commit:         {kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.RequestTimedOut, kerr.RebalanceInProgress},
	FetchPositions: {kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.UnstableOffsetCommit},
	Coordinator:    {kerr.CoordinatorNotAvailable},
	Join:           {kerr.CoordinatorLoadInProgress, kerr.NotCoordinator},
	Sync:           {kerr.NotCoordinator, kerr.RebalanceInProgress},
	Heartbeat:      {kerr.NotCoordinator, kerr.RebalanceInProgress},
	LeaveGroup:     {kerr.CoordinatorLoadInProgress, kerr.NotCoordinator},
	InitProducer:   {kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.ConcurrentTransactions},
}

// requestFaults decides about the requests of proxies to Kafka, on their way.
type requestFaults struct {
	world *world

	failing atomic.Int32 // how many Fails are in force

	mu    sync.Mutex
	rules []*requestRule
}

// failedAnswerDelay is what every answer takes longer while requests fail. Without
// it, a client that tries again at once would do so for ever at one point in time.
const failedAnswerDelay = 10 * time.Millisecond

type requestRule struct {
	Requests
	key  int16
	left int // -1: any number
}

// add has an effect on requests until it is used up or lifted.
func (f *requestFaults) add(r Requests) {
	count := r.Count
	if count == 0 {
		count = 1
		if r.For > 0 {
			count = -1
		}
	}
	if r.Effect == Fail {
		f.fail(r, count)
		return
	}
	rule := &requestRule{Requests: r, key: int16(apiKeys[r.API]), left: count}
	f.mu.Lock()
	f.rules = append(f.rules, rule)
	f.mu.Unlock()
	f.world.after(r.For, func() { f.remove(rule) })
}

func (f *requestFaults) remove(rule *requestRule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = slices.DeleteFunc(f.rules, func(other *requestRule) bool { return other == rule })
}

// fail has the cluster answer with an error.
func (f *requestFaults) fail(r Requests, count int) {
	usual := usualErrors[r.API]
	answer := usual[f.world.random.IntN(len(usual))]
	if named := errorNamed(r.Error); named != nil {
		answer = named
	}
	handle := f.world.kafka.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{apiKeys[r.API]}, Err: answer, Count: count})
	f.failing.Add(1)
	f.world.after(r.For, func() {
		f.failing.Add(-1)
		handle.Remove()
		f.world.faults.add(fmt.Sprintf("requests %s %s", r.API, r.Effect), handle.Hits())
	})
}

// errorNamed returns Kafka's error of a name, or nil.
func errorNamed(name string) *kerr.Error {
	for code := int16(1); code < 200; code++ {
		if e, ok := kerr.ErrorForCode(code).(*kerr.Error); ok && e.Message == name { //nolint:errorlint // not wrapped
			return e
		}
	}
	return nil
}

// take returns the rule for a request, and counts it.
func (f *requestFaults) take(proxy string, key int16) *requestRule {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, rule := range f.rules {
		if rule.key != key || rule.left == 0 || rule.Proxy != "" && rule.Proxy != proxy {
			continue
		}
		if rule.left > 0 {
			rule.left--
		}
		f.world.faults.add(fmt.Sprintf("requests %s %s", rule.API, rule.Effect), 1)
		return rule
	}
	return nil
}

// dial connects a proxy to Kafka, by a connection whose requests may be tampered
// with. The proxy's name is that of the plan, the node its own.
func (f *requestFaults) dial(proxy, node string) func(context.Context, string, string) (net.Conn, error) {
	dial := f.world.kafka.dialer(node)
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		near := conn.(*end)
		c := &kafkaConnection{faults: f, proxy: proxy, answers: map[uint32]*requestRule{}}
		// Nothing has been written yet, so nobody has looked.
		near.judge, near.peer.judge = c.request, c.answer
		return conn, nil
	}
}

// kafkaConnection knows the requests under way on a connection.
type kafkaConnection struct {
	faults *requestFaults
	proxy  string

	mu      sync.Mutex
	answers map[uint32]*requestRule // of requests whose answers are tampered with, by number
	// instant is when the last answer came, and busy how many have come then.
	instant time.Time
	busy    int
}

// maxBusy is how many answers come at one point in time. Clients that ask again at
// once, such as one that fetches from a broker that isn't the leader any more while it
// can't reach the new one, would otherwise go on for ever without time passing.
const maxBusy = 300

// isBusyLocked counts an answer.
func (c *kafkaConnection) isBusyLocked() bool {
	if now := time.Now(); !now.Equal(c.instant) {
		c.instant, c.busy = now, 0
	}
	c.busy++
	return c.busy > maxBusy
}

// request judges a request: a whole one, since clients write each at once.
func (c *kafkaConnection) request(b []byte) verdict {
	if len(b) < 12 || int(binary.BigEndian.Uint32(b)) != len(b)-4 {
		return verdict{}
	}
	rule := c.faults.take(c.proxy, int16(binary.BigEndian.Uint16(b[4:])))
	if rule == nil {
		return verdict{}
	}
	switch rule.Effect {
	case Break:
		return verdict{reset: true}
	case Late:
		return verdict{delay: rule.delay()}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[binary.BigEndian.Uint32(b[8:])] = rule
	return verdict{}
}

// answer judges an answer: kfake writes each at once.
func (c *kafkaConnection) answer(b []byte) verdict {
	if len(b) < 8 {
		return verdict{}
	}
	number := binary.BigEndian.Uint32(b[4:])
	c.mu.Lock()
	rule := c.answers[number]
	delete(c.answers, number)
	busy := c.isBusyLocked()
	c.mu.Unlock()
	switch {
	case rule == nil && (busy || c.faults.failing.Load() > 0):
		return verdict{delay: failedAnswerDelay}
	case rule == nil:
		return verdict{}
	case rule.Effect == LoseAnswer:
		return verdict{reset: true}
	case rule.Effect == NoAnswer:
		return verdict{mute: true}
	}
	return verdict{delay: rule.delay()}
}

func (r Requests) delay() time.Duration {
	if r.Delay == 0 {
		return 3 * time.Second
	}
	return r.Delay
}
