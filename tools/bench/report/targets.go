package report

import "fmt"

// Target is what the project has set itself.
type Target struct {
	// About says what is measured, Want the bound of it.
	About string  `json:"about"`
	Want  float64 `json:"want"`
	// AtMost says that Want is not to be exceeded, otherwise it is to be reached.
	AtMost bool   `json:"at_most"`
	Unit   string `json:"unit,omitempty"`
	// Got is what came out; Spread shows the noise.
	Got    float64 `json:"got"`
	Spread float64 `json:"spread"`
	// Floor is what would come out on this machine if the proxy itself took no time; 0
	// if there is none, or if the target is itself relative to a limit.
	Floor float64 `json:"floor,omitempty"`
}

// Met reports whether the target is reached.
func (t Target) Met() bool {
	if t.AtMost {
		return t.Got <= t.Want
	}
	return t.Got >= t.Want
}

// targets are those for which this run has measurements.
func (r *Report) targets() []Target {
	var all []Target
	add := func(t Target, found bool) {
		if found {
			all = append(all, t)
		}
	}
	for _, path := range []string{Produce, Consume} {
		add(r.ofLimit(path, 100, 0.80))
		add(r.ofLimit(path, 1024, 0.85))
	}
	for _, path := range []string{Produce, Consume} {
		add(r.sdkOfStubs(path, 100, 0.90))
		add(r.sdkOfStubs(path, 1024, 0.90))
	}
	add(r.addedLatency(1000, 0.3))
	add(r.tailLatency(20_000, 1.5))
	add(r.cpu(Consume, 1.7))
	add(r.cpu(Produce, 2.5))
	add(r.idleConsumer(40))
	for _, path := range []string{Produce, Consume} {
		add(r.manyClients(path, 0.85))
	}
	add(r.refetched(1.1))
	return append(all, r.sdkTargets(0.8, 1.2)...)
}

// find returns a comparison with 8 partitions and one client, unless it says
// otherwise; nil if there is none.
func (r *Report) find(path string, valueBytes, partitions, clients int) *Throughput {
	for i := range r.Throughput {
		t := &r.Throughput[i]
		if t.Path == path && t.ValueBytes == valueBytes && t.Partitions == partitions && t.Clients == clients {
			return t
		}
	}
	return nil
}

func (r *Report) ofLimit(path string, valueBytes int, want float64) (Target, bool) {
	t := r.find(path, valueBytes, 8, 1)
	if t == nil || t.Variant(Stubs) == nil || t.Variant(Stubs).OfLimit == nil {
		return Target{}, false
	}
	of := t.Variant(Stubs).OfLimit
	return Target{
		About: fmt.Sprintf("%s %s, of its limit", path, size(valueBytes)),
		Want:  want, Got: of.Median, Spread: of.Spread,
	}, true
}

func (r *Report) sdkOfStubs(path string, valueBytes int, want float64) (Target, bool) {
	t := r.find(path, valueBytes, 8, 1)
	if t == nil || t.Variant(Stubs) == nil || t.Variant(SDK) == nil {
		return Target{}, false
	}
	of := Ratio(t.Variant(SDK).Rate, t.Variant(Stubs).Rate)
	return Target{
		About: fmt.Sprintf("%s %s through the Go SDK, of the stubs", path, size(valueBytes)),
		Want:  want, Got: of.Median, Spread: of.Spread,
	}, true
}

// cpu compares the processor time of the proxy with the bare server's.
func (r *Report) cpu(path string, want float64) (Target, bool) {
	t := r.find(path, 100, 8, 1)
	if t == nil || t.Variant(Stubs) == nil || t.Variant(Bare) == nil {
		return Target{}, false
	}
	of := Ratio(t.Variant(Stubs).CPU[Server], t.Variant(Bare).CPU[Server])
	return Target{
		About: fmt.Sprintf("proxy CPU, %s 100 B, of the bare server's", path),
		Want:  want, AtMost: true, Unit: "×", Got: of.Median, Spread: of.Spread, Floor: floorOf(t).OfBare.Median,
	}, true
}

func (r *Report) manyClients(path string, want float64) (Target, bool) {
	few, many := r.find(path, 100, 64, 8), r.find(path, 100, 64, 64)
	if few == nil || many == nil || few.Variant(Stubs) == nil || many.Variant(Stubs) == nil {
		return Target{}, false
	}
	of := Ratio(many.Variant(Stubs).Rate, few.Variant(Stubs).Rate)
	return Target{
		About: path + " 100 B with 64 clients, of that with 8 (64 partitions)",
		Want:  want, Got: of.Median, Spread: of.Spread,
	}, true
}

func (r *Report) latency(rate int) *Latency {
	for i := range r.Latency {
		if r.Latency[i].Rate == rate {
			return &r.Latency[i]
		}
	}
	return nil
}

func (r *Report) addedLatency(rate int, want float64) (Target, bool) {
	l := r.latency(rate)
	if l == nil {
		return Target{}, false
	}
	added := l.Added[Stubs]
	return Target{
		About: fmt.Sprintf("p50 added end to end at %s messages/s", thousands(float64(rate))),
		Want:  want, AtMost: true, Unit: "ms", Got: added.Median, Spread: added.Spread, Floor: l.Added[BareDirect].Median,
	}, true
}

func (r *Report) tailLatency(rate int, want float64) (Target, bool) {
	l := r.latency(rate)
	if l == nil {
		return Target{}, false
	}
	of := l.Tail[Stubs]
	return Target{
		About: fmt.Sprintf("p99 end to end at %s messages/s, of the direct one", thousands(float64(rate))),
		Want:  want, AtMost: true, Unit: "×", Got: of.Median, Spread: of.Spread, Floor: l.Tail[BareDirect].Median,
	}, true
}

// idleConsumer takes the largest number of streams, where what there is once counts
// least.
func (r *Report) idleConsumer(want float64) (Target, bool) {
	var most *Memory
	for i := range r.Memory {
		if m := &r.Memory[i]; m.Path == Consume && (most == nil || m.Streams > most.Streams) {
			most = m
		}
	}
	if most == nil {
		return Target{}, false
	}
	each := most.PerStream[Stubs]
	return Target{
		About: fmt.Sprintf("memory of each of %s idle consumers", thousands(float64(most.Streams))),
		Want:  want, AtMost: true, Unit: "KiB", Got: each.Median / 1024, Spread: each.Spread,
	}, true
}

// refetched takes the worst of those with 8 partitions.
func (r *Report) refetched(want float64) (Target, bool) {
	worst := 0.0
	for _, s := range r.Slow {
		if s.Partitions == 8 {
			worst = max(worst, s.FetchedPerMessage())
		}
	}
	return Target{
		About: "messages fetched for each delivered or still to deliver, slow consumer",
		Want:  want, AtMost: true, Got: worst,
	}, worst > 0
}
