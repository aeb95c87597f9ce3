//go:build synctests

package simulation

import (
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// sessions ends the sessions of members of groups that have fallen silent, where
// kfake doesn't: it restarts a member's clock with its answer to a join or a sync,
// and if the connection is gone by then, the member stays for ever. A member that
// was killed while a group rebalanced would keep its partitions to the end.
//
// They also end where kfake waits for ever for members to join: it counts one too few
// once a member has left that waited for its assignment, and begins its time anew
// whenever one that has joined does so again.
type sessions struct {
	kafka *kafkaCluster

	mu   sync.Mutex
	seen map[string]time.Time // when members were last heard of, by id
	// stable is since when groups have had the generation that they have.
	stable map[string]generation
}

type generation struct {
	epoch int32
	state string
	since time.Time
}

// sessionCheckInterval is how often members are looked at.
const sessionCheckInterval = time.Second

// joinPatience is longer than Kafka waits for members to join.
const joinPatience = time.Minute

func watchSessions(k *kafkaCluster) {
	s := &sessions{kafka: k, seen: map[string]time.Time{}, stable: map[string]generation{}}
	for _, key := range []kmsg.Key{kmsg.Heartbeat, kmsg.JoinGroup, kmsg.SyncGroup} {
		k.cluster.ControlKey(int16(key), func(request kmsg.Request) (kmsg.Response, error, bool) {
			s.hear(request)
			return nil, nil, false
		})
	}
	k.world.wg.Go(func() {
		for sleep(k.world.lasting, sessionCheckInterval) {
			for _, subscription := range k.world.plan.Subscriptions {
				s.check(subscription.Name)
			}
		}
	})
}

func (s *sessions) hear(request kmsg.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r := request.(type) {
	case *kmsg.HeartbeatRequest:
		s.seen[r.MemberID] = time.Now()
	case *kmsg.JoinGroupRequest:
		s.seen[r.MemberID] = time.Now()
	case *kmsg.SyncGroupRequest:
		s.seen[r.MemberID] = time.Now()
	}
}

// check removes the silent members of a group that doesn't wait for anybody, and all of
// one that waits although their time is up.
func (s *sessions) check(group string) {
	info := s.kafka.cluster.GroupInfo(group)
	if info == nil {
		return
	}
	for _, member := range s.silent(info) {
		s.kafka.leave(group, member)
	}
}

func (s *sessions) silent(info *kfake.GroupInfo) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.stable[info.Group]
	if g.epoch != info.Epoch || g.state != info.State {
		g = generation{info.Epoch, info.State, time.Now()}
		s.stable[info.Group] = g
	}
	if info.State == "PreparingRebalance" && time.Since(g.since) > joinPatience {
		delete(s.stable, info.Group)
		var all []string
		for _, m := range info.Members {
			all = append(all, m.MemberID)
		}
		return all
	}
	if info.State != "Stable" {
		return nil
	}
	// Kafka's own clocks come first, where they run.
	timeout := s.kafka.world.kafkaOptions("", "").SessionTimeout + 2*sessionCheckInterval
	var silent []string
	for _, m := range info.Members {
		if time.Since(s.seen[m.MemberID]) > timeout && time.Since(g.since) > timeout {
			silent = append(silent, m.MemberID)
		}
	}
	return silent
}
