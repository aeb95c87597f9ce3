package coordinator

import (
	"fmt"
	"strconv"
	"strings"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
)

// describe is how scripts print an effect.
func describe(effect Effect) string {
	switch e := effect.(type) {
	case Subscribed:
		return fmt.Sprintf("c%d <- subscribed unacked=%d timeout=%v", e.Client, e.MaxUnackedMessages, e.AckTimeout)
	case Deliver:
		return fmt.Sprintf("c%d <- messages %v %s", e.Client, e.Partition, describeDeliveries(e.Deliveries))
	case Assignment:
		return fmt.Sprintf("c%d <- assignment [%s]", e.Client, describePartitions(e.Partitions))
	case Withdrawn:
		return fmt.Sprintf("c%d <- withdrawn [%s] time left %v", e.Client, describePartitions(e.Partitions), e.TimeLeft)
	case Trouble:
		return fmt.Sprintf("c%d <- error %s", e.Client, describeCode(e.Err.GetCode()))
	case Recovered:
		return fmt.Sprintf("c%d <- recovered %s", e.Client, describeCode(e.Code))
	case NotHeld:
		return fmt.Sprintf("c%d <- notice NOT_HELD %d %v", e.Client, e.Count, e.IDs[:min(len(e.IDs), 10)])
	case Notice:
		return fmt.Sprintf("c%d <- notice %s", e.Client, describeCode(e.Err.GetCode()))
	case End:
		if e.Err == nil {
			return fmt.Sprintf("c%d <- end OK", e.Client)
		}
		return fmt.Sprintf("c%d <- end %s", e.Client, describeCode(e.Err.GetCode()))
	case OpenConsumer:
		return fmt.Sprintf("broker <- open %v start=%d", e.Spec.Topics, e.Spec.Start)
	case CloseConsumer:
		return "broker <- close"
	case AckMessages:
		return "broker <- ack " + describeIDs(e.IDs)
	case ReleasePartition:
		return fmt.Sprintf("broker <- release %v", e.Partition)
	case PausePartition:
		return fmt.Sprintf("broker <- pause %v", e.Partition)
	case ResumePartition:
		return fmt.Sprintf("broker <- resume %v", e.Partition)
	}
	return fmt.Sprintf("%T", effect)
}

func describeCode(code messageproxyv1.ErrorCode) string {
	return strings.TrimPrefix(code.String(), "ERROR_CODE_")
}

func describePartitions(partitions []broker.TopicPartition) string {
	words := make([]string, len(partitions))
	for i, p := range partitions {
		words[i] = p.String()
	}
	return strings.Join(words, " ")
}

// describeDeliveries prints runs of positions, and attempts that aren't the first.
func describeDeliveries(deliveries []Delivery) string {
	var words []string
	for i := 0; i < len(deliveries); {
		j := i + 1
		for j < len(deliveries) && deliveries[j].Attempt == deliveries[i].Attempt &&
			deliveries[j].Message.Position == deliveries[j-1].Message.Position+1 {
			j++
		}
		word := describeRun(deliveries[i].Message.Position, deliveries[j-1].Message.Position)
		if deliveries[i].Attempt > 1 {
			word += fmt.Sprintf("(attempt %d)", deliveries[i].Attempt)
		}
		words = append(words, word)
		i = j
	}
	return strings.Join(words, " ")
}

func describeIDs(ids []broker.MessageID) string {
	var words []string
	var partition broker.TopicPartition
	for i := 0; i < len(ids); {
		j := i + 1
		for j < len(ids) && ids[j].Partition == ids[i].Partition && ids[j].Position == ids[j-1].Position+1 {
			j++
		}
		if ids[i].Partition != partition {
			partition = ids[i].Partition
			words = append(words, partition.String())
		}
		words = append(words, describeRun(ids[i].Position, ids[j-1].Position))
		i = j
	}
	return strings.Join(words, " ")
}

func describeRun(from, to uint64) string {
	if from == to {
		return strconv.FormatUint(from, 10)
	}
	return fmt.Sprintf("%d..%d", from, to)
}

func describeState(s *State) string {
	var b strings.Builder
	phases := map[phase]string{idle: "idle", opening: "opening", open: "open", closing: "closing", waiting: "waiting"}
	fmt.Fprintf(&b, "consumer %s, %d bytes\n", phases[s.phase], s.bytes)
	for _, c := range s.order {
		fmt.Fprintf(&b, "c%d: owns %d, unacked %d", c.id, c.owned, c.unacked)
		if c.unacked > 0 {
			fmt.Fprintf(&b, ", oldest for %v", s.now-c.oldestSince)
		}
		if c.left {
			b.WriteString(", left")
		}
		b.WriteString("\n")
	}
	for _, p := range s.sorted {
		fmt.Fprintf(&b, "%v: owner %s, holder %s, in flight %d, waiting %d\n",
			p.TopicPartition, describeClient(p.owner), describeClient(p.holder), p.inFlight, p.waiting())
	}
	return b.String()
}

func describeClient(c *client) string {
	if c == nil {
		return "none"
	}
	return fmt.Sprintf("c%d", c.id)
}
