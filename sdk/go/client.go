package messageproxy

import (
	"context"
	"sync"

	"google.golang.org/grpc"
)

// Client produces and consumes messages. Make one per application with NewClient
// and share it: all methods may be called concurrently.
type Client struct {
	target   string
	config   *clientConfig
	conn     *grpc.ClientConn // the producer's
	producer *producer

	// closed ends when Close is called.
	closed    context.Context
	close     context.CancelCauseFunc
	closeOnce sync.Once
	closeErr  error
}

// NewClient makes a client of the message proxy at target: "host:port", or any
// target that gRPC knows ("dns:///proxies.example.com:7070"). Where the name has
// several addresses, clients spread over them and move on when one fails.
//
// It does not connect; the first Produce or Consume does. The errors are those of
// the target and the options.
func NewClient(target string, opts ...Option) (*Client, error) {
	if err := checkTarget(target); err != nil {
		return nil, err
	}
	config, err := newClientConfig(opts)
	if err != nil {
		return nil, err
	}
	conn, err := config.dial(target)
	if err != nil {
		return nil, err
	}
	c := &Client{target: target, config: config, conn: conn, producer: newProducer(conn, config)}
	c.closed, c.close = context.WithCancelCause(context.Background())
	return c, nil
}

// Produce sends m and waits until the broker has stored it. Calls from many
// goroutines share one stream and are batched: whatever gathers while a send is
// under way goes out together, and a message alone goes out at once.
//
// The messages that one goroutine produces, one after another, are stored in that
// order in each partition. m is copied: the caller may change it afterwards.
//
// An error that matches ErrUnknownOutcome leaves open whether m is stored; every
// other error says that it certainly is not. ctx bounds the whole call: if it
// ends before m was put on the wire, m is withdrawn and the error is ctx's; after
// that, the error matches both ctx's and ErrUnknownOutcome. While the proxy can't
// be reached Produce waits, so give it a ctx that ends. Produce never sends a
// message twice, except after the server has said that it was not stored.
func (c *Client) Produce(ctx context.Context, m *Message) (Receipt, error) {
	return c.producer.produce(ctx, m)
}

// ProduceAsync is Produce without the wait: callback gets the outcome, exactly
// once. It returns when the message is taken over, and blocks before that while
// the client has as much outstanding as WithMaxOutstanding allows, until there is
// room or ctx ends. Calls of one goroutine are stored in their order in each
// partition. ctx bounds the message's whole life, as with Produce.
//
// Callbacks run one after another on a goroutine of the client; those of stored
// messages of one partition in the order of their ProduceAsync calls. For a
// message that isn't taken over (it isn't valid, the client is closed, ctx ended
// first) the callback runs on the caller's goroutine before ProduceAsync returns.
// A message keeps its place among the outstanding until its callback has
// returned, so a callback must not block, and must not call the client: start a
// goroutine for that. callback may be nil.
func (c *Client) ProduceAsync(ctx context.Context, m *Message, callback func(Receipt, error)) {
	c.producer.produceAsync(ctx, m, callback)
}

// Flush waits until every message that was taken over before the call is
// answered and its callback has returned. It returns ctx's error if ctx ends
// first, and ErrClosed if the client is closed.
func (c *Client) Flush(ctx context.Context) error {
	return c.producer.flush(ctx)
}

// Close ends the client. Unanswered messages fail: with ErrClosed if they were
// never put on the wire, else with ErrUnknownOutcome; call Flush before to have
// them answered. Running Consume calls stop as if their contexts had ended and
// return ErrClosed, each when its handlers have returned; Close doesn't wait for
// them. Close may be called twice; it must not be called from a callback.
func (c *Client) Close() error {
	c.closeOnce.Do(func() {
		c.close(ErrClosed)
		c.producer.close()
		c.closeErr = c.conn.Close()
	})
	return c.closeErr
}
