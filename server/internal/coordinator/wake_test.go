package coordinator

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/broker"
)

// Nothing is due: the loop may sleep until something happens.
func TestWakeNeverWhileNothingIsDue(t *testing.T) {
	require.Negative(t, New(smallConfig()).Wake())
	w := newWorld(t, smallConfig())
	require.Negative(t, w.state.Wake(), "a client that holds nothing")
	name := benchNames(1)[0]
	w.poll(broker.EventAssigned{Partitions: benchNames(1)}, messageEvent(name, 1))
	w.settle()
	require.Positive(t, w.state.Wake(), "a client that holds something")
	w.ack(1, name, 1)
	w.settle()
	w.tick(12 * time.Minute) // when the timeout would have been
	require.Negative(t, w.state.Wake(), "it holds nothing again")
}

// tick lets time pass as the loop does, and returns the first time at which a client
// was ended.
func (w *world) tick(d time.Duration) (ended time.Duration) {
	for passed := time.Duration(0); passed < d; {
		wake := w.state.Wake()
		require.NotZero(w.t, wake, "wakes for nothing")
		if wake < 0 {
			wake = d - passed
		}
		passed += wake
		w.state.Step(Tick{wake})
		for _, effect := range w.settle() {
			if _, ok := effect.(End); ok && ended == 0 {
				ended = passed
			}
		}
	}
	return ended
}

// The loop that sleeps as long as Wake says ends a stuck client exactly when its
// time is over.
func TestWakeIsInTimeForStuckClients(t *testing.T) {
	cfg := smallConfig()
	cfg.MaxAckTimeout = 7*time.Second + 123*time.Millisecond
	w := newWorld(t, cfg)
	w.poll(broker.EventAssigned{Partitions: benchNames(1)}, messageEvent(benchNames(1)[0], 1))
	w.settle()
	require.Equal(t, cfg.MaxAckTimeout, w.tick(time.Minute))
}

// One wake-up is never so far away that the clock could not follow it.
func TestWakeStaysBelowWhatOneTickAdvances(t *testing.T) {
	w := newWorld(t, smallConfig())
	w.poll(broker.EventAssigned{Partitions: benchNames(1)}, messageEvent(benchNames(1)[0], 1))
	w.settle()
	require.LessOrEqual(t, w.state.Wake(), maxTick/2)
}

func TestWakeForTheNextAttemptToOpen(t *testing.T) {
	s := New(smallConfig())
	s.Step(Join{Client: 1, Spec: Spec{Topics: []string{"t"}}})
	s.Settle()
	s.Step(OpenFailed{parseError("unavailable")})
	s.Settle()
	require.Equal(t, minReopenDelay, s.Wake())
	s.Step(Tick{minReopenDelay})
	require.Contains(t, s.Settle(), OpenConsumer{Spec{Topics: []string{"t"}}})
	require.Positive(t, s.Wake(), "for telling the trouble again")
}

// A clock that runs backwards is one that stands still.
func TestTicksBackwardsAreNone(t *testing.T) {
	w := newWorld(t, smallConfig())
	w.poll(broker.EventAssigned{Partitions: benchNames(1)}, messageEvent(benchNames(1)[0], 1))
	w.settle()
	w.state.Step(Tick{-time.Hour})
	require.Zero(t, w.state.now)
	w.settle()
	require.Positive(t, w.state.Wake())
}
