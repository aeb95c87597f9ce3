package report

// changes are what came of profiles, with what it was measured to bring. Unlike the tables
// it is written by hand: add to it what you change. Its lines are as long as those of
// other pages.
const changes = `## What profiles asked for

What each profile showed, what was changed, and what that brought where the two took turns in one run on two
cores, 100 B, 8 partitions, one client:

- *Allocation profile, both paths*: two thirds of the allocations were protobuf's. The server and the Go SDK encode
  and decode their frames themselves ([ADR 12](adr/0012-frames-by-hand.md)). In the benchmarks beside the code the
  consume path took 0.49 of the time, the produce path 0.59. Of the processor, a million messages took a producing
  SDK 1.5 s instead of 2.6 s, and a consuming one 1.0 s instead of 1.5 s.
- *CPU profile, both paths*: collecting garbage took a sixth of the time, tens of times a second, since hardly
  anything was in use. 64 MiB of garbage may gather now (` + "`server/memory`" + `). Proxy CPU a million messages: consume
  1.75 s to 1.25 s, produce 3.17 s to 2.59 s; messages a second: consume 442,000 to 506,000, produce 258,000 to
  293,000.
- *Scheduler trace, consume*: for a quarter of the time nothing was under way. Whoever ACKed all of a fetch waited for
  the commit, 6 ms, before the next. ACKs of a client that keeps up count for the window at once, while commits are
  prompt: 341,000 to 427,000 messages a second.
- *CPU profile, consume*: message ids took 11 %, in both directions. All but the last 12 characters are the same in a
  partition, and are made once. Room for a fetch in a partition's backlog is made once instead of twice for each
  doubling, and ACKs are looked through once.
- *CPU profile, both paths*: the compiler is told what is hot (` + "`make pgo`" + `). Consume: 1.17 s to 1.11 s.
- *Kafka's fetch requests, slow consumer*: the client sends its next request as soon as it hands a fetch out, often
  before the pump's pause is in force; that fetch was dropped and fetched again: 1.48 messages for each. The request
  that may come too early asks for one batch now, which is little unless batches are large: see the table.
- *Heap profile, idle consumers*: a joining client copied the subscription's hash ring twice, and kept the service's
  figures and a logger of its own: 41.3 KiB to 38.8 KiB. What a rush of clients leaves behind, stacks that are larger
  than needed among it, is collected some seconds later if the server is idle: 41 KiB to 18 KiB.
- *Scheduler trace, 1,000 messages/s*: fetched messages waited for the client's goroutines to write the next fetch
  request, 73 µs in the middle; they go first now. p50 of four runs each, in ms: 2.27, 2.28, 2.42, 1.96 before and
  1.94, 2.26, 1.78, 2.10 after. The Go SDK pinged the server for most frames that came, to find out how large its window
  should be; it is as large as it can be from the beginning: 2.20, 2.29, 2.06, 2.41 before and 2.17, 1.97, 1.97, 1.90
  after. The writer of a produce stream was woken twice for each message.
- *Scheduler trace, 1,000 messages/s, once more*: where the time between direct and proxy goes, in µs, medians of 2,000
  messages. From the moment when there is a message to read until it is on its way to Kafka: 70, of which 15 are for
  reading and routing it, and the rest is gRPC's reading and the Kafka client. From the moment when there is a fetch to
  read until its message is on its way to the client: 115, of which 30 are the Kafka client's, 15 the proxy's four
  hand-overs, and 47 pass until gRPC's writer has its turn, which lets others go first: those of the Kafka client, who
  prepare the next fetch. To hold these up halves that in the trace, and isn't seen in p50 (0.87 and 0.88 ms, 14 runs
  each). A proxy that has a single processor (GOMAXPROCS=1) is 0.04 ms faster here: so much takes it to wake idle ones.
  What a proxy must take is the floor under the latencies.
- *Scheduler trace, 20,000 messages/s*: of 92,000 times that something of the proxy could run, it waited for a
  processor for more than 0.16 ms one time in a hundred, and for 1.2 ms at most. So little of the tail is its own, and
  the ratio to the direct client's differs by more than the target leaves: 1.00, 1.40 and 1.71 in three runs on one
  day. The cores are busy for 66 % of the time, and for 50 % without the proxy. Nothing was changed.
- *Turns of the event loop and frames, Python SDK*: a consumer ACKed when the whole window was handled, and then it
  waited, for a third of the time; half of the window is ACKed while the rest is handled now: 393,000 to 420,000
  messages a second. To ask each message for its headers took a quarter of what a message took; a response is asked
  once: 480,000. To ask it for its other fields took as much; a response is decoded to lists of what all messages have
  in a field, from which messages are made: 600 ns for each in the SDK instead of 870. A producer's frames had 97
  messages; it waits for two turns of the loop while others are unanswered, and they have 250: 150,000 to 194,000.
- *Mutex and block profiles*: less than 1 % of the time is spent waiting for locks when consuming, and 3 % when
  producing. Nothing was changed.

Tried without a gain, and left: commits at least 20 ms apart, frames of 100 or 250 messages, larger write buffers in
gRPC, giving the places of answered messages back in groups in the SDK, 32 or 64 messages in an allocation of the Kafka
backend, and the Kafka client's pools of records and of decompressed data, as giving each record back takes as long as
collecting it. Not tried: the client can be told to fetch when it is polled only, and then nothing comes too early; but
it fetches from one Kafka broker at a time then, and one that has no messages would hold up the others.

`
