//go:build synctests

package simulation

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/messageproxy/messageproxy/integration/history"
	"github.com/messageproxy/messageproxy/integration/history/tap"
)

// steps are the plan's, by time.
func (w *world) steps() []Step {
	return slices.SortedStableFunc(slices.Values(w.plan.Steps), func(a, b Step) int { return cmp.Compare(a.At, b.At) })
}

// do carries out an action.
func (w *world) do(action Action) {
	switch a := action.(type) {
	case Produce:
		w.produce(a)
	case EndProducer:
		w.endProducer(a)
	case Transact:
		w.transact(a)
	case Consume:
		w.consume(a)
	case Behave:
		w.behave(a)
	case EndConsumer:
		w.endConsumer(a)
	case Disturb:
		w.disturb(a)
	case Requests:
		w.kafka.requests.add(a)
	case Start:
		w.startProxy(a.Proxy)
	case Drain:
		w.drain(a.Proxy)
	case Kill:
		w.kill(a.Proxy)
	case Freeze:
		w.freeze(a.Proxy, a.For)
	default:
		w.kafka.do(a)
	}
}

// disturb carries out a Disturb.
func (w *world) disturb(a Disturb) {
	for _, node := range w.nodes(a.Node) {
		n := 0
		var storm *storm
		switch a.How {
		case Reset:
			n = w.network.reset(node)
		case Refused:
			storm, _ = w.network.disturb(node, weather{refused: true})
			n = w.network.reset(node)
		case Stalled:
			storm, n = w.network.disturb(node, weather{stalled: true})
		case Delayed:
			storm, n = w.network.disturb(node, weather{delay: cmp.Or(a.Delay, time.Second)})
		case Throttled:
			storm, n = w.network.disturb(node, weather{rate: cmp.Or(a.Rate, 10_000)})
		}
		w.faults.add(fmt.Sprintf("disturb %s %s", kindOf(a.Node), a.How), n)
		if storm != nil {
			w.after(a.For, func() { w.network.lift(storm) })
		}
	}
}

// nodes are those in the network that a plan's name means.
func (w *world) nodes(name string) []string {
	if p := w.proxies[name]; p != nil {
		return []string{kafkaNode(p.name)}
	}
	if kindOf(name) == "broker" {
		return []string{name}
	}
	var nodes []string
	if c := w.consumers[name]; c != nil {
		nodes = append(nodes, c.node())
	}
	if p := w.producers[name]; p != nil {
		nodes = append(nodes, p.node())
	}
	return nodes
}

func kindOf(name string) string {
	_, err := strconv.Atoi(strings.TrimLeft(name, "bp"))
	switch {
	case err == nil && strings.HasPrefix(name, "b"):
		return "broker"
	case err == nil && strings.HasPrefix(name, "p"):
		return "proxy"
	}
	return "client"
}

// do carries out what happens in Kafka alone.
func (k *kafkaCluster) do(action Action) {
	switch a := action.(type) {
	case MoveLeader:
		k.moveLeader(a)
	case MoveCoordinators:
		k.moveCoordinators(max(a.Times, 1))
	case Kick:
		k.kick(a)
	case Expire:
		k.expire(a)
	case Compact:
		k.compact()
	case AddPartitions:
		k.addPartitions(a)
	case Recreate:
		k.recreate(a)
	}
}

func (k *kafkaCluster) moveLeader(a MoveLeader) {
	node, err := strconv.Atoi(strings.TrimPrefix(a.Broker, "b"))
	if err != nil || int(k.cluster.LeaderFor(a.Topic, int32(a.Partition))) == node {
		return
	}
	if k.cluster.MoveTopicPartition(a.Topic, int32(a.Partition), int32(node)) == nil {
		k.world.faults.add("move-leader", 1)
	}
}

func (k *kafkaCluster) moveCoordinators(times int) {
	k.rehash()
	k.world.wg.Go(func() {
		for range times - 1 {
			if !sleep(k.world.over, time.Second) {
				return
			}
			k.rehash()
		}
	})
}

func (k *kafkaCluster) rehash() {
	k.world.faults.add("move-coordinators", 1)
	k.cluster.RehashCoordinators()
}

// kick throws the members of a proxy out of a group, by their assigned clients:
// a proxy's clients all come from its node.
func (k *kafkaCluster) kick(a Kick) {
	p := k.world.proxies[a.Proxy]
	info := k.cluster.GroupInfo(a.Subscription)
	if p == nil || info == nil {
		return
	}
	for _, m := range info.Members {
		if !strings.Contains(m.ClientHost, kafkaNode(p.name)+":") {
			continue
		}
		k.world.faults.add("kick", 1)
		k.world.wg.Go(func() { k.leave(a.Subscription, m.MemberID) })
	}
}

func (k *kafkaCluster) leave(group, member string) {
	ctx, cancel := context.WithTimeout(k.world.lasting, 10*time.Second)
	defer cancel()
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID = member
	request := kmsg.NewPtrLeaveGroupRequest()
	request.Group, request.MemberID = group, member
	request.Members = append(request.Members, m)
	_, _ = request.RequestWith(ctx, k.client)
}

func (k *kafkaCluster) expire(a Expire) {
	info := k.cluster.PartitionInfo(a.Topic, int32(a.Partition))
	if info == nil {
		return
	}
	// Behind the last stable message kfake would be at odds with itself: its logs would
	// begin after their end.
	before := min(info.HighWatermark-int64(a.Keep), info.LastStableOffset)
	if before <= info.LogStartOffset {
		return
	}
	partition := history.Partition{Topic: k.world.tap.TopicName(a.Topic), Number: int32(a.Partition)}
	k.world.recorder.Record(history.Expired{Partition: partition, Before: before})
	if k.cluster.DeleteRecords(a.Topic, int32(a.Partition), before) == nil {
		k.world.faults.add("expire", 1)
	}
}

// compact compacts all compacted topics, unless a transaction is open somewhere: kfake
// compacts what stands behind it, too, which Kafka never does, and the log is cut off.
func (k *kafkaCluster) compact() {
	if len(k.openTransactions()) > 0 {
		return
	}
	k.world.faults.add("compact", 1)
	k.cluster.Compact()
}

func (k *kafkaCluster) addPartitions(a AddPartitions) {
	total := k.partitions(a.Topic) + max(a.Count, 1)
	if total > 64 || k.cluster.TopicInfo(a.Topic) == nil {
		return
	}
	k.world.faults.add("add-partitions", 1)
	k.world.recorder.Record(history.Added{Topic: k.world.tap.TopicName(a.Topic), From: int32(k.partitions(a.Topic))})
	k.world.wg.Go(func() {
		ctx, cancel := context.WithTimeout(k.world.over, 30*time.Second)
		defer cancel()
		_, _ = k.admin.UpdatePartitions(ctx, total, a.Topic)
	})
}

func (k *kafkaCluster) recreate(a Recreate) {
	if k.cluster.TopicInfo(a.Topic) == nil {
		return
	}
	k.world.faults.add("recreate", 1)
	k.readAllPositions()
	k.world.recorder.Record(history.Deleted{Topic: k.world.tap.TopicName(a.Topic)})
	if k.cluster.DeleteTopic(a.Topic) != nil {
		return
	}
	k.world.after(max(a.Gap, time.Millisecond), func() {
		for _, t := range k.world.plan.Topics {
			if t.Name == a.Topic {
				_ = k.create(t.Name, t.Partitions, t.Compacted)
			}
		}
	})
}

// transact carries out a Transact.
func (w *world) transact(a Transact) {
	if w.kafka.cluster.TopicInfo(a.Topic) == nil {
		return
	}
	name := w.names.next("transaction")
	values := make([][]byte, a.Count)
	for i := range values {
		values[i] = tap.Value(w.token(name), 0)
	}
	w.wg.Go(func() {
		if w.transaction(a, name, values) {
			w.faults.add(fmt.Sprintf("transact abort=%v", a.Abort), 1)
		}
	})
}

// transaction reports whether it came to its end.
func (w *world) transaction(a Transact, name string, values [][]byte) bool {
	client, err := kgo.NewClient(kgo.SeedBrokers(w.kafka.addresses...), kgo.Dialer(patient(w.kafka.dialer(name))),
		kgo.TransactionalID(name), kgo.DisableClientMetrics(), kgo.TransactionTimeout(time.Minute))
	if err != nil {
		return false
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if client.BeginTransaction() != nil {
		return false
	}
	for _, value := range values {
		client.Produce(ctx, &kgo.Record{Topic: a.Topic, Value: value}, nil)
	}
	if client.Flush(ctx) != nil {
		return false
	}
	sleep(w.over, a.Open)
	return client.EndTransaction(ctx, kgo.TransactionEndTry(!a.Abort)) == nil
}

// patient makes a dial that fails take some time. Where it takes none, the client
// library asks for a transaction's producer id again and again, without a pause, and
// virtual time stands still.
func patient(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			sleep(ctx, 10*time.Millisecond)
		}
		return conn, err
	}
}
