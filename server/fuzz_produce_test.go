package server

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
)

// producing is a client that produces, and what it was told.
type producing struct {
	*fuzzStream
	results  map[uint64][]*messageproxyv1.ProduceResult
	terminal *messageproxyv1.Error
	extra    int // responses after the last
	sequence uint64
}

func (w *fuzzWorld) openProducing(conn *fuzzConn) {
	p := &producing{fuzzStream: newFuzzStream(w, conn), results: make(map[uint64][]*messageproxyv1.ProduceResult)}
	p.start(w.t, "Produce", func() proto.Message { return &messageproxyv1.ProduceResponse{} }, p.take)
	w.producing = append(w.producing, p)
}

func (p *producing) take(response proto.Message) {
	r := response.(*messageproxyv1.ProduceResponse)
	if p.terminal != nil {
		p.extra++
	}
	for _, result := range r.GetResults() {
		p.results[result.GetSequence()] = append(p.results[result.GetSequence()], result)
	}
	p.terminal = r.GetTerminalError()
}

// request makes a request of up to 12 messages, good ones and bad ones: of one kind or
// of several.
func (w *fuzzWorld) request(p *producing, x, y int) []byte {
	request := &messageproxyv1.ProduceRequest{}
	for i := range 1 + x%12 {
		request.Messages = append(request.Messages, w.message(p, y+i*(1-x/12%2)))
	}
	data, err := proto.Marshal(request)
	require.NoError(w.t, err)
	return data
}

func (w *fuzzWorld) message(p *producing, kind int) *messageproxyv1.OutgoingMessage {
	w.numbered++
	p.sequence++
	m := &messageproxyv1.OutgoingMessage{
		Sequence: p.sequence, Topic: keptTopic,
		Value: fmt.Appendf(nil, "<%d>%s", w.numbered, strings.Repeat(".", kind%200)),
	}
	switch kind % 17 {
	case 0, 1, 2:
		m.Key = []byte{byte(kind % 5)}
	case 3:
		m.Partition = new(int32(1))
	case 4:
		m.Partition = new(int32(99))
	case 5:
		m.Partition = new(int32(-1))
	case 6:
		m.Topic = "nowhere"
	case 7:
		m.Topic = ""
	case 8:
		m.Value = append(m.Value, make([]byte, 1200)...)
	case 9:
		m.Topic = fickleTopic
	case 10:
		m.Sequence = 1 // again
	case 11:
		m.Headers = []*messageproxyv1.Header{{Key: ""}, {Key: "k", Value: []byte{}}, {Key: "\u00e9", Value: []byte{0xff}}}
	case 12:
		m.TimestampMs = new(int64(kind) - 100)
	case 13:
		m.Value = append(m.Value, make([]byte, 900)...)
	case 14:
		m.Sequence = 1<<64 - 1
	}
	return m
}

// decoded are the requests that a stream has sent before the first that can't be
// decoded, and whether there is one.
func (p *producing) decoded() (messages []*messageproxyv1.OutgoingMessage, broken bool) {
	for _, frame := range p.sent {
		request := &messageproxyv1.ProduceRequest{}
		if proto.Unmarshal(frame, request) != nil {
			return messages, true
		}
		messages = append(messages, request.GetMessages()...)
	}
	return messages, false
}

// checkProducing checks that every message of every stream has at most one result,
// and exactly one if its stream has ended in good order, and that results are true.
func (w *fuzzWorld) checkProducing() {
	stored := w.storedValues()
	made := make(map[string]int)
	for _, p := range w.producing {
		messages, _ := p.decoded()
		for _, m := range messages {
			made[string(m.GetValue())]++
		}
	}
	for i, p := range w.producing {
		messages, broken := p.decoded()
		sequences := make(map[uint64]int)
		for _, m := range messages {
			sequences[m.GetSequence()]++
		}
		w.checkResults(i, p, sequences, broken)
		for _, m := range messages {
			if sequences[m.GetSequence()] == 1 && made[string(m.GetValue())] == 1 && m.GetTopic() == keptTopic {
				w.checkTruth(p.results[m.GetSequence()], stored[string(m.GetValue())])
				w.checkUnanswered(p, m, stored[string(m.GetValue())])
			}
		}
	}
}

func (w *fuzzWorld) checkResults(i int, p *producing, sequences map[uint64]int, broken bool) {
	t := w.t
	require.Zero(t, p.extra, "stream %d: responses after the terminal error", i)
	for sequence, results := range p.results {
		require.LessOrEqual(t, len(results), sequences[sequence], "stream %d: results of message %d", i, sequence)
		for _, r := range results {
			require.NotNil(t, r.GetOutcome(), "stream %d: a result of nothing", i)
		}
	}
	code, whole := p.checkEnd(t, p.terminal)
	switch {
	case !whole, code == messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN && w.drained:
		return
	case code == messageproxyv1.ErrorCode_ERROR_CODE_INVALID_ARGUMENT:
		require.True(t, broken, "stream %d: %v", i, p.terminal)
	case code == messageproxyv1.ErrorCode_ERROR_CODE_UNSPECIFIED:
		require.False(t, broken, "stream %d ended with OK", i)
	default:
		require.Fail(t, "ended", "stream %d: %v", i, p.terminal)
	}
	for sequence, n := range sequences {
		require.Len(t, p.results[sequence], n, "stream %d: results of message %d", i, sequence)
	}
}

// checkTruth: stored is stored once, failed never, and of the others nobody knows.
func (w *fuzzWorld) checkTruth(results []*messageproxyv1.ProduceResult, stored []string) {
	require.LessOrEqual(w.t, len(stored), 1, "stored twice")
	for _, r := range results {
		switch e := r.GetError(); {
		case e == nil:
			require.Equal(w.t, []string{r.GetReceipt().GetMessageId()}, stored)
		case e.GetCode() != messageproxyv1.ErrorCode_ERROR_CODE_UNKNOWN_OUTCOME:
			require.Empty(w.t, stored, "it is stored, and its result is %v", e)
		}
	}
}

// checkUnanswered: what has no result when the server shuts down is not stored.
func (w *fuzzWorld) checkUnanswered(p *producing, m *messageproxyv1.OutgoingMessage, stored []string) {
	if p.terminal.GetCode() == messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN && len(p.results[m.GetSequence()]) == 0 {
		require.Empty(w.t, stored, "message %d has no result", m.GetSequence())
	}
}

// storedValues returns the ids of the messages of keptTopic, by value.
func (w *fuzzWorld) storedValues() map[string][]string {
	ids := make(map[string][]string)
	for _, tp := range allPartitions() {
		if tp.Topic != keptTopic {
			continue
		}
		for _, m := range w.broker.Log(tp) {
			ids[string(m.Value)] = append(ids[string(m.Value)], m.ID)
		}
	}
	return ids
}

// append stores messages for consumers, past the server.
func (w *fuzzWorld) append(x, y int) {
	tp := allPartitions()[x%len(allPartitions())]
	for i := range 1 + y%8 {
		w.numbered++
		_, _ = w.broker.Append(&broker.OutgoingMessage{ // the topic may be deleted
			Topic: tp.Topic, Partition: tp.Partition,
			Value:   append(fmt.Appendf(nil, "<%d>", w.numbered), bytes.Repeat([]byte{'.'}, (x*y+i)%1500)...),
			Headers: []broker.Header{{Key: "\xff", Value: nil}},
		})
	}
}
