package kafka

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// hungUp is a connection that the other side has closed before it said anything,
// as a load balancer or a published port does while no broker is behind it.
type hungUp struct{ net.Conn }

func (hungUp) Read([]byte) (int, error)    { return 0, io.EOF }
func (hungUp) Write(b []byte) (int, error) { return len(b), nil }

func TestMessagesOutlastConnectionsThatAreClosedAtOnce(t *testing.T) {
	var absent atomic.Bool
	hangUps := make(chan struct{}, 1)
	n := &network{}
	e := newProduceEnv(t, func(o *Options) {
		o.ClientOptions = append(o.ClientOptions, kgo.Dialer(func(ctx context.Context, network, host string) (net.Conn, error) {
			conn, err := n.dial(ctx, network, host)
			if err == nil && absent.Load() {
				select {
				case hangUps <- struct{}{}:
				default:
				}
				conn = hungUp{conn}
			}
			return conn, err
		}))
	})
	e.topic("orders", 1)
	p := e.producer(broker.ProducerOptions{})
	produce(t, p, message("orders", "first")).mustStore()

	absent.Store(true)
	n.closeAll()
	r := produce(t, p, messages("orders", 10)...)
	for range 20 {
		select {
		case <-hangUps:
		case <-time.After(patience):
			require.FailNow(t, "it tries no more", "%v", r.by)
		}
	}
	absent.Store(false)
	n.closeAll()
	r.mustStore()
	require.Len(t, e.records("orders"), 11)
}
