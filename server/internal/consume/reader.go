package consume

import (
	"errors"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/server/internal/coordinator"
	"github.com/messageproxy/messageproxy/server/internal/wire"
)

// read turns a stream's requests into events, until the stream ends. It waits for
// the loop if that lags behind, and never for the writer.
func (sub *subscription) read(c *client) {
	defer sub.service.detach(sub)
	defer func() { sub.post(coordinator.Gone{Client: c.id}) }()
	defer func() {
		if p := recover(); p != nil {
			logPanic(c.log(), "reading a stream failed", p)
			sub.reject(c, failedToRead())
		}
	}()
	left := false
	for {
		ids, request, err := wire.ReceiveAcks(c.stream)
		if err != nil {
			if broken, ok := errors.AsType[*wire.DecodeError](err); ok {
				sub.reject(c, undecodable(broken))
			}
			return
		}
		switch {
		case request == nil:
			c.takeCredit()
			sub.post(acked{sub.resolve(c, ids), c})
		case request.GetLeave() != nil && !left:
			left = true
			sub.post(coordinator.Leave{Client: c.id})
		default:
			sub.reject(c, outOfPlace(request))
			return
		}
	}
}

// reject ends a stream with an error and waits until it has ended.
func (sub *subscription) reject(c *client, err *messageproxyv1.Error) {
	sub.post(coordinator.Reject{Client: c.id, Err: err})
	<-c.stream.Context().Done()
}

// resolve turns the ids of an ACK into those of the broker.
func (sub *subscription) resolve(c *client, texts []string) coordinator.Ack {
	ack := coordinator.Ack{Client: c.id, Texts: texts, IDs: make([]broker.MessageID, len(texts))}
	consumer := sub.resolver.Load()
	if consumer == nil {
		return ack
	}
	for i, text := range texts {
		if id, ok := (*consumer).ResolveID(text); ok {
			ack.IDs[i] = id
		}
	}
	return ack
}
