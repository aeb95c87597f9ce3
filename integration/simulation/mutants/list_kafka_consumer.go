package mutants

const (
	kafka  = "broker-kafka/"
	prefix = "broker-kafka/internal/prefix/prefix.go"
)

// The two halves of the gate for consumers that come back as another member.
var (
	commitForAnyMember = Edit{
		kafka + "consumer_commit.go",
		"\t\tif p.member == current.member && p.needsCommit() {\n",
		"\t\tif p.needsCommit() {\n",
	}
	keepWhatIsStale = Edit{
		kafka + "consumer_rebalance.go",
		"\tif len(stale) == 0 {\n",
		"\tif true {\n",
	}
)

var noCommitOnRevoke = Edit{
	kafka + "consumer_rebalance.go",
	"\tif err := c.flush(ctx, ps); err != nil && c.ctx.Err() == nil {\n",
	"\tif err := ctx.Err(); err != nil {\n",
}

// kafkaConsumerMutants break how the Kafka backend makes ACKs durable and follows
// its assignment.
var kafkaConsumerMutants = []Mutant{
	{
		Name: "commit-gate-after-revoke", Guarantee: "C3",
		Off:    "ACKs of partitions that are gone are still committed",
		Caught: []string{"position-went-back"},
		Edits: []Edit{
			{
				kafka + "consumer_rebalance.go",
				"\t\tdelete(c.partitions, p.id)\n",
				"",
			},
			commitForAnyMember, keepWhatIsStale,
		},
	},
	{
		Name: "commit-gate-after-being-thrown-out", Guarantee: "C3",
		Off:    "a consumer that Kafka had thrown out goes on with its partitions when it joins again",
		Caught: []string{"position-went-back"},
		Rare:   true,
		Edits:  []Edit{commitForAnyMember, keepWhatIsStale},
	},
	{
		Name: "one-commit-in-flight", Guarantee: "C3",
		Off:    "the next commit is sent although an earlier one may still be carried out",
		Caught: []string{"position-went-back"},
		Edits: []Edit{{
			kafka + "consumer_commit.go",
			"\tif s.doubtful == (membership{}) {\n",
			"\tif true {\n",
		}},
	},
	{
		Name: "failed-commits-are-tried-again", Guarantee: "C9",
		Off:    "a commit that failed isn't tried again",
		Caught: []string{"never-durable"},
		Edits: []Edit{{
			kafka + "consumer_commit.go",
			"\tc.retryCommitLocked()\n\tc.log.Debug(\"a commit failed\", \"error\", err)\n",
			"\tc.log.Debug(\"a commit failed\", \"error\", err)\n",
		}},
	},
	{
		Name: "final-commit-on-leave", Guarantee: "C8",
		Off:    "the ACKs of the last seconds aren't committed when the last client has gone",
		Caught: []string{"acked-comes-again"},
		Edits: []Edit{
			{
				kafka + "consumer_close.go",
				"\terr := c.lastFlush(ctx, ps)\n",
				"\terr := ctx.Err()\n",
			},
			noCommitOnRevoke, // leaving the group revokes, too
		},
	},
	{
		Name: "final-commit-on-revoke", Guarantee: "C3",
		Off:    "the ACKs of the last seconds aren't committed when a partition goes to another server",
		Caught: []string{"acked-comes-again"},
		Edits:  []Edit{noCommitOnRevoke},
	},
	{
		Name: "prefix-of-acked", Guarantee: "C3",
		Off:    "the position is behind the last message ACKed, not before the first that isn't",
		Caught: []string{"unacked-below-position"},
		Edits: []Edit{{
			prefix,
			"\tfor t.acked < t.length && t.at(t.acked).isAcked() {\n\t\tt.acked++\n\t}\n",
			"\tt.acked = max(t.acked, i+1)\n",
		}},
	},
	{
		Name: "prefix-in-delivery-order", Guarantee: "C3",
		Off:    "the position waits for offsets that were never delivered: compacted, or those of transaction markers",
		Caught: []string{"never-durable"},
		Edits: []Edit{{
			prefix,
			"\tfor t.acked < t.length && t.at(t.acked).isAcked() {\n",
			"\tfor t.acked < t.length && t.at(t.acked).isAcked() && (t.acked == 0 || t.at(t.acked).offset() == t.at(t.acked-1).offset()+1) {\n",
		}},
	},
	{
		Name: "resume-after-regain", Guarantee: "C7",
		Off:    "a partition that was paused when it was lost stays paused when it comes back",
		Caught: []string{"never-delivered"},
		Edits: []Edit{{
			kafka + "consumer_rebalance.go",
			"\t\tp.pauses = 0\n\t\tc.applyPausesLocked(p)\n",
			"",
		}},
	},
	{
		Name: "partition-window", Guarantee: "C7",
		Off:    "a partition is fetched whatever is outstanding of it",
		Caught: []string{"partition-window"},
		Edits: []Edit{{
			kafka + "consumer_partition.go",
			"\tif p.isHeldBack() {\n\t\treturn\n\t}\n\tp.pauses.set(pausedByWindow, true)\n",
			"\tif p.isHeldBack() || true {\n\t\treturn\n\t}\n\tp.pauses.set(pausedByWindow, true)\n",
		}},
	},
	{
		Name: "latest-is-written-down", Guarantee: "C8",
		Off:    "a subscription that starts at the latest message doesn't write its start down",
		Caught: []string{"never-delivered"},
		Edits: []Edit{{
			kafka + "consumer_start.go",
			"{latest, endOffset, true}} {",
			"{latest, endOffset, false}} {",
		}},
	},
	{
		Name: "latest-begins-once", Guarantee: "C8",
		Off:    "a partition without a position begins at the latest although the subscription began before",
		Caught: []string{"never-delivered"},
		Edits: []Edit{{
			kafka + "consumer_start.go",
			"\t\t\tif number < began[topic] {\n",
			"\t\t\tif true || number < began[topic] {\n",
		}},
	},
	{
		Name: "expired-is-not-skipped-over", Guarantee: "C9",
		Off:    "a position that retention has passed goes to the end of the partition",
		Caught: []string{"never-delivered", "skipped"},
		Edits: []Edit{{
			kafka + "consumer.go",
			"kgo.ConsumeResetOffset(kgo.NoResetOffset()),",
			"kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()),",
		}},
	},
	{
		Name: "read-committed", Guarantee: "transactions",
		Off:    "messages of aborted transactions are delivered",
		Caught: []string{"not-in-log"},
		Edits: []Edit{{
			kafka + "consumer.go",
			"kgo.FetchIsolationLevel(kgo.ReadCommitted()),",
			"kgo.FetchIsolationLevel(kgo.ReadUncommitted()),",
		}},
	},
}
