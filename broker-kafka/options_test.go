package kafka

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestOptionsAreChecked(t *testing.T) {
	for want, opts := range map[string]Options{
		"no Kafka broker is named":         {},
		`"localhost" is not of the form`:   {Brokers: []string{"localhost"}},
		`":9092" is not of the form`:       {Brokers: []string{":9092"}},
		`"a:b:c" is not of the form`:       {Brokers: []string{"a:b:c"}},
		`has the port "0"`:                 {Brokers: []string{"localhost:0"}},
		`has the port "65536"`:             {Brokers: []string{"localhost:65536"}},
		`has the port "kafka"`:             {Brokers: []string{"localhost:kafka"}},
		"commit interval is -1ns":          {Brokers: []string{"a:1"}, CommitInterval: -1},
		"messages to commit after is -1":   {Brokers: []string{"a:1"}, CommitMessages: -1},
		"session timeout is -1s":           {Brokers: []string{"a:1"}, SessionTimeout: -time.Second},
		"the client options contradict":    {Brokers: []string{"a:1"}, ClientOptions: []kgo.Opt{kgo.MetadataMinAge(1)}},
		`"b" is not of the form host:port`: {Brokers: []string{"a:1", "b"}},
	} {
		_, err := New(opts)
		require.ErrorContains(t, err, want)
	}
	_, err := New(Options{CommitMessages: -1})
	require.ErrorContains(t, err, "no Kafka broker")
	require.ErrorContains(t, err, "commit after", "all that is wrong is said at once")
}

func TestDefaultsOfOptions(t *testing.T) {
	b, err := New(Options{Brokers: []string{"[::1]:9092", "kafka.example:9092"}})
	require.NoError(t, err)
	assert.Equal(t, 5*time.Second, b.opts.CommitInterval)
	assert.Equal(t, 1000, b.opts.CommitMessages)
	assert.Equal(t, 15*time.Second, b.opts.SessionTimeout)
	assert.NotNil(t, b.opts.Logger)
	features := b.Features()
	assert.True(t, features.ExplicitPartition && features.StartLatest && features.SharedSubscriptions)
}
