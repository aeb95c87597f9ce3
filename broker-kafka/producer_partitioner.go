package kafka

import (
	"github.com/messageproxy/messageproxy/broker"
	"github.com/twmb/franz-go/pkg/kgo"
)

// partitioner sends a message to the partition that it names; else, if it has a
// key (an empty one is one), to that which Kafka's own producers choose for the
// key, by murmur2; else to one for a while and then to another, mostly to those
// with little waiting, so that batches are full and a slow broker gets less.
type partitioner struct{ kgo.Partitioner }

func newPartitioner() kgo.Partitioner {
	const stickyBytes, adaptive, byKey = 64 << 10, true, true
	return partitioner{kgo.UniformBytesPartitioner(stickyBytes, adaptive, byKey, nil)}
}

func (p partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	return topicPartitioner{p.Partitioner.ForTopic(topic).(kgo.TopicBackupPartitioner)}
}

type topicPartitioner struct{ kgo.TopicBackupPartitioner }

// RequiresConsistency is true where only one partition will do, even if it can't
// be written to now.
func (p topicPartitioner) RequiresConsistency(r *kgo.Record) bool {
	return chosenPartition(r) != broker.AnyPartition || p.TopicBackupPartitioner.RequiresConsistency(r)
}

// PartitionByBackup returns -1, which fails the message, for a partition that
// doesn't exist.
func (p topicPartitioner) PartitionByBackup(r *kgo.Record, n int, backup kgo.TopicBackupIter) int {
	chosen := int(chosenPartition(r))
	switch {
	case chosen == int(broker.AnyPartition):
		return p.TopicBackupPartitioner.PartitionByBackup(r, n, backup)
	case chosen >= n:
		r.Context.(*outgoing).misdirected = true
		return -1
	}
	return chosen
}

func chosenPartition(r *kgo.Record) int32 {
	return r.Context.(*outgoing).message.Partition
}
