package kafka

import "sync"

// successors are the topics that subscriptions lost because they were deleted. A
// topic of the same name that comes after is younger than the subscription, which
// therefore begins at its oldest message, also if it began at the latest in the
// topic before: Kafka has forgotten that it ever began.
//
// One of a server is shared by its consumers. What is in it concerns subscriptions
// that have a consumer here, or had one until their topic was deleted.
type successors struct {
	mu     sync.Mutex
	topics map[subscribedTopic]struct{}
}

type subscribedTopic struct{ subscription, topic string }

func newSuccessors() *successors { return &successors{topics: make(map[subscribedTopic]struct{})} }

// expect notes that the topic is gone.
func (s *successors) expect(subscription, topic string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.topics[subscribedTopic{subscription, topic}] = struct{}{}
}

// expects reports whether a topic is one that comes after.
func (s *successors) expects(subscription, topic string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.topics[subscribedTopic{subscription, topic}]
	return ok
}

// begun forgets the topic: from now on Kafka knows that the subscription has begun.
func (s *successors) begun(subscription, topic string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.topics, subscribedTopic{subscription, topic})
}
