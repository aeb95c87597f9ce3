//go:build synctests

package simulation

import "time"

// disturbs reports whether an action disturbs proxies or Kafka: whether something
// that the proxy forgives others may come of it, such as messages that come again. What
// clients do to themselves doesn't count, nor does what operators of a proxy may do.
func disturbs(action Action) bool {
	switch a := action.(type) {
	case Disturb:
		return kindOf(a.Node) != "client"
	case Requests:
		return a.API != ProduceAPI || a.Effect != SlowAnswer || (&requestRule{Requests: a}).delay() > slowness
	case MoveLeader, MoveCoordinators, Kick, Kill, Freeze, Recreate:
		return true
	}
	return false
}

// slowness is how long Kafka may take to answer without being given up on.
const slowness = 3 * time.Second
