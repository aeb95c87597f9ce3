package messageproxy_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
	"github.com/messageproxy/messageproxy/sdk/go/messageproxytest"
)

// delayDialing has connections wait for release.
func delayDialing(release <-chan struct{}) grpc.DialOption {
	return grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		select {
		case <-release:
			return streamer(ctx, desc, cc, method, opts...)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
}

func TestALostStreamLeavesTheOutcomeOfTheUnansweredOpen(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		_, err := client.Produce(t.Context(), message("k", "answered"))
		require.NoError(t, err)
		server.HoldProduce()
		var results outcomes
		for i := range 10 {
			client.ProduceAsync(t.Context(), message("k", fmt.Sprint(i)), results.callback)
		}
		synctest.Wait()
		server.CutConnections()
		synctest.Wait()
		require.Len(t, results.all(), 10)
		for _, err := range results.all() {
			require.ErrorIs(t, err, messageproxy.ErrUnknownOutcome)
		}
		server.ReleaseProduce()
		_, err = client.Produce(t.Context(), message("k", "after"))
		require.NoError(t, err)
		assert.Equal(t, []string{"answered", "after"}, values(server.Messages("orders")), "nothing was sent twice")
	})
}

func TestWhatWasNeverOnTheWireGoesOutInOrderWhenConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := messageproxytest.NewServer()
		defer server.Close()
		network := &gate{}
		client, err := server.NewClient(network.through(server))
		require.NoError(t, err)
		defer client.Close()
		var results outcomes
		var want []string
		for i := range 100 {
			client.ProduceAsync(t.Context(), message("k", fmt.Sprint(i)), results.callback)
			want = append(want, fmt.Sprint(i))
		}
		time.Sleep(time.Hour)
		assert.Empty(t, results.all())
		network.set(true)
		began := time.Now()
		require.NoError(t, client.Flush(t.Context()))
		assert.LessOrEqual(t, time.Since(began), 11*time.Second, "the back-off ends at 10 s")
		assert.Equal(t, make([]error, 100), results.all())
		assert.Equal(t, want, values(server.Messages("orders")))
	})
}

func TestWhatAServerThatShutsDownDidNotStoreGoesOutAgainInOrder(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		_, err := client.Produce(t.Context(), message("k", "0"))
		require.NoError(t, err)
		server.HoldProduce()
		var results outcomes
		for i := 1; i <= 10; i++ {
			client.ProduceAsync(t.Context(), message("k", fmt.Sprint(i)), results.callback)
		}
		synctest.Wait()
		server.EndProduce(&messageproxy.Error{Code: messageproxy.CodeShuttingDown, Retryable: true})
		synctest.Wait()
		server.ReleaseProduce()
		for i := 11; i <= 20; i++ {
			client.ProduceAsync(t.Context(), message("k", fmt.Sprint(i)), results.callback)
		}
		require.NoError(t, client.Flush(t.Context()))
		assert.Equal(t, make([]error, 20), results.all())
		var want []string
		for i := range 21 {
			want = append(want, fmt.Sprint(i))
		}
		assert.Equal(t, want, values(server.Messages("orders")))
	})
}

func TestAnyOtherTerminalErrorLeavesTheOutcomeOpen(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		server.HoldProduce()
		var results outcomes
		client.ProduceAsync(t.Context(), message("k", "v"), results.callback)
		synctest.Wait()
		server.EndProduce(&messageproxy.Error{Code: messageproxy.CodeInternal, Message: "a bug", Retryable: true})
		synctest.Wait()
		require.Len(t, results.all(), 1)
		require.ErrorIs(t, results.all()[0], messageproxy.ErrUnknownOutcome)
		require.ErrorIs(t, results.all()[0], messageproxy.CodeInternal, "the reason is the cause")
		server.ReleaseProduce()
	})
}

func TestAServerThatRefusesForGoodFailsWhatWaits(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		server.RefuseStreams(&messageproxy.Error{Code: messageproxy.CodeUnauthenticated, Message: "a token is needed"})
		var results outcomes
		for range 10 {
			client.ProduceAsync(t.Context(), message("k", "v"), results.callback)
		}
		require.NoError(t, client.Flush(t.Context()))
		for _, err := range results.all() {
			require.ErrorIs(t, err, messageproxy.CodeUnauthenticated)
		}
		server.RefuseStreams(nil)
		_, err := client.Produce(t.Context(), message("k", "v"))
		require.NoError(t, err, "the client isn't broken by it")
	})
}

func TestAStreamThatCannotBeOpenedForGoodFailsWhatWasNeverSent(t *testing.T) {
	refuse := grpc.WithChainStreamInterceptor(func(context.Context, *grpc.StreamDesc, *grpc.ClientConn, string, grpc.Streamer, ...grpc.CallOption) (grpc.ClientStream, error) {
		return nil, status.Error(codes.PermissionDenied, "not you")
	})
	bubble(t, func(t *testing.T, _ *messageproxytest.Server, client *messageproxy.Client) {
		_, err := client.Produce(t.Context(), message("k", "v"))
		require.ErrorIs(t, err, messageproxy.CodePermissionDenied)
		require.NotErrorIs(t, err, messageproxy.ErrUnknownOutcome)
		err = client.Subscription("s", "orders").Consume(t.Context(), handleAll)
		require.ErrorIs(t, err, messageproxy.CodePermissionDenied)
	}, messageproxy.WithDialOptions(refuse))
}

func TestReconnectingBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		service := &rawService{produce: func(produceServer) error {
			attempts++
			return errors.New("no")
		}}
		client := service.start(t)
		for range 60 { // someone tries every second
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := client.Produce(ctx, message("k", "v"))
			require.Error(t, err)
			<-ctx.Done()
			cancel()
		}
		assert.Greater(t, attempts, 5)
		assert.Less(t, attempts, 40)
	})
}

func TestTheNextAddressIsTriedWhenOneFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := map[string]*messageproxytest.Server{"a": messageproxytest.NewServer(), "b": messageproxytest.NewServer()}
		for _, server := range servers {
			defer server.Close()
		}
		names := manual.NewBuilderWithScheme("test")
		names.InitialState(resolver.State{Addresses: []resolver.Address{{Addr: "a"}, {Addr: "b"}}})
		dial := grpc.WithContextDialer(func(ctx context.Context, name string) (net.Conn, error) { return servers[name].DialContext(ctx) })
		client, err := messageproxy.NewClient("test:///proxies", messageproxy.WithDialOptions(grpc.WithResolvers(names), dial))
		require.NoError(t, err)
		defer client.Close()

		_, err = client.Produce(t.Context(), message("k", "1"))
		require.NoError(t, err)
		for _, server := range servers {
			if len(server.Messages("orders")) == 1 {
				server.Close()
			}
		}
		synctest.Wait()
		_, err = client.Produce(t.Context(), message("k", "2"))
		require.NoError(t, err)
		assert.Len(t, servers["a"].Messages("orders"), 1)
		assert.Len(t, servers["b"].Messages("orders"), 1)
	})
}

// TestCuttingConnectionsUnderLoad produces from many goroutines, with contexts
// that end at any moment, over a network that breaks again and again.
func TestCuttingConnectionsUnderLoad(t *testing.T) {
	for run := range 5 {
		t.Run(fmt.Sprint(run), func(t *testing.T) { bubble(t, cutProduceUnderLoad, messageproxy.WithMaxOutstanding(100, 1<<20)) })
	}
}

func cutProduceUnderLoad(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
	const producers, messages = 8, 300
	server.OnProduce(func(*messageproxy.Message) error {
		if rand.IntN(500) == 0 {
			return messageproxytest.ErrLoseResult
		}
		return nil
	})
	tally := &tally{calls: map[string]int{}, stored: map[string]bool{}, unsent: map[string]bool{}}
	var running sync.WaitGroup
	for p := range producers {
		running.Go(func() {
			for i := range messages {
				tally.produce(t, client, fmt.Sprintf("producer-%d", p), i)
			}
		})
	}
	finished := make(chan struct{})
	go func() { running.Wait(); close(finished) }()
	for cutting := true; cutting; {
		select {
		case <-finished:
			cutting = false
		case <-time.After(time.Duration(rand.IntN(200)) * time.Millisecond):
			server.CutConnections()
		}
	}
	flushing, cancel := context.WithTimeout(t.Context(), time.Second)
	_ = client.Flush(flushing) // lost results are answered by the last cut
	cancel()
	server.CutConnections()
	require.NoError(t, client.Flush(t.Context()))
	tally.check(t, server, producers*messages)
}

// tally is what was said of each message, by its value.
type tally struct {
	mu     sync.Mutex
	calls  map[string]int
	stored map[string]bool
	unsent map[string]bool
}

func (y *tally) produce(t *testing.T, client *messageproxy.Client, key string, i int) {
	value := fmt.Sprintf("%s:%d", key, i)
	ctx, cancel := t.Context(), func() {}
	if rand.IntN(3) == 0 {
		ctx, cancel = context.WithTimeout(t.Context(), time.Duration(rand.IntN(50))*time.Millisecond)
	}
	note := func(_ messageproxy.Receipt, err error) {
		y.mu.Lock()
		defer y.mu.Unlock()
		y.calls[value]++
		y.stored[value] = err == nil
		y.unsent[value] = err != nil && !errors.Is(err, messageproxy.ErrUnknownOutcome)
		cancel()
	}
	if rand.IntN(2) == 0 {
		client.ProduceAsync(ctx, message(key, value), note)
	} else {
		short, cancelShort := context.WithTimeout(ctx, time.Second) // lost results
		note(client.Produce(short, message(key, value)))
		cancelShort()
	}
	time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
}

// check compares what was said with what is there.
func (y *tally) check(t *testing.T, server *messageproxytest.Server, want int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	require.Len(t, y.calls, want, "every message has its outcome")
	there := map[string]int{}
	last := map[string]int{}
	for _, m := range server.Messages("orders") {
		there[string(m.Value)]++
		var i int
		_, err := fmt.Sscanf(string(m.Value), string(m.Key)+":%d", &i)
		require.NoError(t, err)
		if before, ok := last[string(m.Key)]; ok {
			require.Greater(t, i, before, "the order of %s", m.Key)
		}
		last[string(m.Key)] = i
	}
	stored := 0
	for value, calls := range y.calls {
		require.Equal(t, 1, calls, "%s: one outcome", value)
		require.LessOrEqual(t, there[value], 1, "%s: never twice", value)
		if y.stored[value] {
			stored++
			require.Equal(t, 1, there[value], "%s was said to be stored", value)
		}
		if y.unsent[value] {
			require.Zero(t, there[value], "%s was said not to be sent", value)
		}
	}
	require.Positive(t, stored)
}
