package suite

import (
	"context"

	"github.com/messageproxy/messageproxy/tools/bench/bare"
	"github.com/messageproxy/messageproxy/tools/bench/process"
	"github.com/messageproxy/messageproxy/tools/bench/role"
)

func startBare(ctx context.Context, valueBytes int) (*process.Server, error) {
	return role.StartBare(ctx, bare.Options{Frame: Frame, Window: Window, ValueBytes: valueBytes})
}
