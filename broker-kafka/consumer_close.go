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
// the client sends no heartbeats. It leaves too if it couldn't commit.
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
	err := c.lastFlush(ctx, ps)
	if left := c.leave(ctx); err == nil {
		err = left
	}
	c.shutDown()
	c.closeErr = err
	close(c.closed)
	return err
}

// lastFlush leaves some of the time that Close has for leaving: a commit that is still
// under way can take back what came after it for as long as Kafka counts this consumer
// among the group's members.
func (c *consumer) lastFlush(ctx context.Context, ps []*partition) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		return c.flush(ctx, ps)
	}
	deadline = deadline.Add(-min(time.Until(deadline)/2, 2*leavePatience))
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	return c.flush(ctx, ps)
}

// clientCloseGrace is how long closing the client may take once nothing of it is waited
// for any more.
const clientCloseGrace = 500 * time.Millisecond

// shutDown ends everything without waiting for Kafka. Closing the client takes no
// time, unless a connection is just beginning to wait for an answer and so misses
// that it is over: then the client ends some seconds later, by its own timeout.
func (c *consumer) shutDown() {
	c.cancel()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		c.client.Close()
		c.wg.Wait()
		c.fetched.taken()
	}()
	timer := time.NewTimer(clientCloseGrace)
	defer timer.Stop()
	select {
	case <-closed:
	case <-timer.C:
	}
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
