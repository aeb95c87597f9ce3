package integration_test

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/messageproxy/messageproxy/integration/history/tap"
)

var lastToken atomic.Int64

// newToken returns what tells a message from all others.
func newToken() string { return fmt.Sprintf("m%d", lastToken.Add(1)) }

const (
	// chaosKeys is how many keys the load has.
	chaosKeys     = 200
	smallestValue = 100
)

// chaosKey is nil now and then, so that messages of both kinds flow.
func chaosKey() []byte {
	if rand.IntN(30) == 0 {
		return nil
	}
	return numberedKey(rand.IntN(chaosKeys))
}

func numberedKey(n int) []byte { return fmt.Appendf(nil, "key-%d", n) }

// requireLoadEverywhere checks that every partition of a topic gets a good share of the
// load's keys. Messages without a key stay with one partition for many seconds, at the
// load's pace. So a partition without keys may get nothing for minutes, and neither
// may a consumer that owns only such partitions, though nothing is wrong.
func requireLoadEverywhere(t *testing.T, partitions int32) {
	t.Helper()
	byKey := kgo.StickyKeyPartitioner(nil).ForTopic("") // as the proxy chooses, and Kafka's own producers
	keys := make([]int, partitions)
	for n := range chaosKeys {
		keys[byKey.Partition(&kgo.Record{Key: numberedKey(n)}, len(keys))]++
	}
	for p, n := range keys {
		require.GreaterOrEqual(t, n, chaosKeys/len(keys)/3,
			"the load's keys in partition %d of %d: it has %d, and should have a good share", p, partitions, chaosKeys)
	}
}

// chaosValue is a few hundred bytes, and now and then what fills several packets.
func chaosValue(token string) []byte {
	if rand.IntN(200) == 0 {
		return tap.Value(token, 20<<10)
	}
	return tap.Value(token, smallestValue+rand.IntN(300))
}
