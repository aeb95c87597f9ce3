package brokertest

import (
	"slices"
	"strings"
	"testing"

	"github.com/messageproxy/messageproxy/broker"
)

// Check is one subtest of the suite.
type Check struct {
	// Name is the subtest's name, "part/what".
	Name string
	// Quotes are words from the sentences of the contract that the check is about,
	// enough of each to find it.
	Quotes []string
	// Needs are the capabilities without which there is nothing to check.
	Needs []Capability
	// Feature is the feature that the check is about, or none. Where the backend
	// denies it, the check is that it answers CodeUnsupported.
	Feature Feature

	run func(*env)
}

// Feature is a field of broker.Features.
type Feature string

// The features.
const (
	NoFeature           Feature = ""
	ExplicitPartition   Feature = "ExplicitPartition"
	StartLatest         Feature = "StartLatest"
	SharedSubscriptions Feature = "SharedSubscriptions"
)

func (f Feature) in(features broker.Features) bool {
	switch f {
	case ExplicitPartition:
		return features.ExplicitPartition
	case StartLatest:
		return features.StartLatest
	case SharedSubscriptions:
		return features.SharedSubscriptions
	}
	return true
}

// Checks returns all checks, in the order of the contract.
func Checks() []Check {
	return slices.Concat(brokerChecks, producerChecks, messageChecks, consumerChecks,
		ackChecks, windowChecks, handoverChecks, troubleChecks)
}

// Run checks a backend against every sentence of the contract. A check that needs
// what the harness can't do is skipped with the harness's reason, which must not
// be empty.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for _, c := range Capabilities() {
		reason, denied := h.Cannot[c]
		if !denied {
			continue
		}
		t.Run("cannot/"+strings.ReplaceAll(string(c), " ", "_"), func(t *testing.T) {
			if strings.TrimSpace(reason) == "" {
				t.Fatalf("the harness can't %s and doesn't say why", c)
			}
			t.Logf("the harness can't %s: %s", c, reason)
		})
	}
	for _, c := range Checks() {
		t.Run(c.Name, func(t *testing.T) {
			if !h.Sequential {
				t.Parallel()
			}
			for _, need := range c.Needs {
				if reason := h.Cannot[need]; reason != "" {
					t.Skipf("the harness can't %s: %s", need, reason)
				}
			}
			c.Run(t, h)
		})
	}
}

// Run runs one check. Use the function Run for all of them.
func (c Check) Run(t T, h Harness) {
	t.Helper()
	e := newEnv(t, h)
	for _, need := range Capabilities() {
		_, denied := h.Cannot[need]
		if can := e.has(need); can == denied {
			t.Fatalf("harness: it can %s: %v, but Cannot has a reason why not: %v", need, can, denied)
		}
	}
	if !c.Feature.in(e.Broker.Features()) {
		t.Logf("the backend doesn't have the feature %s; it must say so", c.Feature)
		e.assertDenied(c.Feature)
		return
	}
	c.run(e)
}
