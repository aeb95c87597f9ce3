package messageproxy

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"math"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// Option configures a Client. The zero configuration is right for most.
type Option func(*clientConfig)

type clientConfig struct {
	tls                 *tls.Config
	dialOptions         []grpc.DialOption
	logger              *slog.Logger
	name                string
	minBackoff          time.Duration
	maxBackoff          time.Duration
	outstandingMessages int
	outstandingBytes    int
	maxMessageBytes     int
}

func newClientConfig(opts []Option) (*clientConfig, error) {
	host, _ := os.Hostname() // no name is as good as none
	c := &clientConfig{
		logger:              slog.New(slog.DiscardHandler),
		name:                strings.ToValidUTF8(host, "?"),
		minBackoff:          100 * time.Millisecond,
		maxBackoff:          10 * time.Second,
		outstandingMessages: 1000,
		outstandingBytes:    64 << 20,
		maxMessageBytes:     60 << 20,
	}
	for _, opt := range opts {
		opt(c)
	}
	return c, c.validate()
}

func (c *clientConfig) validate() error {
	switch {
	case c.logger == nil:
		return optionError("WithLogger", "the logger is nil; leave the option out to discard the log")
	case !utf8.ValidString(c.name):
		return optionError("WithClientName", fmt.Sprintf("%q is not valid UTF-8", c.name))
	case len(c.name) > 512:
		return optionError("WithClientName", fmt.Sprintf("the name has %d bytes, more than 512", len(c.name)))
	case c.maxMessageBytes < 1 || c.maxMessageBytes > 1<<30:
		return optionError("WithMaxMessageBytes", fmt.Sprintf("%d is not between 1 and 1 GiB", c.maxMessageBytes))
	case c.minBackoff <= 0 || c.maxBackoff < c.minBackoff:
		return optionError("WithReconnectBackoff", fmt.Sprintf("%v and %v: the first must be above 0, the second not below the first", c.minBackoff, c.maxBackoff))
	case c.outstandingMessages < 1 || c.outstandingBytes < 1:
		return optionError("WithMaxOutstanding", fmt.Sprintf("%d messages and %d bytes: both must be above 0", c.outstandingMessages, c.outstandingBytes))
	}
	return nil
}

func optionError(option, why string) *Error {
	return &Error{Code: CodeInvalidArgument, Message: option + ": " + why}
}

// WithTLS encrypts the connections with TLS. A nil config means TLS with the
// system's roots. Default: no TLS, plaintext.
func WithTLS(config *tls.Config) Option {
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return func(c *clientConfig) { c.tls = config }
}

// WithDialOptions adds options for the gRPC connections, after the client's own
// and so stronger than they: credentials (grpc.WithPerRPCCredentials),
// interceptors, a proxy's dialer, ... Default: none.
func WithDialOptions(opts ...grpc.DialOption) Option {
	return func(c *clientConfig) { c.dialOptions = append(c.dialOptions, opts...) }
}

// WithLogger logs to logger what a person who runs the application should know:
// lost connections, trouble of the broker, failing handlers. No key, value or
// header is ever logged. Default: nothing is logged.
func WithLogger(logger *slog.Logger) Option {
	return func(c *clientConfig) { c.logger = logger }
}

// WithClientName names this client in the logs and metrics of the server, in at
// most 512 bytes. Need not be unique. Default: the host's name.
func WithClientName(name string) Option {
	return func(c *clientConfig) { c.name = name }
}

// WithReconnectBackoff sets how long the client waits before it connects again:
// a random time up to a limit that doubles from min to max. Default: 100 ms and
// 10 s.
func WithReconnectBackoff(minimum, maximum time.Duration) Option {
	return func(c *clientConfig) { c.minBackoff, c.maxBackoff = minimum, maximum }
}

// WithMaxOutstanding bounds what the client has taken over to produce and that
// isn't answered yet, whether it is on the wire or not: at most so many messages,
// and so many bytes of keys, values and headers. Above that, Produce and
// ProduceAsync wait. A message that is alone may be larger than bytes. Default:
// 1,000 messages (as many as a server reads ahead by default) and 64 MiB.
func WithMaxOutstanding(messages, bytes int) Option {
	return func(c *clientConfig) { c.outstandingMessages, c.outstandingBytes = messages, bytes }
}

// WithMaxMessageBytes sets the largest message (key, value and headers) that the
// client sends; larger ones fail with CodeMessageTooLarge. It is there for the
// messages of others: the server has a limit of its own (16 MiB by default) and
// answers each message above it, but a message above twice that limit, and above
// 64 MiB, breaks the stream that all share. Raise it only together with the
// server's. Default: 60 MiB. At most 1 GiB.
func WithMaxMessageBytes(n int) Option {
	return func(c *clientConfig) { c.maxMessageBytes = n }
}

// receiveWindow is how much of a stream, in bytes, may be on its way to the client.
const receiveWindow = 16 << 20

// spreadClients lets clients of a name with several addresses spread over them.
const spreadClients = `{"loadBalancingConfig":[{"pick_first":{"shuffleAddressList":true}}]}`

// dial prepares a connection of its own; it connects when it is first used.
func (c *clientConfig) dial(target string) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if c.tls != nil {
		creds = credentials.NewTLS(c.tls.Clone())
	}
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		// As large as gRPC would let them grow. What comes is read at once, so that they cost nothing,
		// and gRPC needn't ping the server for most of what comes to find out how large they should be.
		grpc.WithStaticStreamWindowSize(receiveWindow),
		grpc.WithStaticConnWindowSize(receiveWindow),
		grpc.WithDefaultServiceConfig(spreadClients),
		// What the broker has is delivered, whatever its size.
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)),
		// Notices a server that vanished without a word. Only while a stream is open.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			// A jitter of 1 around half of the limit is full jitter up to the limit.
			Backoff:           grpcbackoff.Config{BaseDelay: c.minBackoff / 2, Multiplier: 2, Jitter: 1, MaxDelay: c.maxBackoff / 2},
			MinConnectTimeout: 10 * time.Second,
		}),
	}
	conn, err := grpc.NewClient(target, append(opts, c.dialOptions...)...)
	if err != nil {
		return nil, &Error{Code: CodeInvalidArgument, Message: fmt.Sprintf("can't make a connection to %q", target), Err: err}
	}
	return conn, nil
}
