//go:build synctests

package simulation

import (
	"slices"
	"time"
)

// A scene is a few steps that hang together: random steps rarely come upon what it
// takes for some rules to matter, such as a commit that is late, from a member that is
// still one, while others go on. Its clients are its own, its subscription may be; all
// around it the plan goes on at random.
type scene func(d *drawing) []Step

var scenes = []scene{
	deafAndBack, allButOne, oneByOne, lateCommit, frozenWithACKs, doubtThenRefusal, cancelledBesideOthers, regainedWhilePaused,
	latestWithoutACK, lastOneLeaves, handedToAnotherProxy, drainedWhileSlow, cutWhileSlow, expiredMeanwhile, stubbornHandler,
	movedAfterAnAnswerIsLate, morePartitions, fullWindow,
	commitRefused,
}

const sceneSubscription = "scene"

// scene adds one to half of the plans.
func (d *drawing) scene(within time.Duration) {
	if d.chance("scene", 2) {
		return
	}
	var begin time.Duration // before anything is disturbed, more often than not
	if d.chance("later", 3) {
		begin = (within * time.Duration(d.intn("begin of scene", 0, 1000)) / 1000).Round(time.Millisecond)
	}
	d.play(choose(d, "which scene", scenes...), begin)
}

// play adds a scene, and time for what follows from it.
func (d *drawing) play(s scene, begin time.Duration) {
	const afterwards = 3 * time.Second
	for _, step := range s(d) {
		step.At += begin
		if !d.calm || !disturbs(step.Action, d.plan.Settings) {
			d.plan.Steps = append(d.plan.Steps, step)
		}
		d.plan.Lasts = max(d.plan.Lasts, step.At+afterwards)
	}
}

// ownSubscription makes a subscription that has no clients but the scene's.
func (d *drawing) ownSubscription(latest bool) string {
	d.plan.Subscriptions = append(d.plan.Subscriptions, Subscription{
		Name: sceneSubscription, Topics: []string{d.plan.Topics[0].Name}, Latest: latest,
	})
	return sceneSubscription
}

func at(t time.Duration, a Action) Step { return Step{At: t, Action: a} }

// messages of a scene go to every partition of the first topic.
func (d *drawing) messages(client string, count int) Produce {
	return Produce{Client: client, Topic: d.plan.Topics[0].Name, Count: count, Keys: 1, Explicit: true}
}

// trickle sends a few messages again and again.
func (d *drawing) trickle(from, every time.Duration, times int) []Step {
	var steps []Step
	for range times {
		steps = append(steps, at(from, d.messages("y", 3)))
		from += every
	}
	return steps
}

// deafAndBack: a client that doesn't read is thrown out while much is on its way to
// it, and reads then.
func deafAndBack(d *drawing) []Step {
	large := d.messages("y", 30)
	large.Size = 70_000
	settings := &d.plan.Settings
	settings.Window, settings.WindowBytes, settings.PartitionWindow, settings.BufferedBytes, settings.EvictionGrace = 0, 0, 0, 0, 0
	s := d.subscription()
	return []Step{
		at(0, Consume{Client: "x", Subscription: s, Manner: Deaf, AckTimeout: time.Second, Proxy: "p1"}),
		at(0, Consume{Client: "z", Subscription: s, Manner: Fast, Again: true, Proxy: "p1"}),
		at(100*time.Millisecond, large),
		at(1200*time.Millisecond+choose(d, "after", 0, 300*time.Millisecond, time.Second), Behave{Client: "x", Manner: choose(d, "then", Fast, Stuck)}),
	}
}

// allButOne: a client ACKs everything but one message.
func allButOne(d *drawing) []Step {
	c := Consume{Client: "x", Subscription: d.ownSubscription(false), Manner: AllButOne, AckTimeout: choose(d, "timeout", time.Second, 2*time.Second)}
	d.plan.Settings.Window, d.plan.Settings.PartitionWindow, d.plan.Settings.EvictionGrace = 0, 0, time.Second
	return append(d.trickle(100*time.Millisecond, 400*time.Millisecond, 14), at(0, c))
}

// oneByOne: a client takes longer for all than for each.
func oneByOne(d *drawing) []Step {
	return []Step{
		at(0, Consume{Client: "x", Subscription: d.ownSubscription(false), Manner: Slow, Delay: 300 * time.Millisecond, AckTimeout: time.Second, Proxy: "p1"}),
		at(100*time.Millisecond, d.messages("y", 10)),
	}
}

// lateCommit: a commit is carried out long after its sender has given it up.
func lateCommit(d *drawing) []Step {
	d.plan.Settings.SessionTimeout = 30 * time.Second
	d.plan.Settings.CommitInterval = 300 * time.Millisecond
	steps := d.trickle(time.Second, time.Second, 16)
	return append(steps,
		at(0, Consume{Client: "x", Subscription: d.ownSubscription(false), Manner: Fast, Again: true, Proxy: "p1"}),
		at(500*time.Millisecond, Requests{API: Commit, Effect: Late, Delay: choose(d, "late", 11*time.Second, 13*time.Second)}))
}

// frozenWithACKs: a proxy that has ACKs to commit is frozen, and another goes on.
func frozenWithACKs(d *drawing) []Step {
	d.plan.Proxies = 2
	d.plan.Settings.CommitInterval, d.plan.Settings.CommitMessages, d.plan.Settings.SessionTimeout = 0, 0, 0
	d.plan.Topics[0].Partitions = 6
	s := d.ownSubscription(false)
	more := d.messages("y", 40)
	more.Proxy = "p2"
	return []Step{
		at(0, Consume{Client: "x", Subscription: s, Manner: Fast, Again: true, Proxy: "p1"}),
		at(0, Consume{Client: "z", Subscription: s, Manner: Fast, Again: true, Proxy: "p2"}),
		at(8*time.Second, more),
		at(8500*time.Millisecond, Freeze{Proxy: "p1", For: choose(d, "frozen", 10*time.Second, 20*time.Second)}),
		at(14*time.Second, more),
		at(20*time.Second, more),
		at(40*time.Second, more),
	}
}

// doubtThenRefusal: an answer is lost, and the next attempt is refused.
func doubtThenRefusal(d *drawing) []Step {
	d.plan.Settings.ProduceTimeout = 0
	doubt := choose(d, "doubt", Requests{API: ProduceAPI, Effect: LoseAnswer},
		Requests{API: ProduceAPI, Effect: Fail, Error: "NOT_ENOUGH_REPLICAS_AFTER_APPEND", Count: 1})
	return []Step{
		at(0, d.messages("y", 3)),
		at(300*time.Millisecond, doubt),
		at(300*time.Millisecond, d.messages("y", 10)),
		at(310*time.Millisecond, Requests{API: ProduceAPI, Effect: Fail, Error: choose(d, "refusal", "INVALID_RECORD", "TOPIC_AUTHORIZATION_FAILED"), For: 15 * time.Second}),
	}
}

// cancelledBesideOthers: a stream is cancelled while messages of several wait for
// Kafka.
func cancelledBesideOthers(d *drawing) []Step {
	d.plan.Settings.ProduceTimeout = 0
	return []Step{
		at(0, d.messages("y", 3)),
		at(300*time.Millisecond, Requests{API: ProduceAPI, Effect: SlowAnswer, Delay: choose(d, "slow", 500*time.Millisecond, time.Second)}),
		at(310*time.Millisecond, d.messages("y", 5)),
		at(320*time.Millisecond, d.messages("x", 5)),
		at(330*time.Millisecond, d.messages("z", 5)),
		at(400*time.Millisecond, EndProducer{Client: "x", How: Cancel}),
		at(450*time.Millisecond, d.messages("y", 5)),
	}
}

// regainedWhilePaused: partitions that are paused go to another proxy, and come back.
func regainedWhilePaused(d *drawing) []Step {
	d.plan.Proxies = 2
	d.plan.Settings.PartitionWindow = 4
	d.plan.Settings.HandoverTimeout = time.Second
	s := d.ownSubscription(false)
	return []Step{
		at(0, Consume{Client: "x", Subscription: s, Manner: Stuck, Again: true, Proxy: "p1", AckTimeout: time.Minute}),
		at(4*time.Second, d.messages("y", 100)),
		at(5*time.Second, Consume{Client: "z", Subscription: s, Manner: Stuck, Proxy: "p2"}),
		at(15*time.Second, EndConsumer{Client: "z", How: Close}),
		at(20*time.Second, Behave{Client: "x", Manner: Fast}),
	}
}

// latestWithoutACK: a subscription begins at the latest, and everybody goes before
// anything is ACKed.
func latestWithoutACK(d *drawing) []Step {
	s := d.ownSubscription(true)
	return []Step{
		at(0, d.messages("y", 10)),
		at(500*time.Millisecond, Consume{Client: "x", Subscription: s, Manner: Stuck, Proxy: "p1"}),
		at(5*time.Second, d.messages("y", 10)),
		at(5200*time.Millisecond, EndConsumer{Client: "x", How: choose(d, "end", Close, Cut, HalfCloseConsumer)}),
		at(6*time.Second, d.messages("y", 5)),
		at(7*time.Second, Consume{Client: "z", Subscription: s, Manner: Fast, Again: true}),
	}
}

// lastOneLeaves: the last client leaves with everything ACKed; another comes at once,
// or later.
func lastOneLeaves(d *drawing) []Step {
	d.plan.Settings.CommitInterval, d.plan.Settings.CommitMessages = 0, 0
	s := d.ownSubscription(d.chance("latest", 3))
	steps := []Step{
		at(0, Consume{Client: "x", Subscription: s, Manner: Fast, Proxy: "p1"}),
		at(6*time.Second, d.messages("y", 20)),
		at(6300*time.Millisecond, EndConsumer{Client: "x", How: choose(d, "end", Leave, Close, HalfCloseConsumer)}),
		at(6300*time.Millisecond+choose(d, "then", 0, 100*time.Millisecond, 2*time.Second), Consume{Client: "z", Subscription: s, Manner: Fast, Again: true}),
	}
	if d.chance("slow commit", 3) {
		slow := Requests{API: Commit, Effect: SlowAnswer, Delay: choose(d, "slow", 100*time.Millisecond, time.Second)}
		steps = append(steps, at(6200*time.Millisecond, slow))
	}
	return steps
}

// handedToAnotherProxy: partitions move to another proxy with ACKs that are not
// committed yet.
func handedToAnotherProxy(d *drawing) []Step {
	d.plan.Proxies = 2
	d.plan.Settings.CommitInterval, d.plan.Settings.CommitMessages = 0, 0
	d.plan.Topics[0].Partitions = 6
	s := d.ownSubscription(false)
	return []Step{
		at(0, Consume{Client: "x", Subscription: s, Manner: choose(d, "manner", Fast, Slow), Delay: 50 * time.Millisecond, Again: true, Proxy: "p1"}),
		at(4*time.Second, d.messages("y", 60)),
		at(4500*time.Millisecond, Consume{Client: "z", Subscription: s, Manner: Fast, Again: true, Proxy: "p2"}),
	}
}

// drainedWhileSlow: a proxy shuts down while Kafka owes it answers.
func drainedWhileSlow(d *drawing) []Step {
	d.plan.Settings.DrainTimeout, d.plan.Settings.Outstanding = time.Second, choose(d, "outstanding", 0, 5)
	messages := d.messages("y", choose(d, "count", 10, 100))
	messages.Proxy, messages.SDK = "p1", d.chance("sdk", 2)
	return []Step{
		at(0, messages),
		at(500*time.Millisecond, Requests{API: ProduceAPI, Effect: SlowAnswer, Proxy: "p1", Count: choose(d, "answers", 1, 3), Delay: choose(d, "slow", 800*time.Millisecond, 4*time.Second)}),
		at(510*time.Millisecond, messages),
		at(520*time.Millisecond, messages),
		at(530*time.Millisecond, messages),
		at(600*time.Millisecond, Drain{Proxy: "p1"}),
		at(700*time.Millisecond, Start{Proxy: "p1"}),
	}
}

// cutWhileSlow: an SDK client that produces loses its connection while Kafka owes
// answers.
func cutWhileSlow(d *drawing) []Step {
	messages := d.messages("y", 20)
	messages.SDK = true
	return []Step{
		at(0, messages),
		at(500*time.Millisecond, Requests{API: ProduceAPI, Effect: SlowAnswer, Delay: choose(d, "slow", time.Second, 3*time.Second)}),
		at(510*time.Millisecond, messages),
		at(600*time.Millisecond, Disturb{Node: "y", How: Reset}),
	}
}

// expiredMeanwhile: messages expire while nobody is connected.
func expiredMeanwhile(d *drawing) []Step {
	s := d.ownSubscription(false)
	steps := []Step{
		at(0, d.messages("y", 20)),
		at(100*time.Millisecond, Consume{Client: "x", Subscription: s, Manner: Fast, Proxy: "p1"}),
		at(5*time.Second, EndConsumer{Client: "x", How: Leave}),
		at(6*time.Second, d.messages("y", 60)),
		at(8*time.Second, Consume{Client: "z", Subscription: s, Manner: Fast, Again: true}),
	}
	for n := range d.plan.Topics[0].Partitions {
		steps = append(steps, at(7*time.Second, Expire{Topic: d.plan.Topics[0].Name, Partition: n, Keep: 5}))
	}
	return steps
}

// movedAfterAnAnswerIsLate: messages go on coming for a partition whose answer is
// overdue, and after it.
func movedAfterAnAnswerIsLate(d *drawing) []Step {
	d.plan.Settings.Outstanding = 0
	return slices.Concat(d.trickle(0, 300*time.Millisecond, 12), []Step{
		at(500*time.Millisecond, Requests{API: ProduceAPI, Effect: choose(d, "how", SlowAnswer, LoseAnswer), Delay: 3 * time.Second}),
	})
}

// stubbornHandler: a handler goes on although its stream is lost.
func stubbornHandler(d *drawing) []Step {
	s := d.ownSubscription(false)
	return []Step{
		at(0, Consume{Client: "x", SDK: true, Subscription: s, Manner: Stubborn, Delay: choose(d, "delay", time.Second, 3*time.Second)}),
		at(200*time.Millisecond, d.messages("y", 12)),
		at(600*time.Millisecond, Disturb{Node: "x", How: Reset}),
	}
}

// morePartitions: a topic gets more partitions, and messages in them before a
// subscription that began at the latest has found them.
func morePartitions(d *drawing) []Step {
	s := d.ownSubscription(true)
	return []Step{
		at(0, Consume{Client: "x", Subscription: s, Manner: Fast, Again: true, Proxy: "p1"}),
		at(5*time.Second, d.messages("y", 10)),
		at(6*time.Second, AddPartitions{Topic: d.plan.Topics[0].Name, Count: 2}),
		at(9*time.Second, d.messages("z", 40)),
		at(75*time.Second, d.messages("z", 10)),
	}
}

// fullWindow: messages go on coming for partitions whose windows are full.
func fullWindow(d *drawing) []Step {
	d.plan.Settings.PartitionWindow = 4
	s := d.ownSubscription(false)
	return append(d.trickle(200*time.Millisecond, 600*time.Millisecond, 10),
		at(0, Consume{Client: "x", Subscription: s, Manner: Stuck, Proxy: "p1", AckTimeout: time.Minute}),
		at(100*time.Millisecond, d.messages("z", 40)))
}

// commitRefused: the last commit is refused, and nothing comes that would make another.
func commitRefused(d *drawing) []Step {
	d.plan.Settings.CommitInterval, d.plan.Settings.CommitMessages = 300*time.Millisecond, 0
	return []Step{
		at(0, Consume{Client: "x", Subscription: d.ownSubscription(false), Manner: Fast, Again: true, Proxy: "p1"}),
		at(4*time.Second, Requests{API: Commit, Effect: Fail, Count: choose(d, "refusals", 1, 2)}),
		at(4*time.Second, d.messages("y", 10)),
	}
}
