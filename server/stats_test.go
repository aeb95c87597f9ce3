package server

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func TestStatsSayWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newProxyFixture(t).onBufconn()
		unserved, err := New(f.broker, f.cfg)
		require.NoError(t, err)
		require.Equal(t, Stats{}, unserved.Stats(), "before Serve")

		f.start()
		synctest.Wait()
		require.Equal(t, Stats{}, f.server.Stats())
		producing := produceStreamOf(t, f.client())
		produceAll(t, producing, outgoing(1, make([]byte, 1000)))
		consuming := subscribe(t, f.client())
		held := receive(t, consuming, 1)
		synctest.Wait()
		stats := f.server.Stats()
		require.Greater(t, stats.BufferedBytes, int64(1000))
		stats.BufferedBytes = 0
		require.Equal(t, Stats{Connections: 2, Streams: 2, ConsumeStreams: 1, Subscriptions: 1, ProduceStreams: 1}, stats)

		ack(t, consuming, held...)
		require.NoError(t, consuming.CloseSend())
		require.NoError(t, producing.CloseSend())
		for err = nil; err == nil; {
			_, err = consuming.Recv()
		}
		synctest.Wait()
		require.Equal(t, Stats{Connections: 2}, f.server.Stats())
		f.close()
		require.Equal(t, Stats{}, f.server.Stats())
	})
}
