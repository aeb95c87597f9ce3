package heavy_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/server"
)

// many is a number of the full size, or less where all tests together are to take a
// minute.
func many(full, less int) int {
	switch {
	case *fullSize:
		return full
	case raced:
		return less / 10
	}
	return less
}

// patient gives clients that are held up by their own floods the time to ACK.
func patient(cfg *server.Config) { cfg.Consume.AckTimeout = 10 * time.Minute }

func TestFloods(t *testing.T) {
	s := newScene(t, patient)
	s.createTopic(t, "orders", 8)
	s.fill(t, "orders", 8, 200, 100)
	underAttack(t, s, map[string]func(*testing.T){
		"one message a frame": s.floodMessages,
		"one ACK a frame":     s.floodAcks,
		"giant ACK lists":     s.giantAcks,
	})
}

// floodMessages produces many messages, one a frame.
func (s *scene) floodMessages(t *testing.T) {
	frames := many(1_000_000, 100_000)
	client, conn := dial(t, s.addr)
	defer conn.Close()
	stream, err := client.Produce(t.Context())
	require.NoError(t, err)
	answered := make(chan error, 1)
	go func() {
		results := 0
		for results < frames {
			response, err := stream.Recv()
			if err != nil {
				answered <- err
				return
			}
			for _, r := range response.GetResults() {
				if r.GetReceipt() != nil {
					results++
				}
			}
		}
		answered <- nil
	}()
	request := requestOf(1, []byte("x"))
	for i := range frames {
		request.Messages[0].Sequence = uint64(i + 1)
		require.NoError(t, stream.Send(request))
	}
	require.NoError(t, <-answered, "every message is stored")
}

// floodAcks sends many ACKs of one message each, that the client doesn't hold, and
// then ACKs what it holds.
func (s *scene) floodAcks(t *testing.T) {
	frames := many(1_000_000, 100_000)
	client, conn := dial(t, s.addr)
	defer conn.Close()
	stream, held := s.hold(t, client, "hostile-acks", 100)
	notHeld := make(chan error, 1)
	go func() {
		count := 0
		for count < frames {
			response, err := stream.Recv()
			if err != nil {
				notHeld <- err
				return
			}
			if n := response.GetNotice(); n.GetCode() == messageproxyv1.ErrorCode_ERROR_CODE_NOT_HELD {
				count += countOf(n.GetMessage())
			}
		}
		notHeld <- nil
	}()
	for i := range frames {
		require.NoError(t, stream.Send(ackOf(fmt.Sprint("nobody's-", i))))
	}
	require.NoError(t, <-notHeld, "each is answered")
	require.NoError(t, stream.Send(ackOf(held...)))
	s.until("what it holds is ACKed", func() bool {
		return committed(t, s.admin, "hostile-acks", "orders") >= int64(len(held))
	}, func() {})
}

// countOf reads how many ids a notice is about.
func countOf(message string) (n int) {
	_, _ = fmt.Sscan(message, &n) // 0 if there is none
	return n
}

// giantAcks sends ACKs of nearly a million messages each.
func (s *scene) giantAcks(t *testing.T) {
	ids := many(999_000, 999_000) // a request with a million is refused
	client, conn := dial(t, s.addr)
	defer conn.Close()
	stream, held := s.hold(t, client, "hostile-lists", 100)
	foreign := make([]string, ids)
	for i := range foreign {
		foreign[i] = fmt.Sprint("nobody's-", i)
	}
	same := slices.Repeat(held[:1], ids)
	for _, list := range [][]string{foreign, same} {
		require.NoError(t, stream.Send(ackOf(list...)))
		for refused := 0; refused < ids-1; {
			response, err := stream.Recv()
			require.NoError(t, err)
			if n := response.GetNotice(); n != nil {
				refused += countOf(n.GetMessage())
				require.LessOrEqual(t, len(n.GetMessageIds()), 1000)
			}
		}
	}
	require.NoError(t, stream.Send(ackOf(held[1:]...)))
	s.until("what it holds is ACKed", func() bool {
		return committed(t, s.admin, "hostile-lists", "orders") >= int64(len(held))
	}, func() {})

	require.NoError(t, stream.Send(ackOf(slices.Repeat([]string{"x"}, 1_000_001)...)))
	var err error
	for err == nil {
		_, err = stream.Recv()
	}
	require.Equal(t, codes.InvalidArgument, status.Code(err), "%v", err)
}

// hold subscribes and holds at least so many messages of the topic orders.
func (s *scene) hold(t *testing.T, client messageproxyv1.MessageProxyClient, subscription string, messages int) (consumeStream, []string) {
	t.Helper()
	stream, err := client.Consume(t.Context(), grpc.MaxCallSendMsgSize(1<<30))
	require.NoError(t, err)
	require.NoError(t, stream.Send(subscribeRequest(subscription, "orders")))
	var held []string
	for len(held) < messages {
		response, err := stream.Recv()
		require.NoError(t, err)
		for _, p := range response.GetBatch().GetPartitions() {
			for _, m := range p.GetMessages() {
				held = append(held, m.GetId())
			}
		}
	}
	return stream, held
}

func TestRapidConnects(t *testing.T) {
	s := newScene(t, nil)
	s.createTopic(t, "orders", 8)
	s.fill(t, "orders", 8, 200, 100)
	underAttack(t, s, map[string]func(*testing.T){
		"connections": func(t *testing.T) {
			inParallel(many(20_000, 2000), func(i int) { s.connectAndVanish(t, i) })
		},
		"streams on one connection": func(t *testing.T) {
			client, conn := dial(t, s.addr)
			defer conn.Close()
			inParallel(many(20_000, 2000), func(i int) { subscribeAndVanish(t, client, "hostile", i) })
		},
		"a connection for each stream": func(t *testing.T) {
			inParallel(many(10_000, 1000), func(i int) {
				client, conn := dial(t, s.addr)
				subscribeAndVanish(t, client, "hostile", i)
				require.NoError(t, conn.Close())
			})
		},
		"a subscription for each stream": func(t *testing.T) {
			client, conn := dial(t, s.addr)
			defer conn.Close()
			inParallel(many(5000, 200), func(i int) { subscribeAndVanish(t, client, fmt.Sprint("hostile-", i), i) })
		},
		"produce streams": func(t *testing.T) {
			client, conn := dial(t, s.addr)
			defer conn.Close()
			inParallel(many(20_000, 2000), func(int) {
				ctx, vanish := context.WithCancel(t.Context())
				defer vanish()
				stream, err := client.Produce(ctx)
				require.NoError(t, err)
				require.NoError(t, stream.Send(requestOf(3, []byte("x"))))
			})
		},
	})
}

// connectAndVanish connects and says nothing, nonsense, or half of a greeting.
func (s *scene) connectAndVanish(t *testing.T, i int) {
	conn, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	defer conn.Close()
	switch i % 4 {
	case 0:
		_, _ = conn.Write([]byte("PRI * HTTP/2.0\r\n")) // the server may be faster at closing it
	case 1:
		_, _ = conn.Write([]byte("GET / HTTP/1.1\r\nHost: proxy\r\n\r\n"))
	case 2:
		client := tls.Client(conn, &tls.Config{ServerName: "proxy"})
		_ = client.SetDeadline(time.Now().Add(time.Millisecond))
		_ = client.Handshake() // fails: there is no TLS
	}
}

// subscribeAndVanish does so at another moment each time.
func subscribeAndVanish(t *testing.T, client messageproxyv1.MessageProxyClient, subscription string, i int) {
	ctx, vanish := context.WithCancel(t.Context())
	defer vanish()
	stream, err := client.Consume(ctx)
	require.NoError(t, err)
	if i%4 == 0 {
		return
	}
	require.NoError(t, stream.Send(subscribeRequest(subscription, "orders")))
	switch i % 4 {
	case 2:
		_, err = stream.Recv()
		require.NoError(t, err)
	case 3:
		require.NoError(t, stream.CloseSend())
	}
}

// TestEndlessSubscriptionNames: each name costs a Kafka client, so there is a limit,
// and who comes too late costs nothing.
func TestEndlessSubscriptionNames(t *testing.T) {
	const limit = 20
	s := newScene(t, func(cfg *server.Config) { cfg.Consume.MaxSubscriptions = limit })
	s.createTopic(t, "orders", 8)
	underAttack(t, s, map[string]func(*testing.T){
		"names without end": func(t *testing.T) {
			client, conn := dial(t, s.addr)
			defer conn.Close()
			var accepted, refused atomic.Int64
			inParallel(many(100_000, 5000), func(i int) {
				stream, err := client.Consume(t.Context())
				require.NoError(t, err)
				require.NoError(t, stream.Send(subscribeRequest(fmt.Sprint("hostile-", i), "orders")))
				response, err := stream.Recv()
				require.NoError(t, err)
				switch {
				case response.GetSubscribed() != nil:
					accepted.Add(1)
				case response.GetTerminalError().GetCode() == messageproxyv1.ErrorCode_ERROR_CODE_RESOURCE_EXHAUSTED:
					refused.Add(1)
				}
			})
			t.Logf("%d were accepted, %d refused; %d goroutines", accepted.Load(), refused.Load(), runtime.NumGoroutine())
			require.EqualValues(t, limit-1, accepted.Load(), "the bystander's is one too")
			require.EqualValues(t, many(100_000, 5000)-(limit-1), refused.Load())
		},
	})
}

func TestDeafClientsAreEvicted(t *testing.T) {
	s := newScene(t, func(cfg *server.Config) { cfg.Consume.AckTimeout = time.Second })
	s.createTopic(t, "orders", 8)
	s.fill(t, "orders", 8, 200, 100<<10)
	underAttack(t, s, map[string]func(*testing.T){
		"consumers that never read": func(t *testing.T) {
			const clients = 8
			conns := make([]*grpc.ClientConn, clients)
			for i := range conns {
				var client messageproxyv1.MessageProxyClient
				client, conns[i] = dial(t, s.addr)
				stream, err := client.Consume(t.Context())
				require.NoError(t, err)
				require.NoError(t, stream.Send(subscribeRequest(fmt.Sprint("hostile-", i%2), "orders")))
			}
			start := time.Now()
			for _, conn := range conns {
				lost(t, conn)
			}
			t.Logf("their connections were closed after %v: an ACK timeout of 1s, and a grace of 1s", time.Since(start).Round(time.Millisecond))
		},
		"a producer that never reads": func(t *testing.T) {
			client, conn := dial(t, s.addr)
			stream, err := client.Produce(t.Context())
			require.NoError(t, err)
			blocked := make(chan struct{})
			go func() {
				defer close(blocked)
				for stream.Send(requestOf(100, make([]byte, 100))) == nil {
				}
			}()
			s.until("its window is full", func() bool {
				return s.stored("orders") > 8*200 && s.server.Stats().OutstandingMessages < 1000
			}, func() {})
			other, otherConn := dial(t, s.addr)
			produces(t, other, 100)
			require.NoError(t, otherConn.Close())
			require.NoError(t, conn.Close())
			<-blocked
		},
	})
}

// lost waits until a connection is gone.
func lost(t *testing.T, conn *grpc.ClientConn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for state := conn.GetState(); state == connectivity.Ready || state == connectivity.Connecting; state = conn.GetState() {
		require.True(t, conn.WaitForStateChange(ctx, state), "the connection is still %v", state)
	}
	require.NoError(t, conn.Close())
}

// stored is how many messages are in a topic.
func (s *scene) stored(topic string) (n int64) {
	ends, err := s.admin.ListEndOffsets(context.Background(), topic)
	require.NoError(s.t, err)
	for _, partitions := range ends {
		for _, p := range partitions {
			n += p.Offset
		}
	}
	return n
}

// produces checks that a client's messages are stored.
func produces(t testing.TB, client messageproxyv1.MessageProxyClient, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stream, err := client.Produce(ctx)
	require.NoError(t, err)
	require.NoError(t, stream.Send(requestOf(n, []byte("y"))))
	results := 0
	for results < n {
		response, err := stream.Recv()
		require.NoError(t, err)
		require.NotEmpty(t, response.GetResults())
		for _, r := range response.GetResults() {
			require.NotNil(t, r.GetReceipt(), "%v", r)
			results++
		}
	}
	require.Equal(t, n, results)
	require.NoError(t, stream.CloseSend())
}
