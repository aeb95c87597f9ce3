//go:build synctests

package simulation

import (
	"encoding/binary"
	"hash/crc32"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// producerIDs has kfake judge the epochs of producers by partition, as Kafka does.
// By itself it keeps one epoch for all partitions of a producer. So when a partition's
// error makes the client library begin a new epoch, kfake refuses what the library
// sends again to another partition, of an answer that got lost, under the old epoch;
// the library then sends it under the new one, and it is stored twice.
type producerIDs struct {
	mu  sync.Mutex
	ids map[producerPartition]int64
}

type producerPartition struct {
	producer  int64
	topic     string
	topicID   [16]byte
	partition int32
}

// separate gives every partition of an idempotent producer a producer id of its own.
func (p *producerIDs) separate(r *kmsg.ProduceRequest) {
	for i := range r.Topics {
		t := &r.Topics[i]
		for j := range t.Partitions {
			key := producerPartition{topic: t.Topic, topicID: t.TopicID, partition: t.Partitions[j].Partition}
			p.rename(t.Partitions[j].Records, key)
		}
	}
}

// rename changes the producer id of a record batch of version 2, and its checksum.
func (p *producerIDs) rename(batch []byte, key producerPartition) {
	const (
		lengthAt, magicAt, checksumAt, attributesAt, producerAt, headerBytes = 8, 16, 17, 21, 43, 61
		transactional                                                        = 1 << 4
	)
	if len(batch) < headerBytes || batch[magicAt] != 2 || int(binary.BigEndian.Uint32(batch[lengthAt:]))+lengthAt+4 != len(batch) {
		return
	}
	key.producer = int64(binary.BigEndian.Uint64(batch[producerAt:]))
	if key.producer < 0 || binary.BigEndian.Uint16(batch[attributesAt:])&transactional != 0 {
		return
	}
	binary.BigEndian.PutUint64(batch[producerAt:], uint64(p.of(key)))
	binary.BigEndian.PutUint32(batch[checksumAt:], crc32.Checksum(batch[attributesAt:], crc32.MakeTable(crc32.Castagnoli)))
}

func (p *producerIDs) of(key producerPartition) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, ok := p.ids[key]
	if !ok {
		id = int64(len(p.ids)) // kfake's own are random numbers of 63 bits
		p.ids[key] = id
	}
	return id
}
