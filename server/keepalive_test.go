package server

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/keepalive"
)

func TestClientsMayPingEveryTenSeconds(t *testing.T) {
	for _, withStream := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t).onBufconn().start()
			conn := f.dial(grpc.WithKeepaliveParams(keepalive.ClientParameters{
				Time: 10 * time.Second, PermitWithoutStream: true,
			}), grpc.WithIdleTimeout(0))
			defer conn.Close()
			conn.Connect()
			if withStream {
				_, err := f.clientOn(conn).Consume(t.Context())
				require.NoError(t, err)
			}
			synctest.Wait()
			require.Equal(t, connectivity.Ready, conn.GetState())
			time.Sleep(time.Hour)
			synctest.Wait()
			require.Equal(t, connectivity.Ready, conn.GetState())
			require.NoError(t, f.drain())
		})
	}
}

// A peer that vanished without a word, as behind a cut cable, answers no pings.
func TestAPeerThatAnswersNoPingsIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t).onBufconn().start()
		peer, err := f.listen(t.Context(), "")
		require.NoError(t, err)
		defer peer.Close()
		start := time.Now()
		go func() {
			const noSettings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00" // a frame
			_, _ = io.WriteString(peer, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+noSettings)
		}()
		_, err = io.Copy(io.Discard, peer)
		require.NoError(t, err, "the server closes the connection")
		require.Equal(t, pingIdle+pingAnswer, time.Since(start).Round(time.Second))
		require.NoError(t, f.drain())
	})
}
