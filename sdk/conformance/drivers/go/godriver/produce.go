package godriver

import (
	"context"
	"sync"
	"time"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"

	"github.com/messageproxy/messageproxy/sdk/conformance/protocol"
)

// flush makes the call, and returns when that has seen what it waits for.
func (d *driver) flush(client *messageproxy.Client, c *protocol.Command) {
	ctx := newWatchedContext(context.Background())
	go func() {
		err := client.Flush(ctx)
		ctx.watch()
		d.done(c.ID, nothing{}, err)
	}()
	<-ctx.watched
}

// produce makes the call, and returns when that has taken its place behind earlier ones.
func (d *driver) produce(client *messageproxy.Client, c *protocol.Command) {
	if c.Text {
		unsupported := struct {
			ID          int    `json:"id"`
			Unsupported string `json:"unsupported"`
		}{c.ID, "a value is a []byte: the compiler refuses a string"}
		d.write(unsupported)
		return
	}
	m := messageToProduce(c.Message)
	ending, ended := d.endable(c.ID)
	ctx := newWatchedContext(ending)
	go func() {
		defer ended()
		receipt, err := client.Produce(ctx, m)
		ctx.watch() // it may have failed before
		d.done(c.ID, protocol.Receipt{
			MessageID: receipt.MessageID,
			Partition: receipt.Partition,
			Timestamp: receipt.Timestamp.UnixMilli(),
		}, err)
	}()
	<-ctx.watched
	if c.Change {
		spoil(m.Key)
		spoil(m.Value)
	}
}

// watchedContext tells when somebody waits for its end: a call of Produce does that when
// its message is taken over, or waits for room behind others, and not before.
type watchedContext struct {
	context.Context
	once    sync.Once
	watched chan struct{}
}

func newWatchedContext(ctx context.Context) *watchedContext {
	return &watchedContext{Context: ctx, watched: make(chan struct{})}
}

func (c *watchedContext) watch() { c.once.Do(func() { close(c.watched) }) }

// Done implements context.Context.
func (c *watchedContext) Done() <-chan struct{} {
	c.watch()
	return c.Context.Done()
}

func spoil(b []byte) {
	for i := range b {
		b[i] ^= 0xff
	}
}

func messageToProduce(in *protocol.Message) *messageproxy.Message {
	m := &messageproxy.Message{
		Topic:       string(in.Topic),
		Key:         in.Key,
		Value:       in.Value,
		ToPartition: in.Partition,
	}
	for _, h := range in.Headers {
		m.Headers = append(m.Headers, messageproxy.Header{Key: string(h.Key), Value: h.Value})
	}
	if in.Timestamp != nil {
		m.Timestamp = time.UnixMilli(*in.Timestamp)
	}
	return m
}
