//go:build synctests

package simulation

import (
	"errors"
	"slices"
	"sync"

	"github.com/messageproxy/messageproxy/integration/history"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// sdkOutcomes is what applications were told by SDK clients of what they produced.
// History has what passes on streams; what the SDK makes of that is judged here.
type sdkOutcomes struct {
	mu   sync.Mutex
	told map[string][]sdkOutcome // by client, in the order in which they were produced
}

type sdkOutcome struct {
	token string
	// told is how often the application was told; receipt and err are what, the last
	// time.
	told    int
	receipt messageproxy.Receipt
	err     error
}

// produced notes a message, and returns what is to be called with its outcome.
func (s *sdkOutcomes) produced(client, token string) func(messageproxy.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told == nil {
		s.told = make(map[string][]sdkOutcome)
	}
	place := len(s.told[client])
	s.told[client] = append(s.told[client], sdkOutcome{token: token})
	return func(receipt messageproxy.Receipt, err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		o := &s.told[client][place]
		o.told, o.receipt, o.err = o.told+1, receipt, err
	}
}

type storedAt struct {
	partition history.Partition
	position  int64
}

// judgeSDK compares what applications were told with what servers told the SDK, and
// with what is in the logs. All clients have ended, which leaves nothing unanswered.
func (w *world) judgeSDK(entries []history.Entry) {
	stored := make(map[string][]storedAt)
	for _, e := range entries {
		if log, ok := e.Event.(history.Log); ok {
			for _, m := range log.Messages {
				stored[m.Token] = append(stored[m.Token], storedAt{log.Partition, m.Position})
			}
		}
	}
	receipts := receiptsOf(entries)
	w.sdk.mu.Lock()
	defer w.sdk.mu.Unlock()
	for _, client := range sortedKeys(w.sdk.told) {
		last := make(map[history.Partition]storedAt)
		for _, o := range w.sdk.told[client] {
			w.judgeAnswer(client, o, receipts[o.token])
			w.judgeOutcome(client, o, stored[o.token], last)
		}
	}
}

// receiptsOf are the partitions in which servers said that messages are stored, by
// token.
func receiptsOf(entries []history.Entry) map[string][]int32 {
	type message struct {
		stream   string
		sequence uint64
	}
	tokens := make(map[message]string)
	receipts := make(map[string][]int32)
	for _, e := range entries {
		switch e := e.Event.(type) {
		case history.Produced:
			tokens[message{e.Stream, e.Sequence}] = e.Token
		case history.Answered:
			if token := tokens[message{e.Stream, e.Sequence}]; e.Outcome == history.Stored {
				receipts[token] = append(receipts[token], e.Partition.Number)
			}
		}
	}
	return receipts
}

// judgeAnswer: there is one outcome, and a receipt is a server's.
func (w *world) judgeAnswer(client string, o sdkOutcome, receipts []int32) {
	switch {
	case o.told == 0:
		w.violate("no-result", "SDK client %s has ended and never said what became of %q", client, o.token)
	case o.told > 1:
		w.violate("two-results", "SDK client %s said %d times what became of %q", client, o.told, o.token)
	case o.err == nil && !slices.Contains(receipts, o.receipt.Partition):
		w.violate("receipt-wrong", "SDK client %s said of %q that it is stored in partition %d, and servers said so of %v", client, o.token, o.receipt.Partition, receipts)
	}
}

func (w *world) judgeOutcome(client string, o sdkOutcome, at []storedAt, last map[history.Partition]storedAt) {
	switch {
	case len(at) > 1:
		w.violate("stored-twice", "%q of SDK client %s is stored %d times", o.token, client, len(at))
	case o.told == 0:
	case o.err != nil && !errors.Is(o.err, messageproxy.ErrUnknownOutcome) && len(at) > 0:
		w.violate("failed-but-stored", "SDK client %s said of %q that it is not stored (%v), and it is", client, o.token, o.err)
	case o.err == nil && len(at) == 1:
		if before := last[at[0].partition]; before.position > at[0].position {
			w.violate("produced-out-of-order", "SDK client %s stored %q at %d of %v, behind one that was produced later", client, o.token, at[0].position, at[0].partition)
		}
		last[at[0].partition] = at[0]
	}
}
