package integration_test

import (
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// echo starts a server that sends back whatever it gets, and dials it through a
// network.
func echo(t *testing.T) (*network, net.Conn) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lis.Close()) })
	go func() {
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn) // until it breaks
				_ = conn.Close()
			}()
		}
	}()
	n := newNetwork(t)
	conn, err := n.dial(t.Context(), "tcp", lis.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return n, conn
}

// exchange sends a text, and returns what comes back for a while.
func exchange(t *testing.T, conn net.Conn, text string, within time.Duration) (string, error) {
	t.Helper()
	_, err := conn.Write([]byte(text))
	require.NoError(t, err)
	return receive(t, conn, len(text), within)
}

func receive(t *testing.T, conn net.Conn, count int, within time.Duration) (string, error) {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(within)))
	buffer := make([]byte, count)
	got, err := io.ReadFull(conn, buffer)
	return string(buffer[:got]), err
}

const shortly = 100 * time.Millisecond

func TestFairNetworkHandsOnEverything(t *testing.T) {
	_, conn := echo(t)
	got, err := exchange(t, conn, "hello", patience)
	require.NoError(t, err)
	require.Equal(t, "hello", got)
}

func TestHeldBytesArriveInOrderWhenTheNetworkHeals(t *testing.T) {
	for name, w := range map[string][2]weather{
		"up": {upstream: {held: true}}, "down": {downstream: {held: true}},
	} {
		t.Run(name, func(t *testing.T) {
			n, conn := echo(t)
			n.disturb(w[upstream], w[downstream])
			for _, text := range []string{"one", "two"} {
				got, err := exchange(t, conn, text, shortly)
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				require.Empty(t, got)
			}
			n.heal()
			got, err := receive(t, conn, 6, patience)
			require.NoError(t, err)
			require.Equal(t, "onetwo", got)
		})
	}
}

// What was held arrives although its sender has gone.
func TestHeldBytesOutliveTheirSender(t *testing.T) {
	n := newNetwork(t)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lis.Close()) })
	n.disturb(weather{held: true}, weather{})
	conn, err := n.dial(t.Context(), "tcp", lis.Addr().String())
	require.NoError(t, err)
	_, err = conn.Write([]byte("last words"))
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	far, err := lis.Accept()
	require.NoError(t, err)
	_, err = receive(t, far, 1, shortly)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	n.heal()
	require.NoError(t, far.SetReadDeadline(time.Time{}))
	got, err := io.ReadAll(far)
	require.NoError(t, err)
	require.Equal(t, "last words", string(got))
	require.NoError(t, far.Close())
}

func TestConnectionThatLostBytesBreaksWhenTheNetworkHeals(t *testing.T) {
	n, conn := echo(t)
	n.disturb(weather{}, weather{swallowed: true})
	_, err := exchange(t, conn, "lost", shortly)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	n.heal()
	_, err = receive(t, conn, 1, patience)
	require.Error(t, err)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
}

// A network that heals between its decision to swallow something and the note that it
// did must break the connection, as it breaks those that it knows of. Otherwise the
// two sides go on with a hole between them.
func TestConnectionThatLosesBytesWhileTheNetworkHealsBreaks(t *testing.T) {
	n, conn := echo(t)
	_, err := exchange(t, conn, "hello", patience)
	require.NoError(t, err)
	n.disturb(weather{swallowed: true}, weather{})
	lossy := n.only(t)
	require.True(t, lossy.await(upstream, chunk{}).swallowed)
	n.heal()
	require.False(t, lossy.lose(upstream))
	_, err = receive(t, conn, 1, patience)
	require.Error(t, err)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
}

// only returns the network's only connection.
func (n *network) only(t *testing.T) *connection {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	require.Len(t, n.conns, 1)
	for c := range n.conns {
		return c
	}
	return nil
}

func TestConnectionBreaksAfterSoManyBytes(t *testing.T) {
	n, conn := echo(t)
	n.disturb(weather{breaks: 6}, weather{})
	_, err := exchange(t, conn, "abcd", patience)
	require.NoError(t, err)
	_, err = exchange(t, conn, "efgh", patience)
	require.Error(t, err)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
}

func TestDelayAndRateTakeTheirTime(t *testing.T) {
	for name, w := range map[string]weather{"delay": {delay: shortly}, "rate": {rate: 100_000}} {
		t.Run(name, func(t *testing.T) {
			n, conn := echo(t)
			n.disturb(w, weather{})
			began := time.Now()
			text := string(make([]byte, 10_000))
			got, err := exchange(t, conn, text, patience)
			require.NoError(t, err)
			require.Equal(t, text, got)
			require.GreaterOrEqual(t, time.Since(began), shortly)
		})
	}
}

func TestCutBreaksEveryConnection(t *testing.T) {
	n, conn := echo(t)
	_, err := exchange(t, conn, "hello", patience)
	require.NoError(t, err)
	require.Equal(t, 1, n.cut())
	_, err = receive(t, conn, 1, patience)
	require.Error(t, err)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
}
