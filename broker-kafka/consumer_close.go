package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// leavePatience is how long the client may take to leave in its own way, which
// waits for a rebalance that is under way.
const leavePatience = time.Second

// Close: see broker.Consumer. It commits first and leaves then: while it leaves,
// the client sends no heartbeats.
func (c *consumer) Close(ctx context.Context) error {
	c.mu.Lock()
	first := !c.closing
	c.closing = true
	c.queue = queue{}
	ps := make([]*partition, 0, len(c.partitions))
	for _, p := range c.partitions {
		ps = append(ps, p)
	}
	c.wakePollLocked()
	c.mu.Unlock()
	if !first {
		select {
		case <-c.closed:
			return c.closeErr
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	c.stop()
	err := c.flush(ctx, ps)
	if err == nil {
		err = c.leave(ctx)
	}
	c.cancel() // whatever still waits for an answer
	c.client.Close()
	c.wg.Wait()
	c.closeErr = err
	close(c.closed)
	return err
}

// leave leaves the group. The client waits for a rebalance that is under way, and
// so for other members; rather than that, tell Kafka without it.
func (c *consumer) leave(ctx context.Context) error {
	left := make(chan error, 1)
	c.wg.Go(func() { left <- c.client.LeaveGroupContext(ctx) })
	timer := time.NewTimer(leavePatience)
	defer timer.Stop()
	select {
	case <-left:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	}
	member := c.membership().member
	if member == "" {
		return ctx.Err()
	}
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID = member
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.MemberID = c.opts.Subscription, member
	req.Members = append(req.Members, m)
	_, err := req.RequestWith(ctx, c.client)
	if err != nil {
		c.log.Warn("could not leave the subscription; its partitions wait for the session timeout", "error", err)
	}
	return ctx.Err()
}
