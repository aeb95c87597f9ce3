package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/server"
)

func TestWhatIsOnItsWayIsSmallBesideWhatIsHeld(t *testing.T) {
	cfg := server.DefaultConfig()
	require.EqualValues(t, 64<<20, maxFetchBytes(cfg))
	cfg.Consume.MaxBufferedBytes = 64 << 20
	require.EqualValues(t, 16<<20, maxFetchBytes(cfg))
	cfg.Consume.MaxBufferedBytes = 1
	require.EqualValues(t, 1, maxFetchBytes(cfg))
}
