package kafkadev

import (
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("KAFKADEV_TEST_HOLD"); dir != "" {
		holdUntilStdinCloses(dir)
	}
	goleak.VerifyTestMain(m)
}

// holdUntilStdinCloses is the other process of TestACrashUnlocks.
func holdUntilStdinCloses(dir string) {
	if _, err := Start(Options{DataDir: dir}); err != nil {
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString("locked\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

func start(t *testing.T, opts Options) *Cluster {
	t.Helper()
	c, err := Start(opts)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	return c
}

func client(t *testing.T, c *Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(c.Brokers()...), kgo.AllowAutoTopicCreation())...)
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	return cl
}

func produce(t *testing.T, c *Cluster, topic, value string) *kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cl := client(t, c)
	defer cl.Close()
	r, err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Key: []byte("k"), Value: []byte(value)}).First()
	require.NoError(t, err)
	return r
}

func consume(t *testing.T, c *Cluster, topic string, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cl := client(t, c, kgo.ConsumeTopics(topic), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	defer cl.Close()
	var values []string
	for len(values) < n {
		fetches := cl.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values
}

func TestTopicsAreCreatedOnFirstUse(t *testing.T) {
	c := start(t, Options{DefaultPartitions: 3})
	produce(t, c, "orders", "first")
	assert.Equal(t, []string{"first"}, consume(t, c, "orders", 1))
	assert.Len(t, c.kafka.PartitionInfos("orders"), 3)
}

func TestLargeMessagesFit(t *testing.T) {
	c := start(t, Options{})
	cl := client(t, c, kgo.ProducerBatchMaxBytes(20<<20), kgo.ProducerBatchCompression(kgo.NoCompression()))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r := &kgo.Record{Topic: "large", Value: make([]byte, 15<<20)}
	require.NoError(t, cl.ProduceSync(ctx, r).FirstErr())
}

func TestOnlyLoopbackByDefault(t *testing.T) {
	c := start(t, Options{})
	require.Len(t, c.Brokers(), 1)
	host, _, err := net.SplitHostPort(c.Brokers()[0])
	require.NoError(t, err)
	assert.True(t, net.ParseIP(host).IsLoopback(), host)
}

func TestDataSurvivesReopen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "on", "the", "way")
	c := start(t, Options{DataDir: dir})
	first := produce(t, c, "orders", "one")
	require.NoError(t, c.Close())

	c = start(t, Options{DataDir: dir})
	second := produce(t, c, "orders", "two")
	assert.Equal(t, first.Partition, second.Partition)
	assert.Equal(t, first.Offset+1, second.Offset)
	assert.Equal(t, []string{"one", "two"}, consume(t, c, "orders", 2))
}

func TestNothingIsKeptWithoutAFolder(t *testing.T) {
	c := start(t, Options{})
	produce(t, c, "orders", "one")
	require.NoError(t, c.Close())
	c = start(t, Options{})
	assert.Nil(t, c.kafka.TopicInfo("orders"))
}

func TestAFolderIsUsedOnce(t *testing.T) {
	dir := t.TempDir()
	c := start(t, Options{DataDir: dir})
	_, err := Start(Options{DataDir: dir})
	require.ErrorContains(t, err, dir)
	require.ErrorContains(t, err, "in use by another process")

	produce(t, c, "orders", "the first cluster goes on")
	require.NoError(t, c.Close())
	require.NoError(t, c.Close(), "a second Close does nothing")
	start(t, Options{DataDir: dir})
}

func TestACrashUnlocks(t *testing.T) {
	dir := t.TempDir()
	other := exec.CommandContext(t.Context(), os.Args[0])
	other.Env = append(os.Environ(), "KAFKADEV_TEST_HOLD="+dir)
	stdin, err := other.StdinPipe()
	require.NoError(t, err)
	defer stdin.Close()
	stdout, err := other.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, other.Start())
	said := make([]byte, len("locked\n"))
	_, err = io.ReadFull(stdout, said)
	require.NoError(t, err)

	_, err = Start(Options{DataDir: dir})
	require.ErrorContains(t, err, "in use by another process")
	require.NoError(t, other.Process.Kill())
	assert.Error(t, other.Wait())
	start(t, Options{DataDir: dir})
}

func TestOldMessagesGo(t *testing.T) {
	c := start(t, Options{PartitionBytes: 100})
	for range 3 {
		produce(t, c, "orders", string(make([]byte, 90)))
	}
	c.kafka.Compact()
	var left int64
	for _, p := range c.kafka.PartitionInfos("orders") {
		left += p.HighWatermark - p.LogStartOffset
	}
	assert.Less(t, left, int64(3))
}

func TestBadOptions(t *testing.T) {
	for name, opts := range map[string]Options{
		"not of the form host:port":       {Listen: "localhost"},
		"names no host":                   {Listen: "0.0.0.0:0"},
		"default number of partitions":    {DefaultPartitions: -1},
		"bytes that a partition may hold": {PartitionBytes: -1},
		"can't be made":                   {DataDir: "/dev/null/x"},
		"listening on 192.0.2.1:1":        {Listen: "192.0.2.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Start(opts)
			require.ErrorContains(t, err, name)
		})
	}
}
