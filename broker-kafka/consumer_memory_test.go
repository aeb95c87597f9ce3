package kafka

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// answers is the other end of a metered connection.
type answers struct {
	t    *testing.T
	conn net.Conn
}

// metered returns a connection that reads answers in one goroutine, as the client
// does, and says how long those were that it has read.
func metered(t *testing.T, m *fetchMemory) (*answers, *fetched, *meteredConn, <-chan int) {
	near, far := net.Pipe()
	f := newFetched(m)
	conn := &meteredConn{Conn: near, fetched: f, closed: make(chan struct{})}
	read := make(chan int, 10)
	go func() {
		defer close(read)
		for {
			var length [4]byte
			if _, err := io.ReadFull(conn, length[:]); err != nil {
				_ = conn.Close()
				return
			}
			n, err := io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(length[:])))
			if err != nil {
				_ = conn.Close()
				return
			}
			read <- int(n)
		}
	}()
	return &answers{t, far}, f, conn, read
}

// send sends an answer of so many bytes.
func (a *answers) send(length int) {
	go func() {
		b := binary.BigEndian.AppendUint32(nil, uint32(length))
		_, _ = a.conn.Write(append(b, make([]byte, length)...)) // fails if the reader ends
	}()
}

func TestAnswersWaitForMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newFetchMemory(100 << 10)
		one, oneFetched, oneConn, oneRead := metered(t, m)
		two, twoFetched, twoConn, twoRead := metered(t, m)
		one.send(80 << 10)
		synctest.Wait()
		require.Equal(t, 80<<10, <-oneRead)
		two.send(1 << 10)
		synctest.Wait()
		require.Equal(t, 1<<10, <-twoRead, "small answers don't ask")
		two.send(30 << 10)
		synctest.Wait()
		require.Empty(t, twoRead, "there is no memory for it")
		oneFetched.taken()
		synctest.Wait()
		require.Equal(t, 30<<10, <-twoRead)
		twoFetched.taken()
		require.Zero(t, m.used)

		one.send(1 << 20)
		synctest.Wait()
		require.Equal(t, 1<<20, <-oneRead, "a larger one than there is memory gets through alone")
		two.send(20 << 10)
		synctest.Wait()
		require.Empty(t, twoRead)
		time.Sleep(takenWithin)
		synctest.Wait()
		require.Equal(t, 20<<10, <-twoRead, "what the client has dropped counts no longer")
		twoFetched.taken()
		require.Zero(t, m.used)
		require.NoError(t, oneConn.Close())
		require.NoError(t, twoConn.Close())
	})
}

func TestConnectionsThatEndGiveTheirMemoryBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newFetchMemory(100 << 10)
		one, _, _, oneRead := metered(t, m)
		two, _, twoConn, twoRead := metered(t, m)
		three, threeFetched, threeConn, threeRead := metered(t, m)
		_, err := one.conn.Write(binary.BigEndian.AppendUint32(nil, 90<<10)) // and nothing more
		require.NoError(t, err)
		synctest.Wait() // it has its memory before two asks
		two.send(90 << 10)
		synctest.Wait()
		three.send(90 << 10)
		require.NoError(t, twoConn.Close(), "while it waits")
		_, ok := <-twoRead
		require.False(t, ok)
		require.NoError(t, one.conn.Close(), "in the middle of an answer")
		_, ok = <-oneRead
		require.False(t, ok)
		require.Equal(t, 90<<10, <-threeRead)
		threeFetched.taken()
		require.Zero(t, m.used)
		require.Empty(t, m.line)
		require.NoError(t, threeConn.Close())
	})
}

func TestAnAnswerThatGetsNoMemoryEndsItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newFetchMemory(100 << 10)
		bytes, err := m.acquire(1<<20, nil)
		require.NoError(t, err)
		require.EqualValues(t, 100<<10, bytes)
		one, _, _, oneRead := metered(t, m)
		one.send(90 << 10)
		_, ok := <-oneRead
		require.False(t, ok, "after answerPatience")
		m.release(bytes)
		require.Zero(t, m.used)
		require.Empty(t, m.line)
	})
}
