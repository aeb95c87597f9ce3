package integration_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// Every one of 100,000 messages gets a result, and the topic holds the same
// messages in the order of their receipts.
func TestProduce100000(t *testing.T) {
	const n, partitions = 100_000, 8
	a := newAdmin(t, sharedKafka.Brokers())
	topic := a.createTopic(partitions)
	p := startProxy(t, sharedKafka.Brokers(), nil)
	client := connect(t, p.addr)

	receipts := make(map[int32][]string) // the values stored in each partition; callbacks come one after another
	var failed []error
	results := 0
	for i := range n {
		value := fmt.Sprintf("value-%d", i)
		client.ProduceAsync(t.Context(), &messageproxy.Message{
			Topic: topic, Key: fmt.Appendf(nil, "key-%d", i%1000), Value: []byte(value),
		}, func(r messageproxy.Receipt, err error) {
			results++
			if err != nil {
				failed = append(failed, err)
				return
			}
			receipts[r.Partition] = append(receipts[r.Partition], value)
		})
	}
	require.NoError(t, client.Flush(t.Context()))
	require.Empty(t, failed)
	require.Equal(t, n, results, "one result each")

	records := readAll(t, sharedKafka.Brokers(), topic, a.ends(topic))
	total := 0
	for partition, want := range receipts {
		var got []string
		for _, r := range records[partition] {
			got = append(got, string(r.Value))
		}
		require.Equal(t, want, got, "partition %d", partition)
		total += len(got)
	}
	require.Equal(t, n, total)
}

func TestProduceRoundTripOfAbsentAndEmpty(t *testing.T) {
	a := newAdmin(t, sharedKafka.Brokers())
	topic := a.createTopic(1)
	p := startProxy(t, sharedKafka.Brokers(), nil)
	client := connect(t, p.addr)
	old := time.UnixMilli(time.Now().Add(-24 * time.Hour).UnixMilli())
	sent := []*messageproxy.Message{
		{Topic: topic},
		{Topic: topic, Key: []byte{}, Value: []byte{}},
		{Topic: topic, Key: []byte("k"), Headers: []messageproxy.Header{{Key: "h"}, {Key: "h", Value: []byte{}}, {Key: "", Value: []byte("v")}}},
		{Topic: topic, Value: []byte("old"), Timestamp: old},
	}
	var ids []string
	for _, m := range sent {
		r, err := client.Produce(t.Context(), m)
		require.NoError(t, err)
		ids = append(ids, r.MessageID)
	}
	rec := make(chan *messageproxy.Message, len(sent))
	consume(t, client, unique(t, "sub"), []string{topic}, func(_ context.Context, m *messageproxy.Message) error {
		rec <- m
		return nil
	})
	for i, want := range sent {
		got := <-rec
		require.Equal(t, want.Key, got.Key)
		require.Equal(t, want.Key == nil, got.Key == nil)
		require.Equal(t, want.Value == nil, got.Value == nil)
		require.Equal(t, string(want.Value), string(got.Value))
		require.Equal(t, ids[i], got.ID, "the receipt names the id that consumers see")
		require.Equal(t, 1, got.DeliveryAttempt)
		require.True(t, want.Timestamp.IsZero() || want.Timestamp.Equal(got.Timestamp))
		require.Len(t, got.Headers, len(want.Headers))
		for j, h := range want.Headers {
			require.Equal(t, h.Key, got.Headers[j].Key)
			require.Equal(t, h.Value == nil, got.Headers[j].Value == nil)
			require.Equal(t, string(h.Value), string(got.Headers[j].Value))
		}
	}
}

// A message of 15 MiB goes both ways; one above the limit gets a result of its own.
func TestLargeMessages(t *testing.T) {
	a := newAdmin(t, sharedKafka.Brokers())
	topic := a.createTopic(1)
	p := startProxy(t, sharedKafka.Brokers(), nil)
	client := connect(t, p.addr)
	large := strings.Repeat("x", 15<<20)
	_, err := client.Produce(t.Context(), &messageproxy.Message{Topic: topic, Value: []byte(large)})
	require.NoError(t, err)
	_, err = client.Produce(t.Context(), &messageproxy.Message{Topic: topic, Value: []byte(strings.Repeat("y", 17<<20))})
	require.ErrorIs(t, err, messageproxy.CodeMessageTooLarge)
	_, err = client.Produce(t.Context(), &messageproxy.Message{Topic: topic, Value: []byte("after")})
	require.NoError(t, err)
	rec := make(chan string, 2)
	consume(t, client, unique(t, "sub"), []string{topic}, func(_ context.Context, m *messageproxy.Message) error {
		rec <- string(m.Value)
		return nil
	})
	require.Equal(t, large, <-rec)
	require.Equal(t, "after", <-rec)
}

// Bad messages fail by themselves, with the reason, and hold up no others.
func TestProduceBadInput(t *testing.T) {
	t.Parallel()
	a := newAdmin(t, sharedKafka.Brokers())
	topic := a.createTopic(1)
	p := startProxy(t, sharedKafka.Brokers(), nil)
	client := connect(t, p.addr)
	partition := int32(7)
	unknown := unique(t, "nowhere")
	begin := time.Now()
	results := make(chan error, 1)
	go func() {
		_, err := client.Produce(t.Context(), &messageproxy.Message{Topic: unknown, Value: []byte("x")})
		results <- err
	}()
	_, err := client.Produce(t.Context(), &messageproxy.Message{Topic: topic, ToPartition: &partition})
	require.ErrorIs(t, err, messageproxy.CodePartitionNotFound)
	_, err = client.Produce(t.Context(), &messageproxy.Message{Topic: topic, Value: []byte("good")})
	require.NoError(t, err)
	err = <-results
	require.ErrorIs(t, err, messageproxy.CodeTopicNotFound)
	require.Contains(t, err.Error(), unknown)
	require.Less(t, time.Since(begin), 11*time.Second)
	_, err = client.Produce(t.Context(), &messageproxy.Message{Value: []byte("no topic")})
	require.True(t, errors.Is(err, messageproxy.CodeInvalidArgument), "%v", err)
	require.Equal(t, map[int32]int64{0: 1}, a.ends(topic))
	require.NotContains(t, listTopics(a), unknown, "not created unless configured")
}

func listTopics(a *admin) []string {
	topics, err := a.kadm.ListTopics(a.ctx())
	require.NoError(a.t, err)
	return topics.Names()
}
