//go:build synctests

package simulation

import (
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/integration/history"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// An SDK that says other than servers do, or not once, is found out.
func TestWhatAnSDKSaysIsJudged(t *testing.T) {
	p := history.Partition{Topic: "orders", Number: 1}
	produced := []history.Entry{{Event: history.Produced{Stream: "a/1", Sequence: 1, Topic: "orders", Token: "x"}}}
	isStored := slices.Concat(produced, []history.Entry{
		{Event: history.Answered{Stream: "a/1", Sequence: 1, Outcome: history.Stored, Partition: p}},
		{Event: history.Log{Partition: p, Messages: []history.Message{{Token: "x"}}}},
	})
	type told func(messageproxy.Receipt, error)
	for name, test := range map[string]struct {
		says    func(told)
		entries []history.Entry
		broken  []string
	}{
		"the truth": {func(tell told) { tell(messageproxy.Receipt{Partition: 1}, nil) }, isStored, nil},
		"nothing":   {func(told) {}, isStored, []string{"no-result"}},
		"it twice": {func(tell told) {
			tell(messageproxy.Receipt{Partition: 1}, nil)
			tell(messageproxy.Receipt{Partition: 1}, nil)
		}, isStored, []string{"two-results"}},
		"another partition": {func(tell told) { tell(messageproxy.Receipt{Partition: 2}, nil) }, isStored, []string{"receipt-wrong"}},
		"what nobody said":  {func(tell told) { tell(messageproxy.Receipt{Partition: 1}, nil) }, produced, []string{"receipt-wrong"}},
		"that it failed":    {func(tell told) { tell(messageproxy.Receipt{}, errors.New("no")) }, isStored, []string{"failed-but-stored"}},
		"that it may have":  {func(tell told) { tell(messageproxy.Receipt{}, messageproxy.ErrUnknownOutcome) }, isStored, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{}
			test.says(w.sdk.produced("a", "x"))
			w.judgeSDK(test.entries)
			var broken []string
			for _, v := range w.violations {
				broken = append(broken, v.Rule)
			}
			require.Equal(t, test.broken, broken)
		})
	}
}
