package role

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestOnlyTheFlagAsksForAPart(t *testing.T) {
	for _, args := range [][]string{nil, {"-short"}, {"-role"}, {"-only", "produce", "-short"}} {
		asked, err := Play(t.Context(), args)
		require.NoError(t, err)
		assert.False(t, asked)
	}
	asked, err := Play(t.Context(), []string{"-role", "juggler", "{}"})
	assert.True(t, asked)
	require.ErrorContains(t, err, "juggler")
}

func TestAPartRefusesOptionsThatAreNoJSON(t *testing.T) {
	for name, play := range roles {
		require.Error(t, play(t.Context(), []byte("{"), &bytes.Buffer{}, &bytes.Buffer{}), name)
	}
}

func TestFetchesAreCountedByPartition(t *testing.T) {
	c := &fetchCounter{fetched: newFetched()}
	for range 2 { // the second time, it comes again
		c.OnFetchBatchRead(kgo.BrokerMetadata{}, "orders", 1, kgo.FetchBatchMetrics{NumRecords: 2})
		for offset := range int64(2) {
			c.OnFetchRecordBuffered(&kgo.Record{Partition: 1, Offset: offset})
		}
	}
	assert.Equal(t, Fetched{Messages: map[int32]int64{1: 4}, Next: map[int32]int64{1: 2}}, c.fetched)
	text, err := json.Marshal(c.fetched)
	require.NoError(t, err)
	assert.JSONEq(t, `{"messages":{"1":4},"next":{"1":2}}`, string(text))
}
