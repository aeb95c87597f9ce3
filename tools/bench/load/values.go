package load

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
)

const (
	textBytes = 1 << 20
	// textStep leads from one value to the next: a prime, so that values differ.
	textStep = 7919
)

// values cuts values out of a text, without copying any. Text compresses to about
// half, like much of what people send.
type values struct {
	text []byte
	size int
	next int
}

func newValues(size int, seed uint64) *values {
	random := rand.New(rand.NewPCG(seed, 0))
	var words [1000][]byte
	for i := range words {
		word := make([]byte, 3+random.IntN(8))
		for j := range word {
			word[j] = byte('a' + random.IntN(26))
		}
		words[i] = append(word, ' ')
	}
	text := make([]byte, 0, textBytes+size+16)
	for len(text) < textBytes+size {
		text = append(text, words[random.IntN(len(words))]...)
	}
	return &values{text: text, size: size}
}

// value returns the next value, which must not be changed.
func (v *values) value() []byte {
	from := v.next
	v.next = (v.next + textStep) % textBytes
	return v.text[from : from+v.size : from+v.size]
}

// indexed returns the next value with a message's place in its partition.
func (v *values) indexed(index int64) []byte {
	value := append([]byte(nil), v.value()...)
	binary.BigEndian.PutUint64(value, uint64(index))
	return value
}

// order checks that each partition's messages come without gaps. A partition has one
// reader at a time, and whoever reads it next is told by the server or by Kafka, so
// nothing here needs a lock.
type order struct {
	next     []atomic.Int64 // the index that comes next, by partition
	size     int
	repeated atomic.Int64
}

func newOrder(partitions, size int) *order {
	return &order{next: make([]atomic.Int64, partitions), size: size}
}

// see takes note of a message, and reports whether it is a new one.
func (o *order) see(partition int32, value []byte) (isNew bool, err error) {
	if len(value) != o.size || int(partition) >= len(o.next) {
		return false, fmt.Errorf("a message of partition %d with a value of %d bytes came, which nobody produced", partition, len(value))
	}
	index := int64(binary.BigEndian.Uint64(value))
	next := &o.next[partition]
	switch want := next.Load(); {
	case index == want:
		next.Store(want + 1)
		return true, nil
	case index < want:
		o.repeated.Add(1)
		return false, nil
	default:
		return false, fmt.Errorf("message %d of partition %d came where %d was next: messages are missing", index, partition, want)
	}
}
