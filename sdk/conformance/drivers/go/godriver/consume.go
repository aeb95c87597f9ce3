package godriver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"

	"github.com/messageproxy/messageproxy/sdk/conformance/protocol"
)

func (d *driver) consume(client *messageproxy.Client, c *protocol.Command) {
	var o protocol.ConsumeOptions
	if c.Options != nil {
		if err := json.Unmarshal(c.Options, &o); err != nil {
			d.done(c.ID, nil, err)
			return
		}
	}
	var topics []string
	for _, topic := range c.Topics {
		topics = append(topics, string(topic))
	}
	ctx, ended := d.endable(c.ID)
	handler := func(ctx context.Context, m *messageproxy.Message) error { return d.handle(ctx, c, m, nil) }
	go func() {
		defer ended()
		err := client.Subscription(string(c.Subscription), topics...).Consume(ctx, handler, d.consumeOptions(c, &o)...)
		d.done(c.ID, nothing{}, err)
	}()
}

func (d *driver) consumeOptions(c *protocol.Command, o *protocol.ConsumeOptions) []messageproxy.ConsumeOption {
	options := []messageproxy.ConsumeOption{messageproxy.WithObserver(func(e messageproxy.Event) { d.event(c.ID, e) })}
	if o.MaxHandlers != nil {
		options = append(options, messageproxy.WithMaxHandlers(int(*o.MaxHandlers)))
	}
	if o.KeyWorkers != nil {
		options = append(options, messageproxy.WithKeyWorkers(int(*o.KeyWorkers)))
	}
	if a := o.Attempts; a != nil {
		options = append(options, messageproxy.WithAttempts(int(a[0]), milliseconds(a[1]), milliseconds(a[2])))
	}
	if o.FailureHandler != nil {
		options = append(options, messageproxy.WithFailureHandler(d.failureHandler(c, *o.FailureHandler)))
	}
	if o.MaxUnacked != nil {
		options = append(options, messageproxy.WithMaxUnacked(int(*o.MaxUnacked)))
	}
	if o.AckTimeout != nil {
		options = append(options, messageproxy.WithAckTimeout(milliseconds(*o.AckTimeout)))
	}
	if o.Start != nil {
		options = append(options, messageproxy.WithStart(startPosition(*o.Start)))
	}
	if o.DrainTimeout != nil {
		options = append(options, messageproxy.WithDrainTimeout(milliseconds(*o.DrainTimeout)))
	}
	return options
}

func startPosition(name string) messageproxy.StartPosition {
	switch name {
	case "earliest":
		return messageproxy.StartEarliest
	case "latest":
		return messageproxy.StartLatest
	default:
		return -1 // for the SDK to refuse
	}
}

// failureHandlerError is how a failure handler has failed.
type failureHandlerError struct{ text string }

func (e *failureHandlerError) Error() string { return e.text }

func (d *driver) failureHandler(c *protocol.Command, kind string) messageproxy.FailureHandler {
	if kind == "skip" {
		return messageproxy.SkipFailed
	}
	return func(ctx context.Context, m *messageproxy.Message, err error) error {
		text := err.Error()
		if err := d.handle(ctx, c, m, &text); err != nil {
			return &failureHandlerError{err.Error()}
		}
		return nil
	}
}

// handle tells the suite of a handler, and does what that says.
func (d *driver) handle(ctx context.Context, c *protocol.Command, m *messageproxy.Message, failure *string) error {
	returned := make(chan protocol.Command, 1)
	d.mu.Lock()
	d.last++
	n := d.last
	if !c.Auto {
		d.handlings[n] = returned
	}
	d.mu.Unlock()
	d.write(protocol.Line{Handling: &n, Consume: c.ID, Message: deliveredMessage(m), Failure: failure})
	if c.Auto {
		return nil
	}
	var how protocol.Command
	select {
	case how = <-returned:
	case <-ctx.Done():
		d.write(protocol.Line{Handling: &n, Cancelled: true})
		how = <-returned
	}
	switch how.How {
	case "fail":
		return errors.New(how.ReturnText)
	case "panic":
		panic(how.ReturnText)
	case "change":
		m.ID = "changed"
	}
	return nil
}

func (d *driver) returnHandling(c *protocol.Command) error {
	d.mu.Lock()
	returned := d.handlings[c.Handling]
	delete(d.handlings, c.Handling)
	d.mu.Unlock()
	if returned == nil {
		return fmt.Errorf("no handling %d is waiting", c.Handling)
	}
	returned <- *c
	return nil
}

func deliveredMessage(m *messageproxy.Message) *protocol.Message {
	timestamp := m.Timestamp.UnixMilli()
	out := &protocol.Message{
		Topic:     protocol.Text(m.Topic),
		Key:       m.Key,
		Value:     m.Value,
		Partition: &m.Partition,
		Timestamp: &timestamp,
		ID:        m.ID,
		Attempt:   uint32(m.DeliveryAttempt),
	}
	for _, h := range m.Headers {
		out.Headers = append(out.Headers, protocol.Header{Key: protocol.Text(h.Key), Value: h.Value})
	}
	return out
}

func (d *driver) event(consume int, e messageproxy.Event) {
	out := protocol.Event{
		Consume:    consume,
		Kind:       e.Kind.String(),
		TimeLeft:   e.TimeLeft.Milliseconds(),
		MaxUnacked: int64(e.MaxUnacked),
		AckTimeout: e.AckTimeout.Milliseconds(),
	}
	for _, p := range e.Partitions {
		out.Partitions = append(out.Partitions, protocol.Partition{Topic: p.Topic, Number: p.Partition})
	}
	if e.Err != nil {
		out.Error = describe(e.Err)
	}
	d.write(protocol.Line{Event: &out})
}
