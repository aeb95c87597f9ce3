package kafka

import (
	"net"
	"sync"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/twmb/franz-go/pkg/kgo"
)

// health is what the client's hooks tell about the Kafka brokers and the group.
// Its lock is a leaf: nothing is called under it.
type health struct {
	mu    sync.Mutex
	nodes map[int32]*node
	// coordinator is the node that the group's requests go to.
	coordinator      int32
	coordinatorKnown bool
	group            failure // why the group can't be joined
}

// node is a Kafka broker.
type node struct {
	known    time.Time // when it was first looked at
	answered time.Time // when it answered last
	err      error     // of the last ping or connection, nil once it answered
	pinging  bool
}

func (n *node) silence(now time.Time) time.Duration {
	if n.answered.After(n.known) {
		return now.Sub(n.answered)
	}
	return now.Sub(n.known)
}

func newHealth() health { return health{nodes: make(map[int32]*node)} }

func (h *health) nodeLocked(id int32) *node {
	n := h.nodes[id]
	if n == nil {
		n = &node{known: time.Now()}
		h.nodes[id] = n
	}
	return n
}

func (h *health) heardFrom(id int32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.nodeLocked(id)
	n.answered, n.err = time.Now(), nil
}

func (h *health) failedToReach(id int32, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.nodeLocked(id).err = err
}

// beginPing answers whether the node has been silent for so long that it is to be
// asked for a sign of life, and isn't being asked.
func (h *health) beginPing(id int32, silence time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.nodeLocked(id)
	if n.pinging || n.silence(time.Now()) < silence {
		return false
	}
	n.pinging = true
	return true
}

func (h *health) endPing(id int32, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.nodeLocked(id)
	n.pinging, n.err = false, err
	if err == nil {
		n.answered = time.Now()
	}
}

// silent returns the error of the first of the nodes that failed and hasn't
// answered for so long.
func (h *health) silent(ids []int32, now time.Time, silence time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range ids {
		if n := h.nodes[id]; n != nil && n.err != nil && n.silence(now) >= silence {
			return n.err
		}
	}
	return nil
}

// haveAnswered reports whether all of the nodes have answered since then.
func (h *health) haveAnswered(ids []int32, since time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range ids {
		if n := h.nodes[id]; n == nil || !n.answered.After(since) {
			return false
		}
	}
	return true
}

func (h *health) knownCoordinator() (int32, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.coordinator, h.coordinatorKnown
}

func (h *health) foundCoordinator(id int32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.coordinator, h.coordinatorKnown = id, true
}

func (h *health) forgetCoordinator() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.coordinatorKnown = false
}

func (h *health) groupFailed(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.group.note(err, time.Now())
}

func (h *health) groupJoined() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.group = failure{}
}

func (h *health) groupFailure() failure {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.group
}

// clientHooks is the consumer as its client's hooks see it.
type clientHooks consumer

var (
	_ kgo.HookBrokerRead       = (*clientHooks)(nil)
	_ kgo.HookBrokerConnect    = (*clientHooks)(nil)
	_ kgo.HookBrokerWrite      = (*clientHooks)(nil)
	_ kgo.HookGroupManageError = (*clientHooks)(nil)
	_ kgo.HookFetchBatchRead   = (*clientHooks)(nil)
)

// The keys of the requests that only the group's coordinator gets.
const (
	keyJoinGroup = 11
	keyHeartbeat = 12
	keySyncGroup = 14
)

// OnBrokerRead is called with each response.
func (h *clientHooks) OnBrokerRead(meta kgo.BrokerMetadata, _ int16, _ int, _, _ time.Duration, err error) {
	if err == nil {
		h.health.heardFrom(meta.NodeID)
	}
}

// OnBrokerWrite is called with each request.
func (h *clientHooks) OnBrokerWrite(meta kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if err == nil && (key == keyJoinGroup || key == keyHeartbeat || key == keySyncGroup) {
		h.health.foundCoordinator(meta.NodeID)
	}
}

// OnBrokerConnect is called with each attempt to connect.
func (h *clientHooks) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err != nil {
		h.health.failedToReach(meta.NodeID, err)
	}
}

// OnGroupManageError is called when the client has lost its place in the group,
// or can't join it. It tries again by itself.
func (h *clientHooks) OnGroupManageError(err error) { h.health.groupFailed(err) }

// OnFetchBatchRead is called with each batch that was fetched, before the client hands
// any of the fetch out.
func (h *clientHooks) OnFetchBatchRead(_ kgo.BrokerMetadata, topic string, partition int32, m kgo.FetchBatchMetrics) {
	(*consumer)(h).arrives(broker.TopicPartition{Topic: topic, Partition: partition}, m.NumRecords)
}
