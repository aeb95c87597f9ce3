package report

// explanation closes the page. Its lines are as long as those of other pages.
const explanation = `## What is measured

Clients, servers and Kafka share the machine's cores, each in a process of its own, and each measurement has
a fresh client and a fresh server. What is compared takes turns, round by round, each round beginning with
another variant; a figure is the median of the rounds. *Spread* is the distance from the smallest to the
largest as a part of the median: differences below it are noise. Ratios are made of the two figures of the
same round, and the median is taken of them. The first sixth of the messages is warm-up. *Other combinations* have a
third of the messages. Kafka's container is on the machine's own network: the relay of Docker, which passes on
every byte otherwise, takes as much processor time as half of a Kafka.

**Throughput.** Values are text that compresses to about half; messages have no keys.

- *direct*: franz-go, without linger. Producing, 1,000 messages are unanswered, as with the proxy; with its
  *own buffer* as many as the library takes by default. Consuming, a group that commits every 1,000 messages,
  one commit at a time.
- *bare stream*: grpc-go with nothing behind it, on either side 100 messages a frame, 1,000 outstanding, a
  result or an ACK for each: what the protocol costs. The client is the very one that measures the proxy.
- *proxy, stubs*: the proxy with its defaults, and clients of the generated stubs that send 100 messages a
  frame, have 1,000 outstanding, and ACK whatever has gathered. As all clients in Go here, they tell gRPC how large
  its windows are: by default it finds that out with pings, which cost a client a tenth of its processor time.
- *proxy, Go SDK*: the same with the SDK's defaults.
- *limit*: what the protocol and Kafka leave possible where all share the cores: 1 / (1/direct + 1/bare). What
  is *of the limit* is judged by it. With direct's *own buffer* in the sum it is higher: more is outstanding
  there than the proxy lets a client have.
- *CPU* is the processor time, in user and kernel mode, of each process for a million messages. *Server* is
  the bare server or the proxy.

Every message is counted: producing, each has a receipt and Kafka has as many; consuming, none is missing from
its partition's order and every ACK is committed in the end. Otherwise the benchmark fails.

**Latency** counts from when a message was due by the schedule, not from when it was sent, until a consumer has
it: what holds up the sender counts too. Messages are sent once a millisecond, all that are due by then. Producer and
consumer are in one process; 8 partitions, 100 B.

**The SDKs of other languages** run in a process of their own too, each against stubs of the same language in the
same round; the program of each language is [here](../tools/bench/LOAD.md) in words. The callers, or the handler,
are the same for both. Half of the messages are warm-up, as these languages compile what runs often. Memory is the most in each quarter of a run with six times as many messages.

**Memory** is the server's resident memory when it has settled, less that with one stream, divided by the other
streams, 100 of them on a connection: what they have in the connections is part of it, and so is what an idle server
doesn't collect of the garbage of their coming, 16 MiB or an eighth of what is in use. Consumers share one
subscription with 8 partitions; each producer has had one message stored.

**The slow consumer** reads a long backlog and ACKs at a steady rate. The messages that came from Kafka are
counted in the proxy's Kafka client; it is the proxy composed in the benchmark's own program. *Different ones*
are those that were delivered or are still to be. *Outstanding* is what was fetched of a partition beyond its
committed position, looked at ten times a second. With one partition the backlog's batches are largest, seven
thousand messages of 100 B: the one that is fetched too early now and then is the surplus.

**Clients come and go**: the time until the last client was told its partitions, and how many partitions
changed their owner, against the least for which no two clients differ by more than one partition. The
direct client is franz-go alone in a group, until it is given all partitions: the proxy has to do that too.

**Where the proxy's time goes** adds up a processor profile under the loads of the stubs: a function of Go's
libraries counts for whom it was called by. The server is the one of the slow consumer, and profiles its locks too.

To measure again: ` + "`make bench`" + ` writes this page, with Kafka in a container (Docker is needed);
` + "`go run ./tools/cmd/bench -help`" + ` lists what else there is.
`
