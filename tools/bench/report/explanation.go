package report

// explanation closes the page.
const explanation = `## What is measured

Clients, servers and Kafka share the machine's cores, each in a process of its own, and each measurement has
a fresh client and a fresh server. What is compared takes turns, round by round, each round beginning with
another variant; a figure is the median of the rounds. *Spread* is the distance from the smallest to the
largest as a part of the median: differences below it are noise. Ratios are made of the two figures of the
same round, and the median is taken of them. What comes before the first sixth of the messages is warm-up.

- **direct**: franz-go, without linger. Producing, 1,000 messages are unanswered, as with the proxy; with its
  *own buffer* as many as the library takes by default. Consuming, a group that commits every 1,000 messages,
  one commit at a time.
- **bare stream**: grpc-go with nothing behind it, on either side 100 messages a frame, 1,000 outstanding, a
  result or an ACK for each: what the protocol costs. The client is the very one that measures the proxy.
- **proxy, stubs**: the proxy with its defaults, and clients of the generated stubs that send 100 messages a
  frame, have 1,000 outstanding and ACK what has gathered.
- **proxy, Go SDK**: the same with the SDK's defaults.
- **limit**: what the protocol and Kafka leave possible where all share the cores: 1 / (1/direct + 1/bare).
- Values are text that compresses to about half, and messages have no keys.

Every message is counted: producing, each has a receipt and Kafka has as many; consuming, none is missing from
its partition's order and every ACK is committed in the end. Otherwise the benchmark fails.
`
