package mutants

const coordinator = "server/internal/coordinator/"

// coordinatorMutants break what the server decides about one subscription.
var coordinatorMutants = []Mutant{
	{
		Name: "acks-only-from-holder", Guarantee: "C1",
		Off:    "anybody's ACK of a message in flight counts, not only its holder's",
		Caught: []string{"unacked-below-position"},
		Edits: []Edit{{
			coordinator + "acks.go",
			`if p == nil || p.holder != c || !s.ackOne(c, p, id) {`,
			`if p == nil || p.holder == nil || !s.ackOne(p.holder, p, id) {`,
		}},
	},
	{
		Name: "client-window", Guarantee: "C2",
		Off:    "a client gets whole runs of messages, whatever room is left in its window",
		Caught: []string{"client-window"},
		Edits: []Edit{{
			coordinator + "delivery.go",
			`p.take(min(chunk, c.maxUnacked-c.unacked), `,
			`p.take(chunk, `,
		}},
	},
	{
		Name: "client-bytes", Guarantee: "C2",
		Off:    "what a client holds isn't bounded in bytes",
		Caught: []string{"client-bytes"},
		Edits: []Edit{{
			coordinator + "delivery.go",
			`s.cfg.MaxUnackedBytes-c.bytes, c.unacked == 0)`,
			`1<<62, c.unacked == 0)`,
		}},
	},
	{
		Name: "hold-during-handover", Guarantee: "C5",
		Off:    "a partition's new owner gets messages while the old one still holds some",
		Caught: []string{"two-holders"},
		Edits: []Edit{{
			coordinator + "delivery.go",
			` && (p.holder == nil || p.holder == p.owner)`,
			``,
		}},
	},
	{
		Name: "end-of-handover", Guarantee: "C5",
		Off:    "the new owner isn't served when the old one has ACKed everything",
		Caught: []string{"never-delivered"},
		Edits: []Edit{{
			coordinator + "acks.go",
			"\t\ts.release(p)\n\t\treturn\n\t}\n\ts.enqueue(p)\n",
			"\t\ts.release(p)\n\t\treturn\n\t}\n",
		}},
	},
	{
		Name: "redelivery-before-newer", Guarantee: "C6",
		Off:    "what a client held comes again after newer messages, not before",
		Caught: []string{"older-waits", "out-of-order"},
		Edits: []Edit{{
			coordinator + "lifecycle.go",
			"\t\t\tp.reclaim()\n",
			"\t\t\tagain := p.inFlight\n\t\t\tp.reclaim()\n" +
				"\t\t\tmessages := p.entries[p.head:]\n" +
				"\t\t\tcopy(messages, slices.Concat(messages[again:], messages[:again]))\n",
		}},
	},
	{
		Name: "redelivery-at-all", Guarantee: "at least once",
		Off:    "what a client held when it went isn't delivered again",
		Caught: []string{"never-delivered", "never-durable", "skipped"},
		Edits: []Edit{{
			coordinator + "lifecycle.go",
			"\t\t\tp.reclaim()\n",
			"\t\t\tlost := p.inFlight\n\t\t\tp.reclaim()\n\t\t\tp.take(lost, 1<<62, true)\n",
		}},
	},
	{
		Name: "clock-on-oldest", Guarantee: "C6",
		Off:    "any ACK restarts a client's clock, not only that of its oldest message",
		Caught: []string{"ack-timeout"},
		Edits: []Edit{{
			coordinator + "clock.go",
			"\tmoved := false\n",
			"\tmoved := true\n",
		}},
	},
	{
		Name: "clock-restarts", Guarantee: "C6",
		Off:    "the clock goes on when the oldest message is ACKed and another is the oldest",
		Caught: []string{"ack-timeout"},
		Edits: []Edit{{
			coordinator + "clock.go",
			"\tif moved {\n",
			"\tif moved && len(c.spans) == 0 {\n",
		}},
	},
	{
		Name: "withdrawn-is-told", Guarantee: "C1",
		Off:    "clients aren't told that partitions are gone whose messages they hold",
		Caught: []string{"out-of-order", "client-window", "two-holders"},
		Edits: []Edit{{
			coordinator + "partitions.go",
			"\ts.withdraw(held, 0)\n",
			"",
		}},
	},
	{
		Name: "time-to-ack-before-handover", Guarantee: "partitions move between proxies",
		Off:    "a partition that another server wants goes at once, and what is ACKed in the time that was promised doesn't count",
		Caught: []string{"promised-time"},
		Edits: []Edit{{
			coordinator + "partitions.go",
			"\t\t\theld = append(held, p)\n\t\t}\n\t}\n\ts.withdraw(held, e.TimeLeft)\n",
			"\t\t\theld = append(held, p)\n\t\t\ts.release(p)\n\t\t}\n\t}\n\ts.withdraw(held, e.TimeLeft)\n",
		}},
	},
	{
		Name: "close-before-reopen", Guarantee: "C8",
		Off:    "a subscription opens again while its last consumer is still closing",
		Caught: []string{"never-delivered", "position-went-back"},
		Edits: []Edit{{
			coordinator + "lifecycle.go",
			"\ts.phase = closing\n\ts.emit(CloseConsumer{})\n",
			"\ts.phase = idle\n\ts.emit(CloseConsumer{})\n",
		}},
	},
	{
		Name: "leave-when-nobody-is-connected", Guarantee: "C8",
		Off:    "a server whose last client has gone keeps the partitions",
		Caught: []string{"never-delivered"},
		Edits: []Edit{{
			coordinator + "lifecycle.go",
			"\tcase needed == nil && (s.phase == open || s.phase == opening):\n\t\ts.close()\n",
			"\tcase needed == nil && (s.phase == open || s.phase == opening) && s.draining:\n\t\ts.close()\n",
		}},
	},
	{
		Name: "byte-budget", Guarantee: "C7",
		Off:    "partitions aren't paused when the server holds more bytes than its budget",
		Caught: []string{"byte-budget"},
		Edits: []Edit{{
			coordinator + "delivery.go",
			"\t\tp.paused = true\n\t\ts.emit(PausePartition{p.TopicPartition})\n",
			"\t\tp.paused = true\n",
		}},
	},
	{
		Name: "end-of-memory-pressure", Guarantee: "C7",
		Off:    "partitions that were paused for the byte budget aren't resumed",
		Caught: []string{"never-delivered"},
		Edits: []Edit{{
			coordinator + "delivery.go",
			"\t\tp.paused = false\n\t\ts.emit(ResumePartition{p.TopicPartition})\n",
			"\t\tp.paused = false\n",
		}},
	},
}
