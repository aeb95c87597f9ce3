package mutants

// kafkaProducerMutants break how the Kafka backend stores messages, and what it
// says became of them.
var kafkaProducerMutants = []Mutant{
	{
		Name: "unknown-outcome", Guarantee: "P3",
		Off:    "a message whose answer was lost is told as failed",
		Caught: []string{"failed-but-stored"},
		Edits: []Edit{{
			kafka + "producer_outcome.go",
			"\t\treturn maybeStored(o, err)\n",
			"\t\treturn p.notStored(o, err)\n",
		}},
	},
	{
		Name: "ledger-of-lost-answers", Guarantee: "P3",
		Off:    "an answer that was lost is forgotten when a later attempt is answered",
		Caught: []string{"failed-but-stored"},
		Edits: []Edit{{
			kafka + "producer_ledger.go",
			"func(*wireState, wirePartition) bool { return true })",
			"func(*wireState, wirePartition) bool { return false })",
		}},
	},
	{
		Name: "refusals-that-leave-doubt", Guarantee: "P3",
		Off:    "whatever error a broker answers with counts as a refusal, also that of one that has written the message down",
		Caught: []string{"failed-but-stored"},
		Edits: []Edit{{
			kafka + "producer_ledger.go",
			"\treturn code != 0 && !refused\n",
			"\treturn code != 0 && !refused && false\n",
		}},
	},
	{
		Name: "idempotent-producer", Guarantee: "the proxy stores nothing twice",
		Off:    "the proxy's own retries aren't idempotent",
		Caught: []string{"stored-twice"},
		Edits: []Edit{{
			kafka + "producer_session.go",
			"kgo.AllowIdempotentProduceCancellation(), // see outgoing.Done",
			"kgo.DisableIdempotentWrite(),",
		}},
	},
	{
		Name: "held-messages-keep-their-place", Guarantee: "in order",
		Off:    "messages of a partition pass those that are held back because an answer is overdue",
		Caught: []string{"produced-out-of-order"},
		Edits: []Edit{{
			kafka + "producer_topic.go",
			" || l.blocked.Load() || l.doubts.Load()",
			" || l.doubts.Load()",
		}},
	},
}
