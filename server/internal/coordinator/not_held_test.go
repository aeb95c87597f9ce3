package coordinator

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
)

func notHeldOf(t *testing.T, texts ...string) NotHeld {
	w := newWorld(t, smallConfig())
	w.state.Step(Ack{Client: 1, IDs: make([]broker.MessageID, len(texts)), Texts: texts})
	effects := w.settle()
	require.Len(t, effects, 1, "one notice for all that one request names")
	return effects[0].(NotHeld)
}

func numbered(n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprint(i)
	}
	return texts
}

// However many ids a client ACKs in vain, it is told of 1,000 at most, and how many
// there are in all.
func TestNoticeNamesThousandIDs(t *testing.T) {
	require.Len(t, notHeldOf(t, numbered(1000)...).IDs, 1000)
	notice := notHeldOf(t, numbered(2500)...)
	require.Equal(t, numbered(1000), notice.IDs)
	require.Equal(t, 2500, notice.Count)
	err := notice.Error()
	require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_NOT_HELD, err.GetCode())
	require.Equal(t, numbered(1000), err.GetMessageIds())
	require.Contains(t, err.GetMessage(), "2500")
	require.False(t, err.GetRetryable())
}

// What can't be an id, for its length, is counted and not sent back.
func TestNoticeNamesNoOverlongIDs(t *testing.T) {
	longest := strings.Repeat("x", maxIDLength)
	notice := notHeldOf(t, longest+"x", longest)
	require.Equal(t, []string{longest}, notice.IDs)
	require.Equal(t, 2, notice.Count)
}

func TestMergedNoticesNameThousandIDs(t *testing.T) {
	all := numbered(1200)
	merged := notHeldOf(t, all[:700]...).Merge(notHeldOf(t, all[700:]...))
	require.Equal(t, all[:1000], merged.IDs)
	require.Equal(t, 1200, merged.Count)
	require.Equal(t, 1201, merged.Merge(notHeldOf(t, "another")).Count)
}
