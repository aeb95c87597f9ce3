//go:build synctests

package simulation

import (
	"errors"
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
	// known: the application was told; err is what.
	known bool
	err   error
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
	return func(_ messageproxy.Receipt, err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		o := &s.told[client][place]
		o.known, o.err = true, err
	}
}

type storedAt struct {
	partition history.Partition
	position  int64
}

// judgeSDK compares what applications were told with what is in the logs.
func (w *world) judgeSDK(entries []history.Entry) {
	stored := make(map[string][]storedAt)
	for _, e := range entries {
		if log, ok := e.Event.(history.Log); ok {
			for _, m := range log.Messages {
				stored[m.Token] = append(stored[m.Token], storedAt{log.Partition, m.Position})
			}
		}
	}
	w.sdk.mu.Lock()
	defer w.sdk.mu.Unlock()
	for _, client := range sortedKeys(w.sdk.told) {
		last := make(map[history.Partition]storedAt)
		for _, o := range w.sdk.told[client] {
			w.judgeOutcome(client, o, stored[o.token], last)
		}
	}
}

func (w *world) judgeOutcome(client string, o sdkOutcome, at []storedAt, last map[history.Partition]storedAt) {
	switch {
	case len(at) > 1:
		w.violate("stored-twice", "%q of SDK client %s is stored %d times", o.token, client, len(at))
	case o.known && o.err != nil && !errors.Is(o.err, messageproxy.ErrUnknownOutcome) && len(at) > 0:
		w.violate("failed-but-stored", "SDK client %s said of %q that it is not stored (%v), and it is", client, o.token, o.err)
	case o.known && o.err == nil && len(at) == 1:
		if before := last[at[0].partition]; before.position > at[0].position {
			w.violate("produced-out-of-order", "SDK client %s stored %q at %d of %v, behind one that was produced later", client, o.token, at[0].position, at[0].partition)
		}
		last[at[0].partition] = at[0]
	}
}
