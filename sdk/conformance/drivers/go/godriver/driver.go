// Package godriver is the driver of the Go SDK. It is a package, so that tests can run it
// in their own process, and spoil it.
package godriver

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"

	"github.com/messageproxy/messageproxy/sdk/conformance/protocol"
)

// Run is the driver: it does what the lines of in say until that ends, and writes to out.
// What is under way then is left behind. Clients get options after those of commands.
func Run(in io.Reader, out io.Writer, options ...messageproxy.Option) error {
	d := &driver{
		out:       out,
		options:   options,
		clients:   map[string]*messageproxy.Client{},
		cancels:   map[int]context.CancelFunc{},
		handlings: map[int]chan protocol.Command{},
	}
	lines := bufio.NewReaderSize(in, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			if err := d.take(line); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// driver has what commands refer to. Commands come on one goroutine; whatever takes time
// has one of its own.
type driver struct {
	options []messageproxy.Option

	outMu sync.Mutex // one line after another
	out   io.Writer

	mu        sync.Mutex
	clients   map[string]*messageproxy.Client
	cancels   map[int]context.CancelFunc
	handlings map[int]chan protocol.Command // where a handler waits for its return
	last      int                           // handling
}

// answer is an answer to a command.
type answer struct {
	ID    int             `json:"id"`
	OK    any             `json:"ok,omitempty"`
	Error *protocol.Error `json:"error,omitempty"`
}

// nothing is an ok with nothing to say.
type nothing struct{}

func (d *driver) write(line any) {
	data, err := json.Marshal(line)
	if err != nil {
		panic(fmt.Sprintf("a line that is no JSON: %v", err))
	}
	d.outMu.Lock()
	defer d.outMu.Unlock()
	_, _ = d.out.Write(append(data, '\n')) // fails when nobody listens any more
}

// done answers a command.
func (d *driver) done(id int, ok any, err error) {
	if err != nil {
		d.write(answer{ID: id, Error: describe(err)})
		return
	}
	d.write(answer{ID: id, OK: ok})
}

func (d *driver) take(line []byte) error {
	var c protocol.Command
	if err := json.Unmarshal(line, &c); err != nil {
		return fmt.Errorf("a command that can't be read: %w", err)
	}
	client, err := d.client(&c)
	if err != nil {
		d.done(c.ID, nil, err)
		return nil
	}
	switch c.Op {
	case "open":
		d.done(c.ID, nothing{}, d.open(&c))
	case "produce":
		d.produce(client, &c)
	case "flush":
		d.flush(client, &c)
	case "close":
		go func() { d.done(c.ID, nothing{}, client.Close()) }()
	case "cancel":
		d.cancel(c.Call)
		d.done(c.ID, nothing{}, nil)
	case "consume":
		d.consume(client, &c)
	case "return":
		d.done(c.ID, nothing{}, d.returnHandling(&c))
	case "ping":
		d.done(c.ID, nothing{}, nil)
	case "memory":
		d.done(c.ID, memory(), nil)
	default:
		return fmt.Errorf("the command %q is not known", c.Op)
	}
	return nil
}

// client finds the client of a command that has one.
func (d *driver) client(c *protocol.Command) (*messageproxy.Client, error) {
	if c.Client == "" || c.Op == "open" {
		return nil, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	client := d.clients[c.Client]
	if client == nil {
		return nil, fmt.Errorf("there is no client %q", c.Client)
	}
	return client, nil
}

func (d *driver) open(c *protocol.Command) error {
	var o protocol.ClientOptions
	if c.Options != nil {
		if err := json.Unmarshal(c.Options, &o); err != nil {
			return err
		}
	}
	options, err := d.clientOptions(&o)
	if err != nil {
		return err
	}
	client, err := messageproxy.NewClient(*c.Target, append(options, d.options...)...)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clients[c.Client] = client
	return nil
}

func (d *driver) clientOptions(o *protocol.ClientOptions) ([]messageproxy.Option, error) {
	var options []messageproxy.Option
	if o.ClientName != nil {
		options = append(options, messageproxy.WithClientName(string(*o.ClientName)))
	}
	if b := o.ReconnectBackoff; b != nil {
		options = append(options, messageproxy.WithReconnectBackoff(milliseconds(b[0]), milliseconds(b[1])))
	}
	if m := o.MaxOutstanding; m != nil {
		options = append(options, messageproxy.WithMaxOutstanding(int(m[0]), int(m[1])))
	}
	if o.MaxMessageBytes != nil {
		options = append(options, messageproxy.WithMaxMessageBytes(int(*o.MaxMessageBytes)))
	}
	if o.Log {
		options = append(options, messageproxy.WithLogger(d.logger()))
	}
	if o.TLS != nil {
		config, err := tlsConfig(o.TLS)
		if err != nil {
			return nil, err
		}
		options = append(options, messageproxy.WithTLS(config))
	}
	return options, nil
}

func tlsConfig(o *protocol.TLSOption) (*tls.Config, error) {
	if o.Roots == nil {
		return nil, nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(*o.Roots)) {
		return nil, errors.New("the roots have no certificate")
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}

// endable returns a context for a call that cancel can end, and what to do when the call
// has ended.
func (d *driver) endable(id int) (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cancels[id] = cancel
	return ctx, func() {
		cancel()
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.cancels, id)
	}
}

func (d *driver) cancel(id int) {
	d.mu.Lock()
	cancel := d.cancels[id]
	d.mu.Unlock()
	if cancel != nil { // else it has ended
		cancel()
	}
}

func memory() protocol.Memory {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return protocol.Memory{Bytes: int64(stats.HeapAlloc)}
}

func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
