package coordinator

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/messageproxy/messageproxy/broker"
)

// benchState returns a subscription with open consumer, clients and partitions.
func benchState(b *testing.B, clients, partitions int) *State {
	s := New(Config{
		Subscription: "s", MaxUnackedMessages: 1000, MaxUnackedBytes: 64 << 20,
		AckTimeout: time.Minute, MaxAckTimeout: time.Minute,
	})
	for id := range clients {
		s.Step(Join{Client: ClientID(id + 1), Spec: Spec{Topics: []string{"t"}}})
	}
	s.Settle()
	s.Step(Opened{})
	s.Step(Polled{broker.Events{broker.EventAssigned{Partitions: benchNames(partitions)}}})
	s.Settle()
	checkInvariants(b, s)
	return s
}

func benchNames(n int) []broker.TopicPartition {
	names := make([]broker.TopicPartition, n)
	for i := range names {
		names[i] = broker.TopicPartition{Topic: "t", Partition: int32(i)}
	}
	return names
}

// benchMessages are n messages of 100 bytes. The benchmarks give them to a State
// again and again, at other positions, so that making them isn't measured.
func benchMessages(n int) []broker.Message {
	messages := make([]broker.Message, n)
	for i := range messages {
		messages[i] = broker.Message{Position: uint64(i), Value: make([]byte, 100)}
	}
	return messages
}

func moveOn(messages []broker.Message) {
	for i := range messages {
		messages[i].Position += uint64(len(messages))
	}
}

// BenchmarkMessage is the whole way of a message through the coordinator, in
// nanoseconds per message: received, delivered, ACKed.
func BenchmarkMessage(b *testing.B) {
	for _, order := range []string{"in order", "reversed", "shuffled"} {
		for _, batch := range []int{1, 100, 1000} {
			b.Run(fmt.Sprintf("ACKs of %d %s", batch, order), func(b *testing.B) { benchmarkAcks(b, batch, order) })
		}
	}
}

func benchmarkAcks(b *testing.B, batch int, order string) {
	const window = 1000
	s := benchState(b, 1, 1)
	name := benchNames(1)[0]
	messages := benchMessages(window)
	acks := benchAcks(name, messages, batch, order)
	polled := Polled{broker.Events{broker.EventMessages{Partition: name, Messages: messages}}}
	b.ReportAllocs()
	for b.Loop() {
		s.Step(polled)
		s.Settle()
		for _, ack := range acks {
			s.Step(ack)
			s.Settle()
		}
		moveOn(messages)
		for _, ack := range acks {
			for i := range ack.IDs {
				ack.IDs[i].Position += window
			}
		}
	}
	reportPerMessage(b, window)
}

// benchAcks are ACKs of all messages, in batches.
func benchAcks(name broker.TopicPartition, messages []broker.Message, batch int, order string) []Ack {
	permutation := rand.New(rand.NewPCG(1, 2)).Perm(len(messages))
	acks := make([]Ack, len(messages)/batch)
	for i := range messages {
		from := i
		switch order {
		case "reversed":
			from = len(messages) - 1 - i
		case "shuffled":
			from = permutation[i]
		}
		ack := &acks[i/batch]
		ack.Client = 1
		ack.IDs = append(ack.IDs, broker.MessageID{Partition: name, Position: messages[from].Position})
		ack.Texts = append(ack.Texts, "")
	}
	return acks
}

// BenchmarkLargeBatches is for a server that lags behind: one turn takes in so many
// messages of each of 64 partitions, and ACKs of all that the client holds in one
// request, in the order in which the client got them or with the partitions mixed.
func BenchmarkLargeBatches(b *testing.B) {
	for _, each := range []int{100, 1000} {
		for _, mixed := range []bool{false, true} {
			name := "in order"
			if mixed {
				name = "mixed"
			}
			b.Run(fmt.Sprintf("%d each, ACKs %s", each, name), func(b *testing.B) { benchmarkLargeBatches(b, each, mixed) })
		}
	}
}

func benchmarkLargeBatches(b *testing.B, each int, mixed bool) {
	const partitions = 64
	s := benchState(b, 1, partitions)
	s.clients[1].maxUnacked = partitions * each
	messages := benchMessages(each)
	polled := Polled{}
	ack := Ack{Client: 1, Texts: make([]string, partitions*each)}
	for _, name := range benchNames(partitions) {
		polled.Events = append(polled.Events, broker.EventMessages{Partition: name, Messages: messages})
		ack.IDs = append(ack.IDs, benchAcks(name, messages, each, "in order")[0].IDs...)
	}
	if mixed {
		slices.SortStableFunc(ack.IDs, func(p, q broker.MessageID) int { return cmp.Compare(p.Position, q.Position) })
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Step(Tick{})
		s.Step(polled)
		s.Settle()
		s.Step(ack)
		s.Settle()
		moveOn(messages)
		for i := range ack.IDs {
			ack.IDs[i].Position += uint64(each)
		}
	}
	if s.Messages() != 0 {
		b.Fatalf("%d messages are not ACKed", s.Messages())
	}
	reportPerMessage(b, partitions*each)
}

// BenchmarkNotHeld is for ACKs that don't count, in requests of 1,000.
func BenchmarkNotHeld(b *testing.B) {
	const window = 1000
	s := benchState(b, 1, 1)
	ack := benchAcks(benchNames(1)[0], benchMessages(window), window, "in order")[0]
	b.ReportAllocs()
	for b.Loop() {
		s.Step(ack)
		s.Settle()
	}
	reportPerMessage(b, window)
}

func reportPerMessage(b *testing.B, messages int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(messages), "ns/message")
}

// BenchmarkClients is the same for 8 partitions whose messages go to so many
// clients.
func BenchmarkClients(b *testing.B) {
	for _, clients := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) { benchmarkClients(b, clients) })
	}
}

func benchmarkClients(b *testing.B, clients int) {
	const partitions, each = 8, 125
	s := benchState(b, clients, partitions)
	var polled Polled
	var acks []Ack
	messages := benchMessages(each)
	for _, name := range benchNames(partitions) {
		polled.Events = append(polled.Events, broker.EventMessages{Partition: name, Messages: messages})
		ack := benchAcks(name, messages, each, "in order")[0]
		ack.Client = s.partitions[name].owner.id
		acks = append(acks, ack)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Step(polled)
		s.Settle()
		for _, ack := range acks {
			s.Step(ack)
		}
		s.Settle()
		moveOn(messages)
		for _, ack := range acks {
			for i := range ack.IDs {
				ack.IDs[i].Position += each
			}
		}
	}
	reportPerMessage(b, partitions*each)
}

// BenchmarkJoinAndLeave has 1,000 clients share 10,000 partitions; one joins and
// one leaves in turns.
func BenchmarkJoinAndLeave(b *testing.B) {
	const clients, partitions = 1000, 10_000
	s := benchState(b, clients, partitions)
	b.ReportAllocs()
	for next := ClientID(clients + 1); b.Loop(); next++ {
		s.Step(Join{Client: next, Spec: Spec{Topics: []string{"t"}}})
		s.Settle()
		s.Step(Gone{Client: next - clients})
		s.Settle()
	}
}

// BenchmarkAllLeave is for when a network fails, or a server drains.
func BenchmarkAllLeave(b *testing.B) {
	const clients, partitions = 1000, 10_000
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		s := benchState(b, clients, partitions)
		b.StartTimer()
		for id := range clients {
			s.Step(Gone{Client: ClientID(id + 1)})
		}
		s.Settle()
	}
}
