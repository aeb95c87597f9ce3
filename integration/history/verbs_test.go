package history_test

import (
	"time"

	"github.com/messageproxy/messageproxy/integration/history"
)

// verbs are the words that a line of a script begins with.
var verbs = map[string]func(*phrase) history.Event{
	// Producing.
	"open": func(w *phrase) history.Event { return history.ProduceOpened{Stream: w.next(), Server: w.rest()} },
	"produce": func(w *phrase) history.Event {
		return history.Produced{Stream: w.next(), Sequence: uint64(w.number(w.next())), Topic: w.next(), Token: w.next()}
	},
	"stored": func(w *phrase) history.Event {
		return history.Answered{
			Stream: w.next(), Sequence: uint64(w.number(w.next())), Outcome: history.Stored, Partition: w.partition(), Position: int64(w.number(w.next())),
		}
	},
	"failed": func(w *phrase) history.Event {
		return history.Answered{Stream: w.next(), Sequence: uint64(w.number(w.next())), Outcome: history.Failed, Why: w.rest()}
	},
	"unknown": func(w *phrase) history.Event {
		return history.Answered{Stream: w.next(), Sequence: uint64(w.number(w.next())), Outcome: history.Unknown, Why: w.rest()}
	},
	"close": func(w *phrase) history.Event { return history.ProduceEnded{Stream: w.next()} },
	"break": func(w *phrase) history.Event {
		return history.ProduceEnded{Stream: w.next(), Broken: true, Why: w.rest()}
	},

	// Consuming.
	"subscribe": func(w *phrase) history.Event {
		timeout, client := w.option("timeout"), w.option("client")
		side, stream := w.stream()
		e := history.Subscribed{Side: side, Stream: stream, Server: w.next(), Subscription: w.next(), Window: 100, AckTimeout: time.Minute, Client: client}
		if e.Server == "?" {
			e.Server = ""
		}
		if timeout != "" {
			e.AckTimeout = w.duration(timeout)
		}
		if window := w.option("window"); window != "" {
			e.Window = w.number(window)
		}
		return e
	},
	"get": func(w *phrase) history.Event {
		side, stream := w.stream()
		p := w.partition()
		return history.Delivered{Side: side, Stream: stream, Partition: p, Messages: w.messages(p)}
	},
	"ack": func(w *phrase) history.Event {
		side, stream := w.stream()
		e := history.Acked{Side: side, Stream: stream}
		for _, m := range w.messages(w.partition()) {
			e.IDs = append(e.IDs, m.ID)
		}
		return e
	},
	"withdraw": func(w *phrase) history.Event {
		side, stream := w.stream()
		return history.Withdrawn{Side: side, Stream: stream, Partitions: w.partitions(), TimeLeft: w.span()}
	},
	"leave": func(w *phrase) history.Event {
		side, stream := w.stream()
		return history.Left{Side: side, Stream: stream}
	},
	"end": func(w *phrase) history.Event {
		side, stream := w.stream()
		return history.ConsumeEnded{Side: side, Stream: stream, Code: w.rest()}
	},
	"told-expired": func(w *phrase) history.Event {
		side, stream := w.stream()
		return history.ExpiryTold{Side: side, Stream: stream}
	},
	"told-draining": func(w *phrase) history.Event {
		side, stream := w.stream()
		return history.DrainTold{Side: side, Stream: stream}
	},
	"sent": func(w *phrase) history.Event { return history.Sent{Stream: w.next()} },

	// The SDK.
	"consume": func(w *phrase) history.Event {
		return history.Consuming{Name: w.option("name"), Client: w.next(), Subscription: w.next(), ByKey: w.has("by-key")}
	},
	"handle": func(w *phrase) history.Event {
		client, p := w.next(), w.partition()
		return history.Handling{Client: client, Partition: p, Message: w.messages(p)[0]}
	},
	"done": func(w *phrase) history.Event { return handled(w, true) },
	"fail": func(w *phrase) history.Event { return handled(w, false) },

	// Servers.
	"gain": func(w *phrase) history.Event {
		return history.Gained{Server: w.next(), Subscription: w.next(), Partitions: w.partitions()}
	},
	"lose": func(w *phrase) history.Event {
		return history.Lost{Server: w.next(), Subscription: w.next(), Partitions: w.partitions()}
	},
	"fetch": func(w *phrase) history.Event {
		server, subscription, p := w.next(), w.next(), w.partition()
		return history.Fetched{Server: server, Subscription: subscription, Partition: p, Messages: w.messages(p)}
	},
	"drain": func(w *phrase) history.Event { return history.Draining{Server: w.next()} },
	"stop":  func(w *phrase) history.Event { return history.Stopped{Server: w.next()} },

	// The broker, and the test.
	"position": func(w *phrase) history.Event {
		return history.PositionRead{Subscription: w.next(), Partition: w.partition(), Position: int64(w.number(w.next()))}
	},
	"expire": func(w *phrase) history.Event {
		return history.Expired{Partition: w.partition(), Before: int64(w.number(w.next()))}
	},
	"add": func(w *phrase) history.Event {
		p := w.partition()
		return history.Added{Topic: p.Topic, From: p.Number}
	},
	"delete": func(w *phrase) history.Event { return history.Deleted{Topic: w.next()} },
	"heal":   func(*phrase) history.Event { return history.Healed{} },
	"calm": func(w *phrase) history.Event {
		return history.Calm{ProduceTimeout: w.duration(w.next())}
	},
	"disturb": func(*phrase) history.Event { return history.Disturbed{} },
	"finish": func(w *phrase) history.Event {
		return history.Expected{Subscription: w.next(), Partitions: w.partitions()}
	},
	"log": func(w *phrase) history.Event {
		p := w.partition()
		return history.Log{Partition: p, Messages: w.messages(p), Compacted: w.has("compacted")}
	},
}

func handled(w *phrase, ok bool) history.Event {
	client, p := w.next(), w.partition()
	return history.Handled{Client: client, Partition: p, Message: w.messages(p)[0], OK: ok}
}
