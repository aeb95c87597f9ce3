//go:build !synctests

package kafka

import "testing"

func TestConsumer(t *testing.T) {
	t.Skip("the consumer's tests run in virtual time, which needs a build tag: go test -tags synctests ./...")
}
