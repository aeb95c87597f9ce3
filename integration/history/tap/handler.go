package tap

import (
	"context"

	"github.com/messageproxy/messageproxy/integration/history"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// Handler returns h, whose calls are recorded. client names one call of Consume.
func (t *Tap) Handler(client string, h func(context.Context, *messageproxy.Message) error) func(context.Context, *messageproxy.Message) error {
	return func(ctx context.Context, m *messageproxy.Message) (err error) {
		message, topic, ok := messageOf(m.ID, m.Value)
		message.Size = len(m.Key) + len(m.Value)
		for _, h := range m.Headers {
			message.Size += len(h.Key) + len(h.Value)
		}
		p := history.Partition{Topic: m.Topic, Number: m.Partition}
		if ok {
			p.Topic = t.topics.name(m.Topic, topic)
		}
		t.recorder.Record(history.Handling{Client: client, Partition: p, Message: message})
		returned := false // and didn't panic
		defer func() {
			t.recorder.Record(history.Handled{Client: client, Partition: p, Message: message, OK: returned && err == nil})
		}()
		err = h(ctx, m)
		returned = true
		return err
	}
}
