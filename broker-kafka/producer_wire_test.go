//go:build synctests

package kafka

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestConnectionsThatCannotBeMadeTakeAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := &net.OpError{Op: "dial", Net: "tcp", Err: net.ErrClosed}
		dial := unhurried(func(context.Context, string, string) (net.Conn, error) { return nil, refused })
		begun := time.Now()
		_, err := dial(t.Context(), "tcp", "kafka:9092")
		assert.Equal(t, error(refused), err)
		assert.Equal(t, failedDialPause, time.Since(begun))

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		begun = time.Now()
		_, err = dial(ctx, "tcp", "kafka:9092")
		assert.Equal(t, error(refused), err)
		assert.Zero(t, time.Since(begun))
	})
}
