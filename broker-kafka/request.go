package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ask sends a request and waits for the answer until ctx ends. The client library
// alone would wait longer: for a broker that accepts a connection and then doesn't
// say a word, until its own timeout.
func ask[R any](ctx context.Context, cl *kgo.Client, requestWith func(context.Context, kmsg.Requestor) (R, error)) (R, error) {
	type answer struct {
		resp R
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		resp, err := requestWith(ctx, cl)
		answered <- answer{resp, err}
	}()
	select {
	case a := <-answered:
		return a.resp, a.err
	case <-ctx.Done():
		var none R
		return none, ctx.Err()
	}
}
