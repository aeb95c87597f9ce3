package kafka

import (
	"encoding/binary"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var ledgerTopic = topicID{7}

// tappedWire is a tapped connection of which a test plays both ends.
type tappedWire struct {
	*testing.T
	ledger *ledger
	conn   net.Conn
	peer   net.Conn
}

func newTappedWire(t *testing.T) *tappedWire {
	l := newLedger()
	ours, peer := net.Pipe()
	w := &tappedWire{T: t, ledger: l, conn: &tappedConn{Conn: ours, ledger: l}, peer: peer}
	t.Cleanup(func() {
		ours.Close()
		peer.Close()
	})
	return w
}

func (w *tappedWire) send(req kmsg.Request) {
	w.Helper()
	b := kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, req, 1)
	received := make(chan struct{})
	go func() {
		defer close(received)
		_, err := readFull(w.peer, len(b))
		assert.NoError(w, err)
	}()
	_, err := w.conn.Write(b)
	require.NoError(w, err)
	<-received
}

func readFull(c net.Conn, n int) ([]byte, error) {
	b := make([]byte, n)
	for have := 0; have < n; {
		m, err := c.Read(b[have:])
		if err != nil {
			return nil, err
		}
		have += m
	}
	return b, nil
}

// answer sends a response in pieces of some size.
func (w *tappedWire) answer(resp kmsg.Response, flexible bool, piece int) {
	w.Helper()
	frame := binary.BigEndian.AppendUint32(nil, 1)
	if flexible {
		frame = append(frame, 1, 5, 2, 'x', 'y') // a tag that nobody knows
	}
	frame = resp.AppendTo(frame)
	b := append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)
	go func() {
		for rest := b; len(rest) > 0; rest = rest[min(piece, len(rest)):] {
			if _, err := w.peer.Write(rest[:min(piece, len(rest))]); err != nil {
				return
			}
		}
	}()
	_, err := readFull(w.conn, len(b))
	require.NoError(w, err)
}

func produceRequest(version int16, partitions ...int32) *kmsg.ProduceRequest {
	req := &kmsg.ProduceRequest{Version: version, Acks: -1}
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.TopicID = "orders", ledgerTopic
	for _, p := range partitions {
		rp := kmsg.NewProduceRequestTopicPartition()
		rp.Partition, rp.Records = p, []byte("records")
		t.Partitions = append(t.Partitions, rp)
	}
	req.Topics = append(req.Topics, t)
	return req
}

func produceResponse(version int16, codes map[int32]int16) *kmsg.ProduceResponse {
	resp := &kmsg.ProduceResponse{Version: version}
	t := kmsg.NewProduceResponseTopic()
	t.Topic, t.TopicID = "orders", ledgerTopic
	for p, code := range codes {
		rp := kmsg.NewProduceResponseTopicPartition()
		rp.Partition, rp.ErrorCode = p, code
		t.Partitions = append(t.Partitions, rp)
	}
	resp.Topics = append(resp.Topics, t)
	return resp
}

func (w *tappedWire) standing(partition int32, since uint64) standing {
	return w.ledger.standing(ledgerTopic, "orders", partition, since)
}

func TestTheLedgerFollowsRequests(t *testing.T) {
	for version := int16(3); version <= 13; version++ {
		for _, piece := range []int{1, 3, 1 << 20} {
			w := newTappedWire(t)
			since := w.ledger.now()
			assert.Equal(t, standing{}, w.standing(0, since))

			w.send(produceRequest(version, 0, 1))
			assert.Equal(t, standing{sent: true, open: true}, w.standing(0, since))
			assert.Equal(t, standing{}, w.standing(2, since))
			later := w.ledger.now()
			assert.Equal(t, standing{open: true}, w.standing(0, later), "what came later is not in the request")

			w.answer(produceResponse(version, map[int32]int16{0: 0, 1: kerr.NotLeaderForPartition.Code}), version >= 9, piece)
			assert.Equal(t, standing{sent: true}, w.standing(0, since))
			assert.Equal(t, standing{sent: true, doubtful: true, refusal: kerr.NotLeaderForPartition.Code}, w.standing(1, since))
			assert.Equal(t, version >= 13, w.ledger.writtenByID(ledgerTopic))

			w.send(produceRequest(version, 0))
			w.answer(produceResponse(version, map[int32]int16{0: kerr.InvalidRecord.Code}), version >= 9, piece)
			st := w.standing(0, since)
			assert.Equal(t, standing{sent: true, refusal: kerr.InvalidRecord.Code}, st)
			assert.True(t, st.refusedWith(kerr.InvalidRecord))
			assert.False(t, st.refusedWith(kerr.CorruptMessage))
			assert.False(t, st.refusedWith(errors.New("another")))
		}
	}
}

func TestTheLedgerKnowsOtherRequests(t *testing.T) {
	w := newTappedWire(t)
	w.send(kmsg.NewPtrApiVersionsRequest())
	w.send(produceRequest(13, 0))
	w.answer(kmsg.NewPtrApiVersionsResponse(), false, 2)
	assert.True(t, w.standing(0, 0).open)
	w.answer(produceResponse(13, map[int32]int16{0: 0}), true, 2)
	assert.Equal(t, standing{sent: true}, w.standing(0, 0))
}

func TestWhatLosesAnAnswer(t *testing.T) {
	for name, lose := range map[string]func(*tappedWire){
		"we close":   func(w *tappedWire) { _ = w.conn.Close() },
		"they close": func(w *tappedWire) { _ = w.peer.Close(); _, _ = w.conn.Read(make([]byte, 1)) },
		"it ends in the middle": func(w *tappedWire) {
			go func() { _, _ = w.peer.Write([]byte{0, 0, 0, 100, 1, 2, 3}); _ = w.peer.Close() }()
			_, err := readFull(w.conn, 100)
			assert.Error(w, err)
		},
		"it isn't what was asked for": func(w *tappedWire) {
			go func() { _, _ = w.peer.Write([]byte{0, 0, 0, 5, 0, 0, 0, 1, 0xff}) }()
			_, err := readFull(w.conn, 9)
			assert.NoError(w, err)
		},
		"a partition is missing": func(w *tappedWire) { w.answer(produceResponse(13, nil), true, 100) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newTappedWire(t)
			w.send(produceRequest(13, 0))
			lose(w)
			assert.Equal(t, standing{sent: true, doubtful: true}, w.standing(0, 0))
			w.conn.Close()
			assert.Equal(t, standing{sent: true, doubtful: true}, w.standing(0, 0), "once")
			assert.Equal(t, standing{}, w.standing(0, w.ledger.now()))
			at, stalled := w.ledger.doubtedAt(ledgerTopic, "orders", 0)
			assert.Equal(t, w.ledger.now(), at)
			assert.False(t, stalled)
		})
	}
}

func TestWhatWasNotWrittenIsNotSent(t *testing.T) {
	w := newTappedWire(t)
	w.peer.Close()
	b := kmsg.NewRequestFormatter().AppendRequest(nil, produceRequest(13, 0), 1)
	_, err := w.conn.Write(b)
	require.Error(t, err)
	assert.Equal(t, standing{}, w.standing(0, 0))
}

func TestTheLedgerErrsOnTheSideOfDoubt(t *testing.T) {
	w := newTappedWire(t)
	w.send(produceRequest(13, 0))
	w.answer(produceResponse(13, map[int32]int16{0: 0}), true, 100)
	unknown := w.ledger.standing(topicID{8}, "orders", 0, 0)
	assert.Equal(t, standing{sent: true, doubtful: true, open: true}, unknown)
	assert.Equal(t, standing{}, w.ledger.standing(topicID{8}, "orders", 0, w.ledger.now()))
}

func TestStampsOfBrokers(t *testing.T) {
	w := newTappedWire(t)
	stampBatch := func(offset int64, at int64) {
		w.send(produceRequest(13, 0))
		resp := produceResponse(13, map[int32]int16{0: 0})
		resp.Topics[0].Partitions[0].BaseOffset, resp.Topics[0].Partitions[0].LogAppendTime = offset, at
		w.answer(resp, true, 100)
	}
	stampBatch(10, 1000)
	stampBatch(20, 2000)
	stampBatch(30, 3000)
	for _, c := range []struct{ offset, want int64 }{{10, 1000}, {19, 1000}, {20, 2000}, {35, 3000}, {36, 3000}} {
		at, ok := w.ledger.stampOf(ledgerTopic, 0, c.offset)
		require.True(t, ok)
		assert.Equal(t, c.want, at.UnixMilli(), "offset %d", c.offset)
	}
	_, ok := w.ledger.stampOf(ledgerTopic, 0, 20)
	assert.False(t, ok, "earlier ones are forgotten")
	_, ok = w.ledger.stampOf(ledgerTopic, 1, 20)
	assert.False(t, ok)
}

func TestAnOverdueAnswerIsNoticed(t *testing.T) {
	w := newTappedWire(t)
	stalled := func() bool {
		_, stalled := w.ledger.doubtedAt(ledgerTopic, "orders", 0)
		return stalled
	}
	w.send(produceRequest(13, 0))
	w.ledger.noticeStalls(time.Now(), time.Minute)
	assert.False(t, stalled())
	doubts := w.ledger.doubts.Load()
	w.ledger.noticeStalls(time.Now().Add(time.Minute), time.Minute)
	assert.True(t, stalled())
	assert.Greater(t, w.ledger.doubts.Load(), doubts)
	w.answer(produceResponse(13, map[int32]int16{0: 0}), true, 100)
	assert.False(t, stalled())
}
