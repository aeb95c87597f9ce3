package tap

import (
	"fmt"
	"strconv"
	"sync"

	"github.com/messageproxy/messageproxy/integration/history"
)

// Tap records events of one test. All its methods may be called concurrently.
type Tap struct {
	recorder *history.Recorder
	topics   incarnations
	clients  counters // of the streams that clients open
	servers  counters // of the streams that servers accept

	reading chan struct{} // holds one value while positions are read; a bubble may wait for it

	mu     sync.Mutex
	served map[string]string // servers, by address
}

// New returns a Tap that records with recorder.
func New(recorder *history.Recorder) *Tap {
	return &Tap{recorder: recorder, reading: make(chan struct{}, 1)}
}

// TopicName returns what history calls the newest incarnation of a topic.
func (t *Tap) TopicName(topic string) string { return t.topics.latest(topic) }

// incarnations tells topics of one name apart by their UUIDs. The first that is
// seen bears the topic's name, the next the name and "#2", and so on.
type incarnations struct {
	mu  sync.RWMutex
	ids map[string][]topicID
}

// name returns what history calls the topic with this UUID.
func (t *incarnations) name(topic string, id topicID) string {
	t.mu.RLock()
	place := place(t.ids[topic], id)
	t.mu.RUnlock()
	if place < 0 {
		place = t.add(topic, id)
	}
	return incarnation(topic, place)
}

// latest returns what history calls the topic's newest incarnation.
func (t *incarnations) latest(topic string) string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return incarnation(topic, len(t.ids[topic])-1)
}

func (t *incarnations) add(topic string, id topicID) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := place(t.ids[topic], id); p >= 0 {
		return p
	}
	if t.ids == nil {
		t.ids = make(map[string][]topicID)
	}
	t.ids[topic] = append(t.ids[topic], id)
	return len(t.ids[topic]) - 1
}

func place(ids []topicID, id topicID) int {
	for i := len(ids) - 1; i >= 0; i-- {
		if ids[i] == id {
			return i
		}
	}
	return -1
}

func incarnation(topic string, place int) string {
	if place <= 0 {
		return topic
	}
	return fmt.Sprintf("%s#%d", topic, place+1)
}

// counters number streams by the names of those who open them.
type counters struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counters) next(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = make(map[string]int)
	}
	c.n[name]++
	return name + "/" + strconv.Itoa(c.n[name])
}
