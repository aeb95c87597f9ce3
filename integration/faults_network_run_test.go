package integration_test

import (
	"testing"
	"time"
)

func TestFaultsSmoke(t *testing.T) {
	t.Parallel()
	c := startChaos(t, sharedKafka.Brokers(), 6)
	c.addLoad(c.startProxy("one", nil))
	c.awaitFlow()
	c.clients.disturb(both(held)...)
	c.last(5 * time.Second)
	c.clients.heal()
	c.awaitFlow()
	c.brokers.disturb(both(held)...)
	c.last(13 * time.Second)
	c.brokers.heal()
	c.settle()
}
