//go:build synctests

package simulation

import (
	"cmp"
	"time"
)

// disturbs reports whether an action disturbs proxies or Kafka: whether something
// that the proxy forgives others may come of it, such as messages that come again. What
// clients do to themselves doesn't count, nor does what operators of a proxy may do.
//
// Kafka may be slow with messages, but not so slow that their time could be up.
func disturbs(action Action, settings Settings) bool {
	switch a := action.(type) {
	case Disturb:
		return kindOf(a.Node) != "client"
	case Requests:
		return a.API != ProduceAPI || a.Effect != SlowAnswer || a.delay() > cmp.Or(settings.ProduceTimeout, 30*time.Second)/slownesses
	case MoveLeader, MoveCoordinators, Kick, Kill, Freeze, Recreate:
		return true
	}
	return false
}

// slownesses is how many slow answers there may be in a message's time.
const slownesses = 20
