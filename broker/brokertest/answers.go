package brokertest

import (
	"sync"
	"time"

	"github.com/messageproxy/messageproxy/broker"
)

// answer is how a message was answered.
type answer struct {
	index   int
	receipt broker.MessageReceipt
	err     error
	at      time.Time
}

// answers collects the answers to some messages, in the order in which they come.
type answers struct {
	e       *env
	changed signal

	mu     sync.Mutex
	byTime []answer
	seen   []int // how often each message was answered
}

func newAnswers(e *env, n int) *answers {
	return &answers{e: e, changed: newSignal(), seen: make([]int, n)}
}

// callback returns the callback for message i.
func (a *answers) callback(i int) func(broker.MessageReceipt, error) {
	return func(receipt broker.MessageReceipt, err error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.seen[i]++
		if a.seen[i] > 1 {
			a.e.Errorf("message %d was answered %d times", i, a.seen[i])
		}
		if err != nil {
			a.e.checkError("a message's answer", err)
		}
		a.byTime = append(a.byTime, answer{i, receipt, err, time.Now()})
		a.changed.raise()
	}
}

// count returns how many messages are answered.
func (a *answers) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.byTime)
}

// ordered returns the answers that came so far, as they came.
func (a *answers) ordered() []answer {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]answer(nil), a.byTime...)
}

// await waits until every message is answered, and returns the answers by message.
func (a *answers) await(limit time.Duration) []answer {
	a.e.Helper()
	if !a.changed.await(limit, func() bool { return a.count() >= len(a.seen) }) {
		a.e.Fatalf("only %d of %d messages were answered within %v", a.count(), len(a.seen), limit)
	}
	byMessage := make([]answer, len(a.seen))
	for _, answer := range a.ordered() {
		byMessage[answer.index] = answer
	}
	return byMessage
}
