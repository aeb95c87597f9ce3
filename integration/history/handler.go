package history

import (
	"fmt"
	"slices"
)

// client is one call of an SDK's Consume.
type client struct {
	name         string
	subscription *subscription // nil if it isn't known
	byKey        bool
	running      map[*partition]running
	ok           map[*message]bool
	handledAt    map[*message]int
	// deliveries are what its streams got, seen from side, from what its handler was
	// called with last on.
	deliveries map[*partition][]*message
	side       Side
	linked     bool
	reported   bool
}

type running struct {
	message *message
	at      int
}

func newClient(e Consuming, s *subscription) *client {
	return &client{
		name: e.Client, subscription: s, byKey: e.ByKey,
		running: make(map[*partition]running), ok: make(map[*message]bool), handledAt: make(map[*message]int),
		deliveries: make(map[*partition][]*message),
	}
}

func (c *checker) clientOf(name string) *client {
	x := c.clients[name]
	if x == nil {
		var s *subscription
		if len(c.subscriptions) == 1 {
			for _, s = range c.subscriptions {
				break
			}
		}
		x = newClient(Consuming{Client: name}, s)
		c.clients[name] = x
	}
	return x
}

// delivered notes what one of the client's streams got.
func (x *client) delivered(side Side, messages []*message) {
	if !x.linked {
		x.linked, x.side = true, side
	}
	if side == x.side {
		p := messages[0].partition
		x.deliveries[p] = append(x.deliveries[p], messages...)
	}
}

// began is the entry at which the handler was called with a message last.
func (x *client) began(m *message) int {
	if i, ok := x.handledAt[m]; ok {
		return i
	}
	return never
}

func (c *checker) handling(i int, e Handling) {
	x, p := c.clientOf(e.Client), c.partitionOf(e.Partition)
	m := p.messageAt(&e.Message)
	c.name(i, m, e.Message.ID)
	if before, ok := x.running[p]; ok && !x.byKey {
		c.report(i, "handlers-overlap", fmt.Sprintf("client %s handles %s while it handles %d", x.name, m, before.message.position), entry(before.at), entry(i))
	}
	x.running[p] = running{m, i}
	if x.subscription != nil {
		r := c.readingOf(x.subscription, p)
		r.noteDelivered(i, []*message{m})
	}
	c.checkHandlerOrder(i, x, m)
	x.handledAt[m] = i
}

// checkHandlerOrder: a handler is called in the order of the deliveries, leaving out
// what was dropped, and possibly several times with one message.
func (c *checker) checkHandlerOrder(i int, x *client, m *message) {
	if !x.linked || x.byKey || x.reported {
		return
	}
	p := m.partition
	k := slices.Index(x.deliveries[p], m)
	if k >= 0 {
		x.deliveries[p] = x.deliveries[p][k:]
		return
	}
	x.reported = true
	last := never
	if len(x.deliveries[p]) > 0 {
		last = x.began(x.deliveries[p][0])
	}
	c.report(i, "handled-out-of-order", fmt.Sprintf("client %s handles %s, which it wasn't delivered after what it handled last", x.name, m), entry(last), entry(i))
}

func (c *checker) handled(i int, e Handled) {
	x, p := c.clientOf(e.Client), c.partitionOf(e.Partition)
	m := p.messageAt(&e.Message)
	delete(x.running, p)
	if !e.OK {
		return
	}
	x.ok[m] = true
	if x.subscription != nil && x.subscription.judge() == Client {
		c.readingOf(x.subscription, p).noteAcked(i, m, nil)
	}
}
