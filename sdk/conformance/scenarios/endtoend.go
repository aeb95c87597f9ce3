package scenarios

import (
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/sdk/conformance/driver"
	"github.com/messageproxy/messageproxy/sdk/conformance/protocol"
	"github.com/messageproxy/messageproxy/sdk/conformance/suite"
)

func endToEnd() []suite.Scenario {
	return []suite.Scenario{
		{Name: "a real proxy: what is produced is consumed", Shows: []string{"P1", "P5", "P8", "S1", "S4", "S12", "T1", "T3"}, Run: realRoundTrip, Real: true, Timeout: 2 * time.Minute},
		{Name: "a real proxy: it restarts", Shows: []string{"P12", "P17", "R3", "S13"}, Run: realRestart, Real: true, Timeout: 3 * time.Minute},
		{Name: "a real proxy: it is killed", Shows: []string{"P2", "P11", "P17", "R3", "S8", "S13"}, Run: realKill, Real: true, Timeout: 3 * time.Minute},
		{Name: "a real proxy: errors", Shows: []string{"R4", "E1", "P1"}, Run: realErrors, Real: true},
	}
}

func realRoundTrip(h *suite.Harness) {
	p := h.StartProxy()
	c := h.Open(p.Addr(), fast())
	const n, keys = 500, 10
	sent := map[string]protocol.Message{} // by the ids of the receipts
	var calls []*driver.Call
	var messages []protocol.Message
	for i := range n {
		m := protocol.Message{Topic: topic, Key: []byte(fmt.Sprint("key ", i%keys)), Value: []byte(fmt.Sprint(i)), Timestamp: ptr(int64(1_700_000_000_000 + i))}
		switch i % 5 {
		case 1:
			m.Value = nil
		case 2:
			m.Value = []byte{}
		case 3:
			m.Headers = []protocol.Header{{Key: "b"}, {Key: "a", Value: []byte{}}, {Key: "b", Value: []byte{0xff}}}
		}
		messages = append(messages, m)
		calls = append(calls, c.Produce(m))
	}
	for i, call := range calls {
		receipt := call.Receipt()
		require.NotContains(h, sent, receipt.MessageID)
		m := messages[i]
		m.ID, m.Partition, m.Attempt = receipt.MessageID, &receipt.Partition, 1
		require.Equal(h, *m.Timestamp, receipt.Timestamp)
		sent[m.ID] = m
	}
	consuming := c.ConsumeAuto("billing", topics, nil)
	last := map[string]int64{} // timestamp, by key
	for range n {
		handling := consuming.Handling()
		want, ok := sent[handling.Message.ID]
		require.True(h, ok, "nobody produced %q, or it came twice", handling.Message.ID)
		if len(handling.Message.Headers) == 0 {
			handling.Message.Headers = nil
		}
		assert.Equal(h, want, handling.Message)
		require.Greater(h, *want.Timestamp, last[string(want.Key)], "messages of a key come in order")
		last[string(want.Key)] = *want.Timestamp
		delete(sent, handling.Message.ID)
	}
	consuming.Cancel()
	consuming.OK()
	// Everything is ACKed, so the next of the subscription gets what is new alone.
	consuming = c.ConsumeAuto("billing", topics, nil)
	fresh := c.Produce(msg("new")).Receipt()
	consuming.HandlingOf(fresh.MessageID)
	consuming.Cancel()
	consuming.OK()
}

// handled are the values of the messages that handlers of a call have begun with, until all
// of wanted are there.
func handled(consuming *driver.Consume, wanted []string) {
	missing := slices.Clone(wanted)
	for len(missing) > 0 {
		value := string(consuming.HandlingWithin(time.Minute).Message.Value)
		missing = slices.DeleteFunc(missing, func(m string) bool { return m == value })
	}
}

func realRestart(h *suite.Harness) {
	p := h.StartProxy()
	c := h.Open(p.Addr(), protocol.ClientOptions{ReconnectBackoff: &[2]int64{10, 200}})
	consuming := c.ConsumeAuto("billing", topics, nil)
	for round := range 3 {
		var calls []*driver.Call
		var wanted []string
		produce := func(n int) {
			for range n {
				value := fmt.Sprintf("%d/%d", round, len(calls))
				wanted = append(wanted, value)
				calls = append(calls, c.Produce(protocol.Message{Topic: topic, Key: []byte(value), Value: []byte(value)}))
			}
		}
		produce(50)
		calls[0].Receipt()
		p.Stop()
		produce(50)
		p.Start()
		produce(50)
		for _, call := range calls {
			call.AwaitWithin(time.Minute)
			call.Receipt() // a restart in good order leaves nothing open
		}
		handled(consuming, wanted)
	}
	consuming.Cancel()
	consuming.OK()
}

func realKill(h *suite.Harness) {
	p := h.StartProxy()
	c := h.Open(p.Addr(), protocol.ClientOptions{ReconnectBackoff: &[2]int64{10, 200}})
	consuming := c.ConsumeAuto("billing", topics, nil)
	consuming.AwaitEvents("connected", 1)
	for round := range 2 {
		var calls []*driver.Call
		var all, stored []string
		produce := func(n int) {
			for range n {
				value := fmt.Sprintf("%d/%d", round, len(calls))
				all = append(all, value)
				calls = append(calls, c.Produce(protocol.Message{Topic: topic, Key: []byte(value), Value: []byte(value)}))
			}
		}
		produce(50)
		calls[0].Receipt()
		p.Kill()
		produce(50)
		p.Start()
		// The client has noticed by then, however busy the machine is.
		consuming.AwaitEvents("disconnected", round+1)
		consuming.AwaitEvents("connected", round+2)
		produce(50)
		for i, call := range calls {
			if call.SucceededWithin(time.Minute) {
				stored = append(stored, all[i])
				continue
			}
			call.Failed(protocol.KindError, int32(unknownOutcome))
		}
		require.GreaterOrEqual(h, len(stored), 51)
		handled(consuming, stored)
	}
	consuming.Cancel()
	consuming.OK()
}

func realErrors(h *suite.Harness) {
	p := h.StartProxy()
	c := h.Open(p.Addr(), fast())
	c.Produce(msg("creates the topic")).Receipt()
	m := msg("v")
	m.Partition = ptr[int32](100_000)
	c.Produce(m).Failed(protocol.KindError, int32(partitionNotFound))
	c.Consume("", topics, nil).Failed(protocol.KindError, int32(invalidArgument))
	c.Consume("billing", nil, nil).Failed(protocol.KindError, int32(invalidArgument))
	consuming := c.ConsumeAuto("billing", topics, nil)
	consuming.Event("connected")
	c.Consume("billing", []protocol.Text{"others"}, nil).Failed(protocol.KindError, int32(subscriptionConflict))
	require.False(h, consuming.Answered())
}
