//go:build synctests

package simulation

import (
	"fmt"
	"time"

	"pgregory.net/rapid"
)

// Plans are drawn at random, and each has its own taste: of the kinds of steps that
// there are, it has some often, some rarely, some never. Plans that have a bit of
// everything are all alike, and in most of them nothing gets far enough to break.

// plans draws a plan.
var plans = rapid.Custom(drawPlan)

// planNumber returns the plan of a number: always the same one.
func planNumber(n int) Plan { return plans.Example(n) }

// drawing is a plan that is being drawn.
type drawing struct {
	*rapid.T
	plan      Plan
	consumers []string
	producers []string
	// calm: proxies and Kafka are left alone, so that nothing of what they do is
	// forgiven.
	calm bool
}

func drawPlan(t *rapid.T) Plan {
	d := &drawing{T: t}
	d.calm = d.chance("calm", 4)
	d.plan = Plan{
		Seed:     int64(d.intn("seed", 1, 1_000_000)),
		Proxies:  choose(d, "proxies", 1, 2, 2),
		Brokers:  choose(d, "brokers", 1, 2, 3),
		Settings: d.settings(),
	}
	d.topics()
	d.subscriptions()
	for i := range d.intn("consumers", 1, 5) {
		d.consumers = append(d.consumers, fmt.Sprintf("c%d", i+1))
	}
	for i := range d.intn("producers", 1, 3) {
		d.producers = append(d.producers, string(rune('a'+i)))
	}
	d.steps()
	return d.plan
}

// choose draws one of several values. Those that are given more than once come more
// often.
func choose[V any](d *drawing, label string, values ...V) V {
	return values[d.intn(label, 0, len(values)-1)]
}

// intn draws evenly from low to high, which may be up to 1,000 apart. (rapid's own
// generators prefer small numbers, so that rare kinds of steps would hardly ever
// come.)
func (d *drawing) intn(label string, low, high int) int {
	const bits = 16
	n := 0
	for range bits {
		n *= 2
		if rapid.Bool().Draw(d.T, label) {
			n++
		}
	}
	return low + n*(high-low+1)>>bits
}

// chance is true once in n.
func (d *drawing) chance(label string, n int) bool { return d.intn(label, 1, n) == n }

// settings are small, so that limits are reached by few messages in little time.
func (d *drawing) settings() Settings {
	return Settings{
		Window:          choose(d, "window", 0, 1, 3, 10, 30),
		WindowBytes:     choose(d, "window bytes", 0, 0, 0, 500, 5000),
		PartitionWindow: choose(d, "partition window", 0, 1, 4, 10, 30),
		BufferedBytes:   choose(d, "buffered bytes", 0, 0, 0, 300, 3000),
		AckTimeout:      choose(d, "ack timeout", 2*time.Second, 5*time.Second, 10*time.Second, 20*time.Second),
		HandoverTimeout: choose(d, "handover timeout", 0, time.Second, 3*time.Second),
		EvictionGrace:   choose(d, "eviction grace", 0, time.Second, 3*time.Second),
		CloseTimeout:    choose(d, "close timeout", 0, 2*time.Second),
		CommitInterval:  choose(d, "commit interval", 0, 20*time.Millisecond, 300*time.Millisecond, time.Second),
		CommitMessages:  choose(d, "commit messages", 0, 1, 5, 20),
		SessionTimeout:  choose(d, "session timeout", 0, 0, 10*time.Second, 30*time.Second),
		ProduceTimeout:  choose(d, "produce timeout", 0, time.Second, 5*time.Second),
		Outstanding:     choose(d, "outstanding", 0, 1, 5, 20),
		DrainTimeout:    choose(d, "drain timeout", 0, time.Second, 5*time.Second),
	}
}

var topicNames = []string{"orders", "events"}

func (d *drawing) topics() {
	for _, name := range topicNames[:choose(d, "topics", 1, 1, 2)] {
		d.plan.Topics = append(d.plan.Topics, Topic{
			Name: name, Partitions: choose(d, "partitions", 1, 2, 3, 6), Compacted: d.chance("compacted", 5),
		})
	}
}

func (d *drawing) subscriptions() {
	for _, name := range []string{"billing", "audit"}[:choose(d, "subscriptions", 1, 1, 1, 2)] {
		topics := []string{d.topic()}
		if len(d.plan.Topics) > 1 && d.chance("all topics", 2) {
			topics = topicNames
		}
		d.plan.Subscriptions = append(d.plan.Subscriptions, Subscription{
			Name: name, Topics: topics, Latest: d.chance("latest", 5),
		})
	}
}

func (d *drawing) topic() string {
	return d.plan.Topics[d.intn("topic", 0, len(d.plan.Topics)-1)].Name
}

func (d *drawing) subscription() string {
	return d.plan.Subscriptions[d.intn("subscription", 0, len(d.plan.Subscriptions)-1)].Name
}

func (d *drawing) partition(topic string) int {
	for _, t := range d.plan.Topics {
		if t.Name == topic {
			return d.intn("partition", 0, t.Partitions-1)
		}
	}
	return 0
}

func (d *drawing) consumer() string {
	return d.consumers[d.intn("consumer", 0, len(d.consumers)-1)]
}

func (d *drawing) producer() string {
	return d.producers[d.intn("producer", 0, len(d.producers)-1)]
}

func (d *drawing) proxy() string  { return fmt.Sprintf("p%d", d.intn("proxy", 1, d.plan.Proxies)) }
func (d *drawing) broker() string { return fmt.Sprintf("b%d", d.intn("broker", 0, d.plan.Brokers-1)) }

// step draws one kind of step.
type step struct {
	draw func(d *drawing) Action
	// weights are how often it comes, compared with others; one of them in a plan.
	weights []int
}

var kindsOfSteps = []step{
	{(*drawing).produce, []int{20, 40}},
	{(*drawing).endProducer, []int{0, 2, 6}},
	{(*drawing).transact, []int{0, 0, 5}},
	{(*drawing).consume, []int{15, 30}},
	{(*drawing).behave, []int{0, 5, 10}},
	{(*drawing).endConsumer, []int{0, 5, 20}},
	{(*drawing).disturb, []int{0, 0, 5, 20}},
	{(*drawing).requests, []int{0, 0, 10, 30}},
	{(*drawing).moveLeader, []int{0, 0, 5}},
	{(*drawing).moveCoordinators, []int{0, 0, 5}},
	{(*drawing).kick, []int{0, 0, 5}},
	{(*drawing).expire, []int{0, 0, 0, 5}},
	{(*drawing).compact, []int{0, 5}},
	{(*drawing).addPartitions, []int{0, 0, 0, 3}},
	{(*drawing).recreate, []int{0, 0, 0, 0, 0, 3}},
	{(*drawing).start, []int{5}},
	{(*drawing).drain, []int{0, 0, 5}},
	{(*drawing).kill, []int{0, 0, 5}},
	{(*drawing).freeze, []int{0, 0, 5}},
}

// steps begin with consumers and messages, so that what follows finds something.
func (d *drawing) steps() {
	var wheel []step
	for i, kind := range kindsOfSteps {
		for range choose(d, fmt.Sprintf("weight %d", i), kind.weights...) {
			wheel = append(wheel, kind)
		}
	}
	var at time.Duration
	add := func(a Action) { d.plan.Steps = append(d.plan.Steps, Step{At: at, Action: a}) }
	add(d.consume())
	add(d.produce())
	pace := choose(d, "pace", 20*time.Millisecond, 200*time.Millisecond, time.Second) // between steps, about
	for range d.intn("steps", minSteps, maxSteps) {
		at += (pace * time.Duration(d.intn("pause", 0, 1000)) / 500).Round(time.Millisecond)
		if a := choose(d, "step", wheel...).draw(d); !d.calm || !disturbs(a, d.plan.Settings) {
			add(a)
		}
	}
	d.scene(at)
}

// minSteps and maxSteps bound how long plans are.
const (
	minSteps = 3
	maxSteps = 40
)

func (d *drawing) produce() Action {
	a := Produce{
		Client: d.producer(), SDK: d.chance("sdk", 2), Topic: d.topic(), Count: choose(d, "count", 1, 3, 10, 10, 30, 100),
		Keys: choose(d, "keys", 0, 1, 4), Explicit: d.chance("explicit", 2), Size: choose(d, "size", 0, 0, 0, 0, 200, 2000, 70_000),
		Proxy: d.proxy(),
	}
	if a.Size >= 10_000 {
		a.Count = min(a.Count, 3) // much to copy, and little to learn
	}
	return a
}

func (d *drawing) endProducer() Action {
	return EndProducer{Client: d.producer(), How: choose(d, "end", HalfClose, Cancel, StopReading)}
}

func (d *drawing) transact() Action {
	return Transact{
		Topic: d.topic(), Count: d.intn("count", 1, 10), Abort: d.chance("abort", 2),
		Open: choose(d, "open", 0, 0, time.Second, 5*time.Second),
	}
}

func (d *drawing) consume() Action {
	a := Consume{
		Client: d.consumer(), SDK: d.chance("sdk", 3), Subscription: d.subscription(), Proxy: d.proxy(),
		Window: choose(d, "window", 0, 0, 1, 5), AckTimeout: choose(d, "ack timeout", 0, 0, 0, time.Second, 30*time.Second),
		Delay: choose(d, "delay", 0, 20*time.Millisecond, time.Second), Again: d.chance("again", 2),
	}
	a.Manner = d.manner(a.SDK)
	if a.SDK {
		a.KeyWorkers = choose(d, "key workers", 0, 0, 3)
	}
	return a
}

func (d *drawing) manner(sdk bool) Manner {
	if sdk {
		return choose(d, "manner", Fast, Fast, Slow, Stuck, Stubborn, Failing)
	}
	return choose(d, "manner", Fast, Fast, Slow, Slow, Stuck, Shuffled, Shuffled, AllButOne, Giant, Foreign, Deaf)
}

func (d *drawing) behave() Action {
	return Behave{Client: d.consumer(), Manner: d.manner(d.chance("sdk", 3)), Delay: choose(d, "delay", 0, 20*time.Millisecond, time.Second)}
}

func (d *drawing) endConsumer() Action {
	return EndConsumer{Client: d.consumer(), How: choose(d, "end", Close, Cut, Vanish, HalfCloseConsumer, Leave, Stop)}
}

func (d *drawing) disturb() Action {
	return Disturb{
		Node:  choose(d, "node", d.consumer(), d.producer(), d.proxy(), d.broker(), d.broker()),
		How:   choose(d, "how", Reset, Refused, Stalled, Delayed, Throttled),
		For:   choose(d, "for", 500*time.Millisecond, 3*time.Second, 8*time.Second, 20*time.Second, 0),
		Delay: choose(d, "delay", 0, 20*time.Millisecond, 200*time.Millisecond, 4*time.Second),
		Rate:  choose(d, "rate", 0, 1000, 100_000),
	}
}

func (d *drawing) requests() Action {
	if d.calm {
		return Requests{
			API: ProduceAPI, Effect: SlowAnswer, Count: choose(d, "count", 1, 3), Delay: choose(d, "delay", 50*time.Millisecond, 200*time.Millisecond, time.Second),
		}
	}
	a := Requests{
		API: choose(d, "api", ProduceAPI, ProduceAPI, FetchAPI, FetchAPI, ListOffsets, Metadata, Commit, Commit, Commit, FetchPositions,
			Coordinator, Join, Sync, Heartbeat, LeaveGroup, InitProducer),
		Effect: choose(d, "effect", Fail, LoseAnswer, NoAnswer, SlowAnswer, Late, Break),
		Count:  choose(d, "count", 0, 1, 3, 10),
		For:    choose(d, "for", 0, time.Second, 5*time.Second, 15*time.Second),
		Delay:  choose(d, "delay", 0, 100*time.Millisecond, time.Second, 12*time.Second, 15*time.Second),
	}
	if a.API == ProduceAPI && a.Effect == Fail {
		a.Error = choose(d, "error", "", "", "POLICY_VIOLATION", "NOT_ENOUGH_REPLICAS_AFTER_APPEND")
	}
	if d.chance("of one proxy", 2) {
		a.Proxy = d.proxy()
	}
	return a
}

func (d *drawing) moveLeader() Action {
	topic := d.topic()
	return MoveLeader{Topic: topic, Partition: d.partition(topic), Broker: d.broker()}
}

func (d *drawing) moveCoordinators() Action { return MoveCoordinators{Times: d.intn("times", 1, 5)} }

func (d *drawing) kick() Action { return Kick{Proxy: d.proxy(), Subscription: d.subscription()} }

func (d *drawing) expire() Action {
	topic := d.topic()
	return Expire{Topic: topic, Partition: d.partition(topic), Keep: choose(d, "keep", 0, 1, 5, 20)}
}

func (d *drawing) compact() Action { return Compact{} }

func (d *drawing) addPartitions() Action {
	return AddPartitions{Topic: d.topic(), Count: d.intn("count", 1, 3)}
}

func (d *drawing) recreate() Action {
	return Recreate{Topic: d.topic(), Gap: choose(d, "gap", 0, time.Second, 8*time.Second)}
}

func (d *drawing) start() Action { return Start{Proxy: d.proxy()} }
func (d *drawing) drain() Action { return Drain{Proxy: d.proxy()} }
func (d *drawing) kill() Action  { return Kill{Proxy: d.proxy()} }

func (d *drawing) freeze() Action {
	return Freeze{Proxy: d.proxy(), For: choose(d, "for", time.Second, 8*time.Second, 25*time.Second)}
}
