//go:build !synctests

package simulation

import "testing"

func TestSimulation(t *testing.T) {
	t.Skip("simulations run in virtual time, which needs a build tag: go test -tags synctests ./simulation")
}
