package mutants

const sdk = "sdk/go/"

// sdkMutants break what the SDK adds.
var sdkMutants = []Mutant{
	{
		Name: "sdk-unknown-outcome", Guarantee: "P3",
		Off:    "messages that a lost stream leaves unanswered are told as failed",
		Caught: []string{"failed-but-stored"},
		Edits: []Edit{{
			sdk + "producer_stream.go",
			`unknownOutcome("the stream was lost before the server answered", reason))`,
			`reason)`,
		}},
	},
	{
		Name: "sdk-resends-only-what-is-unsent", Guarantee: "P3",
		Off:    "messages that a lost stream leaves unanswered are sent again",
		Caught: []string{"stored-twice"},
		Edits: []Edit{{
			sdk + "producer_stream.go",
			"\tagain := reason.Code == CodeShuttingDown && !p.closed\n",
			"\tagain := !p.closed\n",
		}},
	},
	{
		Name: "sdk-resends-in-order", Guarantee: "in order",
		Off:    "what a server that shut down didn't store goes out again in reverse",
		Caught: []string{"produced-out-of-order"},
		Edits: []Edit{{
			sdk + "producer_stream.go",
			"\tfor _, m := range slices.Backward(messages) {\n",
			"\tfor _, m := range slices.All(messages) {\n",
		}},
	},
	{
		Name: "sdk-predecessor-returns-first", Guarantee: "the network between the SDK and the proxy breaks",
		Off:    "a partition's next handler begins on a new stream while that of the old one still runs",
		Caught: []string{"handlers-overlap"},
		Edits: []Edit{{
			sdk + "consumer.go",
			"\tc.lanes.purge(func(t task) bool { return t.partition.session == s })\n",
			"\tc.lanes.purge(func(t task) bool { return t.partition.session == s })\n\tclear(c.lanes.byPartition)\n",
		}},
	},
	{
		Name: "sdk-acks-after-the-handler", Guarantee: "at least once",
		Off:    "messages are ACKed when they come, not when they are handled",
		Caught: []string{"acked-unhandled"},
		Edits: []Edit{{
			sdk + "session.go",
			"\t\t\tm := &d.messages[i]\n",
			"\t\t\tm := &d.messages[i]\n\t\t\ts.ackLocked(from, m.ID)\n",
		}},
	},
	{
		Name: "sdk-acks-what-was-handled", Guarantee: "at least once",
		Off:    "a message whose handler fails for good is ACKed all the same",
		Caught: []string{"acked-unhandled"},
		Edits: []Edit{{
			sdk + "handler.go",
			"\tcase failed:\n\t\tc.stopLocked(err)\n",
			"\tcase failed:\n\t\tt.partition.session.ackLocked(t.partition, t.id)\n\t\tc.stopLocked(err)\n",
		}},
	},
}
