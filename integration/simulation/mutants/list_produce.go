package mutants

const produce = "server/internal/produce/"

// produceMutants break what the server does for streams that produce.
var produceMutants = []Mutant{
	{
		Name: "server-owned-context", Guarantee: "P1",
		Off:    "a stream's context reaches the broker's client, so that a stream that is cancelled fails others' messages",
		Caught: []string{"failed-without-cause"},
		Edits: []Edit{
			{
				"broker/message.go",
				"type OutgoingMessage struct {\n",
				"type OutgoingMessage struct {\n\tContext interface {\n\t\tDeadline() (time.Time, bool)\n" +
					"\t\tDone() <-chan struct{}\n\t\tErr() error\n\t\tValue(any) any\n\t}\n",
			},
			{
				produce + "reader.go",
				"\t\tp.message = m.ForBroker()\n",
				"\t\tp.message = m.ForBroker()\n\t\tp.message.Context = s.client.Context()\n",
			},
			{
				kafka + "producer.go",
				"\to.Context = p.clock.contextLocked(now)\n",
				"\to.Context = p.clock.contextLocked(now)\n\tif o.message.Context != nil {\n\t\to.Context = o.message.Context\n\t}\n",
			},
		},
	},
	{
		Name: "silence-is-unknown", Guarantee: "P3",
		Off:    "a message that the broker doesn't answer in time is told as failed",
		Caught: []string{"failed-but-stored"},
		Edits: []Edit{{
			produce + "stream.go",
			"\ts.giveUpLocked(wire.NewError(messageproxyv1.ErrorCode_ERROR_CODE_UNKNOWN_OUTCOME, true,\n\t\t\"the broker has not",
			"\ts.giveUpLocked(wire.NewError(messageproxyv1.ErrorCode_ERROR_CODE_BROKER_UNAVAILABLE, true,\n\t\t\"the broker has not",
		}},
	},
	{
		Name: "drain-cuts-off-as-unknown", Guarantee: "P3",
		Off:    "what the drain timeout cuts off is told as not stored, though it is on its way to Kafka",
		Caught: []string{"failed-but-stored", "stored-twice"},
		Edits: []Edit{{
			produce + "stream.go",
			"\ts.giveUpLocked(wire.NewError(messageproxyv1.ErrorCode_ERROR_CODE_UNKNOWN_OUTCOME, true,\n\t\t\"the server shuts",
			"\ts.giveUpLocked(wire.NewError(messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN, true,\n\t\t\"the server shuts",
		}},
	},
	{
		Name: "every-message-is-answered", Guarantee: "P3",
		Off:    "a stream that is half-closed, or drained, ends before all its messages are answered",
		Caught: []string{"no-result"},
		Edits: []Edit{{
			produce + "writer.go",
			"\ts.over = ending && !s.feeding && s.outstanding == s.sending\n",
			"\ts.over = ending && !s.feeding\n",
		}},
	},
	{
		Name: "one-result", Guarantee: "P3",
		Off:    "a message that was given up gets a second result when the broker answers after all",
		Caught: []string{"two-results"},
		Edits: []Edit{{
			produce + "pending.go",
			"\tif p.answered {\n\t\treturn // the deadline, or the drain's end, has been faster\n\t}\n\ts.unanswered.remove(p)\n",
			"\tif p.answered {\n\t\ts.outstanding++\n\t} else {\n\t\ts.unanswered.remove(p)\n\t}\n",
		}},
	},
}
