package history_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/integration/history"
)

// BenchmarkCheck checks a history of about 500,000 events: some clients that get and
// ACK messages of some partitions, in deliveries of ten.
func BenchmarkCheck(b *testing.B) {
	entries := longHistory(16, 31_000)
	rules := history.Rules{Settled: true, PartitionWindow: 1000, Slack: time.Second}
	require.Empty(b, history.Check(entries, rules))
	b.ReportAllocs()
	for b.Loop() {
		history.Check(entries, rules)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(entries)), "ns/event")
}

// longHistory has a partition and a client of each number, and that many messages in
// each partition.
func longHistory(partitions, messages int) []history.Entry {
	now := epoch
	var entries []history.Entry
	record := func(e history.Event) {
		now = now.Add(time.Millisecond)
		entries = append(entries, history.Entry{At: now, Event: e})
	}
	logs := make([]history.Log, partitions)
	for n := range logs {
		p := history.Partition{Topic: "t", Number: int32(n)}
		record(history.Subscribed{Side: history.Server, Stream: fmt.Sprint("c", n), Server: "s", Subscription: "g", Window: 100})
		record(history.Gained{Server: "s", Subscription: "g", Partitions: []history.Partition{p}})
		logs[n] = history.Log{Partition: p}
		for k := range messages {
			logs[n].Messages = append(logs[n].Messages, message(p, int64(k), ""))
		}
	}
	for k := range messages {
		for n := range logs {
			m := &logs[n].Messages[k]
			produced := history.Produced{Stream: "p", Sequence: uint64(k*partitions + n), Topic: "t", Token: m.Token}
			record(produced)
			if (k+1)%10 > 0 {
				continue
			}
			some := logs[n].Messages[k-9 : k+1]
			deliverAndAck(record, logs[n].Partition, n, some)
		}
	}
	record(history.Healed{})
	for _, log := range logs {
		record(history.PositionRead{Subscription: "g", Partition: log.Partition, Position: int64(messages)})
		record(log)
	}
	return entries
}

func deliverAndAck(record func(history.Event), p history.Partition, n int, messages []history.Message) {
	record(history.Fetched{Server: "s", Subscription: "g", Partition: p, Messages: messages})
	stream := fmt.Sprint("c", n)
	record(history.Delivered{Side: history.Server, Stream: stream, Partition: p, Messages: messages})
	acked := history.Acked{Side: history.Server, Stream: stream}
	for _, m := range messages {
		acked.IDs = append(acked.IDs, m.ID)
	}
	record(acked)
}
