// Package protocol is DRIVER.md in Go: the lines that the suite and a driver exchange.
package protocol

import (
	"encoding/json"
	"fmt"
)

// Command is a line for a driver. Fields that a command doesn't have are left out.
type Command struct {
	ID     int    `json:"id"`
	Op     string `json:"op"`
	Client string `json:"client,omitempty"`

	Target  *string         `json:"target,omitempty"`  // open
	Options json.RawMessage `json:"options,omitempty"` // open, consume

	Message *Message `json:"message,omitempty"` // produce
	Change  bool     `json:"change,omitempty"`
	Text    bool     `json:"text,omitempty"`

	Call int `json:"call,omitempty"` // cancel

	Subscription Text   `json:"subscription,omitempty"` // consume
	Topics       []Text `json:"topics,omitempty"`
	Auto         bool   `json:"auto,omitempty"`

	Handling   int    `json:"handling,omitempty"` // return
	How        string `json:"how,omitempty"`
	ReturnText string `json:"-"` // "text" of a return
}

// UnmarshalJSON implements json.Unmarshaler: the "text" of a return is a text, that of a
// produce says that the value is one.
func (c *Command) UnmarshalJSON(data []byte) error {
	type plain Command
	var in struct {
		plain
		Text json.RawMessage `json:"text"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*c = Command(in.plain)
	switch {
	case in.Text == nil:
		return nil
	case c.Op == "return":
		return json.Unmarshal(in.Text, &c.ReturnText)
	default:
		return json.Unmarshal(in.Text, &c.Text)
	}
}

// Return is the command that has a handler return.
type Return struct {
	ID       int    `json:"id"`
	Op       string `json:"op"`
	Handling int    `json:"handling"`
	How      string `json:"how"`
	Text     string `json:"text,omitempty"`
}

// ClientOptions are the options of open. Nil: the SDK's default.
type ClientOptions struct {
	ClientName       *Text      `json:"client_name,omitempty"`
	ReconnectBackoff *[2]int64  `json:"reconnect_backoff,omitempty"` // ms
	MaxOutstanding   *[2]int64  `json:"max_outstanding,omitempty"`   // messages, bytes
	MaxMessageBytes  *int64     `json:"max_message_bytes,omitempty"`
	TLS              *TLSOption `json:"tls,omitempty"`
	Log              bool       `json:"log,omitempty"`
}

// TLSOption has a client use TLS.
type TLSOption struct {
	// Roots are certificates in PEM. Nil: the system's.
	Roots *string `json:"roots,omitempty"`
}

// ConsumeOptions are the options of consume. Nil: the SDK's default.
type ConsumeOptions struct {
	MaxHandlers    *int64    `json:"max_handlers,omitempty"`
	KeyWorkers     *int64    `json:"key_workers,omitempty"`
	Attempts       *[3]int64 `json:"attempts,omitempty"` // number, ms, ms
	FailureHandler *string   `json:"failure_handler,omitempty"`
	MaxUnacked     *int64    `json:"max_unacked,omitempty"`
	AckTimeout     *int64    `json:"ack_timeout,omitempty"` // ms
	Start          *string   `json:"start,omitempty"`
	DrainTimeout   *int64    `json:"drain_timeout,omitempty"` // ms
}

// Message is a message to produce or a delivered one. Nil bytes are absent.
type Message struct {
	Topic     Text     `json:"topic"`
	Key       []byte   `json:"key"`
	Value     []byte   `json:"value"`
	Headers   []Header `json:"headers,omitempty"`
	Partition *int32   `json:"partition,omitempty"`
	Timestamp *int64   `json:"timestamp,omitempty"` // ms since the Unix epoch

	ID      string `json:"id,omitempty"` // only delivered messages have one
	Attempt uint32 `json:"attempt,omitempty"`
}

// Header is an entry of a message's headers: in JSON, [key, value].
type Header struct {
	Key   Text
	Value []byte // nil: absent
}

// MarshalJSON implements json.Marshaler.
func (h Header) MarshalJSON() ([]byte, error) { return json.Marshal([]any{h.Key, h.Value}) }

// UnmarshalJSON implements json.Unmarshaler.
func (h *Header) UnmarshalJSON(data []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(data, &parts); err != nil {
		return err
	}
	if len(parts) != 2 {
		return fmt.Errorf("a header has a key and a value, not %d parts", len(parts))
	}
	if err := json.Unmarshal(parts[0], &h.Key); err != nil {
		return err
	}
	return json.Unmarshal(parts[1], &h.Value)
}

// Line is anything that a driver says.
type Line struct {
	ID          *int            `json:"id,omitempty"` // an answer
	OK          json.RawMessage `json:"ok,omitempty"`
	Error       *Error          `json:"error,omitempty"`
	Unsupported *string         `json:"unsupported,omitempty"`

	Event *Event `json:"event,omitempty"`

	Handling  *int     `json:"handling,omitempty"`
	Consume   int      `json:"consume,omitempty"`
	Message   *Message `json:"message,omitempty"`
	Failure   *string  `json:"failure,omitempty"`
	Cancelled bool     `json:"cancelled,omitempty"`

	Log *Log `json:"log,omitempty"`
}

// Receipt is the ok of a produce.
type Receipt struct {
	MessageID string `json:"message_id"`
	Partition int32  `json:"partition"`
	Timestamp int64  `json:"timestamp"`
}

// The kinds of an Error.
const (
	KindError           = "error"
	KindClosed          = "closed"
	KindHandler         = "handler"
	KindHandlersRunning = "handlers_running"
	KindCancelled       = "cancelled"
	KindFailureHandler  = "failure_handler"
	KindOther           = "other"
)

// Error is how a call failed.
type Error struct {
	Kind       string   `json:"kind"`
	Code       int32    `json:"code,omitempty"`
	Message    string   `json:"message"`
	Retryable  bool     `json:"retryable,omitempty"`
	MessageIDs []string `json:"message_ids,omitempty"`

	Attempts  int    `json:"attempts,omitempty"` // of a handler error
	MessageID string `json:"message_id,omitempty"`
	Cause     string `json:"cause,omitempty"`
}

// Event is something that an observer was told.
type Event struct {
	Consume    int         `json:"consume"`
	Kind       string      `json:"kind"`
	Partitions []Partition `json:"partitions,omitempty"`
	TimeLeft   int64       `json:"time_left,omitempty"`
	MaxUnacked int64       `json:"max_unacked,omitempty"`
	AckTimeout int64       `json:"ack_timeout,omitempty"`
	Error      *Error      `json:"error,omitempty"`
}

// Partition names a partition: in JSON, [topic, number].
type Partition struct {
	Topic  string
	Number int32
}

// MarshalJSON implements json.Marshaler.
func (p Partition) MarshalJSON() ([]byte, error) { return json.Marshal([]any{p.Topic, p.Number}) }

// UnmarshalJSON implements json.Unmarshaler.
func (p *Partition) UnmarshalJSON(data []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(data, &parts); err != nil {
		return err
	}
	if len(parts) != 2 {
		return fmt.Errorf("a partition has a topic and a number, not %d parts", len(parts))
	}
	if err := json.Unmarshal(parts[0], &p.Topic); err != nil {
		return err
	}
	return json.Unmarshal(parts[1], &p.Number)
}

// Log is a record of an SDK's log.
type Log struct {
	Level string `json:"level"`
	Text  string `json:"text"`
}

// Memory is the ok of memory.
type Memory struct {
	Bytes int64 `json:"bytes"`
}
