package driver

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/messageproxy/messageproxy/sdk/conformance/internal/await"
	"github.com/messageproxy/messageproxy/sdk/conformance/protocol"
)

// Unsupporter is a T that can be told that a language can't do what is asked.
type Unsupporter interface {
	// Unsupported ends the goroutine.
	Unsupported(why string)
}

// Call is a command, and its answer once that is there.
type Call struct {
	session *Session
	id      int
	what    string
	consume *Consume // of a consume

	// Guarded by the process's state.
	answer   *protocol.Line
	answered time.Time
}

func (c *Call) answerLocked(line *protocol.Line) error {
	if c.answer != nil {
		return errors.New("a second answer to a command")
	}
	c.answer, c.answered = line, time.Now()
	return nil
}

// Answered reports whether the answer is there.
func (c *Call) Answered() bool {
	answered := false
	c.session.process.state.Look(func() { answered = c.answer != nil })
	return answered
}

// AnsweredAt is when the answer came. It is there.
func (c *Call) AnsweredAt() time.Time {
	var at time.Time
	c.session.process.state.Look(func() { at = c.answered })
	return at
}

// AwaitWithin waits for the answer, whatever it is.
func (c *Call) AwaitWithin(within time.Duration) {
	t := c.session.t
	t.Helper()
	p := c.session.process
	p.state.WaitWithin(t, within,
		func() string {
			if p.ended {
				return fmt.Sprintf("the answer to %s: the driver has ended (%v)", c, p.exit)
			}
			return fmt.Sprintf("the answer to %s", c)
		},
		func() bool { return c.answer != nil || p.ended })
	if !c.Answered() {
		c.session.fatalf("no answer to %s: the driver has ended (%v)", c, p.exit)
	}
	if c.answer.Unsupported != nil {
		if u, ok := t.(Unsupporter); ok {
			u.Unsupported(*c.answer.Unsupported)
		}
		c.session.fatalf("%s is not supported: %s", c, *c.answer.Unsupported)
	}
}

// String says which command it is.
func (c *Call) String() string { return fmt.Sprintf("command %d (%s)", c.id, c.what) }

// OK waits for the answer, which must be a success.
func (c *Call) OK() {
	c.session.t.Helper()
	c.AwaitWithin(await.Patience)
	if c.answer.Error != nil {
		c.session.fatalf("%s failed: %s", c, describe(c.answer.Error))
	}
}

// SucceededWithin waits for the answer, and reports whether it is a success.
func (c *Call) SucceededWithin(within time.Duration) bool {
	c.session.t.Helper()
	c.AwaitWithin(within)
	return c.answer.Error == nil
}

func (c *Call) decode(into any) {
	c.session.t.Helper()
	c.OK()
	if err := json.Unmarshal(c.answer.OK, into); err != nil {
		c.session.fatalf("the answer to %s can't be read: %v", c, err)
	}
}

// Receipt waits for the answer, which must be a receipt.
func (c *Call) Receipt() protocol.Receipt {
	c.session.t.Helper()
	var r protocol.Receipt
	c.decode(&r)
	return r
}

// Error waits for the answer, which must be a failure.
func (c *Call) Error() *protocol.Error {
	c.session.t.Helper()
	return c.ErrorWithin(await.Patience)
}

// ErrorWithin is Error with a deadline.
func (c *Call) ErrorWithin(within time.Duration) *protocol.Error {
	c.session.t.Helper()
	c.AwaitWithin(within)
	if c.answer.Error == nil {
		c.session.fatalf("%s succeeded with %s; it should fail", c, c.answer.OK)
	}
	return c.answer.Error
}

// Failed waits for the answer, which must be an error of a kind and, for kind "error",
// with a code.
func (c *Call) Failed(kind string, code int32) *protocol.Error {
	c.session.t.Helper()
	e := c.Error()
	if e.Kind != kind || kind == protocol.KindError && e.Code != code {
		c.session.fatalf("%s failed with %s, not with kind %s and code %d", c, describe(e), kind, code)
	}
	return e
}

// Cancel ends the call.
func (c *Call) Cancel() {
	c.session.t.Helper()
	c.session.call("cancel", nil, func(id int) any { return protocol.Command{ID: id, Op: "cancel", Call: c.id} })
}

func describe(e *protocol.Error) string {
	data, err := json.Marshal(e)
	if err != nil {
		return e.Message
	}
	return shorten(data)
}

// Client is a client of the SDK.
type Client struct {
	session *Session
	name    string
}

// Produce has the client produce a message.
func (c *Client) Produce(m protocol.Message) *Call {
	c.session.t.Helper()
	return c.ProduceWith(protocol.Command{Message: &m})
}

// ProduceWith is Produce with what else the command can have.
func (c *Client) ProduceWith(command protocol.Command) *Call {
	c.session.t.Helper()
	return c.session.call("produce", nil, func(id int) any {
		command.ID, command.Op, command.Client = id, "produce", c.name
		return command
	})
}

// Flush has the client flush.
func (c *Client) Flush() *Call {
	c.session.t.Helper()
	return c.session.call("flush", nil, func(id int) any { return protocol.Command{ID: id, Op: "flush", Client: c.name} })
}

// Close closes the client.
func (c *Client) Close() *Call {
	c.session.t.Helper()
	return c.session.call("close", nil, func(id int) any { return protocol.Command{ID: id, Op: "close", Client: c.name} })
}

// Consume has the client consume. Options are protocol.ConsumeOptions, or anything else
// that JSON can say.
func (c *Client) Consume(subscription protocol.Text, topics []protocol.Text, o any) *Consume {
	c.session.t.Helper()
	return c.consume(subscription, topics, o, false)
}

// ConsumeAuto is Consume with handlers that succeed at once.
func (c *Client) ConsumeAuto(subscription protocol.Text, topics []protocol.Text, o any) *Consume {
	c.session.t.Helper()
	return c.consume(subscription, topics, o, true)
}

func (c *Client) consume(subscription protocol.Text, topics []protocol.Text, o any, auto bool) *Consume {
	c.session.t.Helper()
	consume := &Consume{auto: auto}
	consume.Call = c.session.call("consume "+string(subscription), consume, func(id int) any {
		return protocol.Command{
			ID: id, Op: "consume", Client: c.name, Subscription: subscription, Topics: topics,
			Options: options(c.session, o), Auto: auto,
		}
	})
	return consume
}
