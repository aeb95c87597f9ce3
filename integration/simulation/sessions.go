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

// check removes the silent members of a group that doesn't wait for anybody.
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
