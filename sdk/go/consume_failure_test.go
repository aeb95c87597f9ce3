package messageproxy_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
	"github.com/messageproxy/messageproxy/sdk/go/messageproxytest"
)

var errBad = errors.New("bad weather")

// failing fails with every message of the value.
func failing(value string, seen *record) handler {
	return func(_ context.Context, m *messageproxy.Message) error {
		seen.add(m)
		if string(m.Value) == value {
			return errBad
		}
		return nil
	}
}

func TestAHandlerThatFailsIsCalledAgainInOrder(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		add(server, "k", 3)
		var seen record
		failures := 0
		began := time.Now()
		c := consume(t, client, func(_ context.Context, m *messageproxy.Message) error {
			seen.add(m)
			if string(m.Value) == "1" && failures < 4 {
				failures++
				return errBad
			}
			return nil
		})
		acked, err := server.WaitAcked(t.Context(), "s", 3)
		require.NoError(t, err)
		assert.Equal(t, []string{"0", "1", "1", "1", "1", "1", "2"}, seen.all())
		assert.Equal(t, []string{"0", "1", "2"}, values(acked))
		assert.Positive(t, time.Since(began), "it backs off")
		assert.LessOrEqual(t, time.Since(began), 1500*time.Millisecond)
		require.NoError(t, c.stop())
	})
}

func TestAHandlerThatFailsForGoodStopsConsume(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		add(server, "k", 3)
		var seen record
		err := <-consume(t, client, failing("1", &seen)).done
		failure, ok := errors.AsType[*messageproxy.HandlerError](err)
		require.True(t, ok)
		assert.Equal(t, 5, failure.Attempts)
		assert.Equal(t, "1", string(failure.Message.Value))
		require.ErrorIs(t, err, errBad)
		assert.Equal(t, []string{"0", "1", "1", "1", "1", "1"}, seen.all(), "nothing after it begins")
		assert.Equal(t, []string{"0"}, values(server.Acked("s")))
		require.NoError(t, server.WaitMembers(t.Context(), "s", 0))
	})
}

func TestOtherHandlersFinishWhenOneFailsForGood(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		server.Add(
			&messageproxy.Message{Topic: "orders", ToPartition: new(int32(0)), Value: []byte("slow")},
			&messageproxy.Message{Topic: "orders", ToPartition: new(int32(1)), Value: []byte("bad")},
		)
		err := <-consume(t, client, func(ctx context.Context, m *messageproxy.Message) error {
			if string(m.Value) == "bad" {
				return errBad
			}
			return pause(ctx, 10*time.Second)
		}, messageproxy.WithAttempts(1, 0, 0)).done
		require.ErrorIs(t, err, errBad)
		assert.Equal(t, []string{"slow"}, values(server.Acked("s")))
	})
}

// pause waits for d, or returns why ctx has ended.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func TestAPanicIsAFailureWithItsStack(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		add(server, "k", 1)
		err := <-consume(t, client, func(context.Context, *messageproxy.Message) error { panic(errBad) }).done
		failure, ok := errors.AsType[*messageproxy.PanicError](err)
		require.True(t, ok)
		assert.Contains(t, string(failure.Stack), "TestAPanicIsAFailureWithItsStack")
		require.ErrorIs(t, err, errBad)
		require.ErrorContains(t, err, "the handler panicked: "+errBad.Error())
		assert.NotContains(t, err.Error(), "\n", "the stack is in its field")
	})
}

func TestAPanicsTextIsALine(t *testing.T) {
	value := strings.Repeat("many\nlines \xff", 1000)
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		add(server, "k", 1)
		err := <-consume(t, client, func(context.Context, *messageproxy.Message) error { panic(value) }).done
		assert.NotContains(t, err.Error(), "\n")
		assert.Less(t, len(err.Error()), 1000)
		assert.True(t, utf8.ValidString(err.Error()))
	})
}

func TestAHandlerThatEndsItsGoroutineStopsConsume(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		add(server, "k", 2)
		err := <-consume(t, client, func(context.Context, *messageproxy.Message) error {
			runtime.Goexit()
			return nil
		}).done
		_, ok := errors.AsType[*messageproxy.HandlerError](err)
		require.True(t, ok)
		require.NotErrorIs(t, err, messageproxy.ErrHandlersRunning, "it doesn't count as running")
		assert.Empty(t, server.Acked("s"))
	})
}

func TestSkipFailedGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		add(server, "k", 3)
		var seen record
		c := consume(t, client, failing("1", &seen), messageproxy.WithFailureHandler(messageproxy.SkipFailed), messageproxy.WithAttempts(2, time.Second, time.Second))
		acked, err := server.WaitAcked(t.Context(), "s", 3)
		require.NoError(t, err)
		assert.Equal(t, []string{"0", "1", "2"}, values(acked))
		assert.Equal(t, []string{"0", "1", "1", "2"}, seen.all())
		require.NoError(t, c.stop())
	})
}

func TestAFailureHandlerDecides(t *testing.T) {
	for name, test := range map[string]struct {
		decide messageproxy.FailureHandler
		want   func(t *testing.T, err error)
	}{
		"error": {
			func(_ context.Context, m *messageproxy.Message, err error) error {
				return errors.Join(errors.New("stop here: "+string(m.Value)), err)
			},
			func(t *testing.T, err error) {
				require.ErrorContains(t, err, "stop here: 1")
				require.ErrorIs(t, err, errBad)
			},
		},
		"panic": {
			func(context.Context, *messageproxy.Message, error) error { panic("oh") },
			func(t *testing.T, err error) {
				failure, ok := errors.AsType[*messageproxy.PanicError](err)
				require.True(t, ok)
				require.Equal(t, "oh", failure.Value)
				require.ErrorContains(t, err, "the FailureHandler panicked: oh; it was called because the handler failed 5 times")
				require.ErrorIs(t, err, errBad)
				require.NotContains(t, err.Error(), "\n")
			},
		},
		"the handler's own panic": {
			func(_ context.Context, _ *messageproxy.Message, err error) error {
				return &messageproxy.PanicError{Value: err}
			},
			func(t *testing.T, err error) {
				require.ErrorContains(t, err, "the handler panicked: "+errBad.Error())
				require.NotContains(t, err.Error(), "FailureHandler")
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
				add(server, "k", 3)
				var seen record
				err := <-consume(t, client, failing("1", &seen), messageproxy.WithFailureHandler(test.decide)).done
				test.want(t, err)
				assert.Equal(t, []string{"0"}, values(server.Acked("s")))
			})
		})
	}
}

func TestAttemptsEndWithTheAckTimeout(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		add(server, "k", 1)
		began := time.Now()
		var seen record
		err := <-consume(t, client, func(_ context.Context, m *messageproxy.Message) error {
			time.Sleep(4 * time.Second)
			seen.add(m)
			return errBad
		}, messageproxy.WithAckTimeout(10*time.Second), messageproxy.WithAttempts(100, time.Millisecond, time.Millisecond)).done
		require.ErrorIs(t, err, errBad)
		assert.Len(t, seen.all(), 3, "begun at 0 s, 4 s and 8 s; 12 s would be too late")
		assert.Less(t, time.Since(began), 13*time.Second)
	})
}

func TestTheLogHasNoPayload(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		_, err := client.Produce(t.Context(), message("secretkey", "secretvalue"))
		require.NoError(t, err)
		server.CutConnections()
		err = <-consume(t, client, func(context.Context, *messageproxy.Message) error { return errBad }).done
		require.ErrorIs(t, err, errBad)
		synctest.Wait()
	}, messageproxy.WithLogger(logger))
	assert.Contains(t, log.String(), "bad weather")
	assert.Contains(t, log.String(), "subscribed")
	assert.NotContains(t, log.String(), "secret")
}
