package server

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/messageproxy/messageproxy/broker"
)

// FuzzStreams has clients do to a server what a program says: send requests good and
// bad, and bytes that are none, stop reading, vanish; while the broker fails, and
// partitions come and go. Nothing panics or hangs, every message has one result and
// every stream a proper end, and nothing is left behind. A program is steps of three
// bytes: a letter and two figures; see fuzzWorld.step.
func FuzzStreams(f *testing.F) {
	for _, program := range []string{
		"P00p00p55p99h00",                                     // produce, half-close
		"C00S00+07+17t00a00t10+23a10l00h00",                   // consume, ACK, leave
		"C00S00C11S10+07+17+27t10a01A10c00t20a10z0",           // a handover
		"C00S00+07F80t00a00t20+07F:0t40",                      // a partition that moves
		"P00C00S00F10p07+07t30F70p07t30F00",                   // a broker that fails
		"C00S00+07+17r00t40t40P00p00w05\xff\xff\xff\xff\xff",  // who doesn't read; what is no request
		"P00p00C11S00+07D00t20a00p00h00",                      // a drain
		"C00m10P00m05C12S10m18",                               // requests with a wrong byte
		"P00r00p:9p:9p:9F10p99t30c00P00p:9t40",                // full windows, and a client that vanishes
		"C00S00+07a00A03a01A04a02A01a03A02a00A03a01A04a00h00", // many ACKs
		"P00P01F10p\x170p\x170t20D00t20F00",                   // a drain with more than a window in hand
	} {
		f.Add([]byte(program))
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) > 300 {
			return // more of the same
		}
		synctest.Test(t, func(t *testing.T) {
			w := newFuzzWorld(t)
			defer w.close()
			w.run(program)
			w.finish()
		})
	})
}

func (w *fuzzWorld) run(program []byte) {
	for len(program) >= 3 {
		letter, x, y := program[0], figure(program[1]), figure(program[2])
		program = program[3:]
		if letter == 'w' { // what follows are the bytes to send
			n := min(y%32, len(program))
			w.sendRaw(x, program[:n])
			program = program[n:]
		} else {
			w.step(letter, x, y)
		}
		synctest.Wait()
	}
}

// step carries out one instruction.
func (w *fuzzWorld) step(letter byte, x, y int) {
	const letters = "PCpSaAlhcrRmtF+DX"
	producing, consuming := pick(w.producing, x), pick(w.consuming, x)
	switch letterOf(letter, letters) {
	case 'P':
		w.openProducing(w.conn(y))
	case 'C':
		w.openConsuming(w.conn(y))
	case 't':
		time.Sleep([]time.Duration{time.Millisecond, 100 * time.Millisecond, time.Second, 4 * time.Second, 30 * time.Second}[x%5])
	case 'F':
		w.fail(x, y)
	case '+':
		w.append(x, y)
	case 'D':
		w.drain()
	case 'X':
		w.conn(x).cut()
	case 'p':
		if producing != nil {
			(*producing).send(w.request(*producing, x, y))
		}
	case 'm':
		w.sendMutated(x, y)
	case 'h':
		w.each(x, (*fuzzStream).halfClose)
	case 'c':
		w.each(x, (*fuzzStream).vanish)
	case 'r':
		w.each(x, (*fuzzStream).pause)
	case 'R':
		w.each(x, (*fuzzStream).resume)
	case 'S':
		if consuming != nil {
			(*consuming).send((*consuming).subscribe(y/128, y))
		}
	case 'a':
		if consuming != nil {
			(*consuming).send((*consuming).ack(y))
		}
	case 'A':
		if consuming != nil {
			(*consuming).send(w.wrongAck(*consuming, y))
		}
	case 'l':
		if consuming != nil {
			(*consuming).send((*consuming).leave())
		}
	}
}

// figure reads digits as what they say, and other bytes as what they are.
func figure(b byte) int {
	if '0' <= b && b <= '9' {
		return int(b - '0')
	}
	return int(b)
}

// letterOf gives every byte a meaning.
func letterOf(b byte, letters string) byte {
	for i := range len(letters) {
		if letters[i] == b {
			return b
		}
	}
	return letters[int(b)%len(letters)]
}

func pick[T any](list []T, x int) *T {
	if len(list) == 0 {
		return nil
	}
	return &list[x%len(list)]
}

// each does something to one of the streams.
func (w *fuzzWorld) each(x int, do func(*fuzzStream)) {
	if s := pick(w.streams(), x); s != nil {
		do(*s)
	}
}

func (w *fuzzWorld) sendRaw(x int, frame []byte) {
	w.each(x, func(s *fuzzStream) { s.send(append([]byte{}, frame...)) })
}

// sendMutated sends a request of which one byte is another, or which is cut short.
func (w *fuzzWorld) sendMutated(x, y int) {
	var frame []byte
	switch {
	case x%2 == 0 && len(w.producing) > 0:
		p := *pick(w.producing, x/2)
		frame = w.request(p, y%3, y)
		defer func() { p.send(frame) }()
	case len(w.consuming) > 0:
		c := *pick(w.consuming, x/2)
		frame = c.subscribe(y, 0)
		defer func() { c.send(frame) }()
	default:
		return
	}
	frame = append([]byte{}, frame...)
	if at := (x*7 + y) % len(frame); y%4 == 0 {
		frame = frame[:at]
	} else {
		frame[at] ^= byte(1 << (y % 8))
	}
}

func (w *fuzzWorld) drain() {
	w.drained = true
	w.stop()
}

// fail begins a fault, or ends all.
func (w *fuzzWorld) fail(x, y int) {
	name, tp := fuzzSubscriptions[y%2], allPartitions()[y%len(allPartitions())]
	unavailable := &broker.Error{Code: broker.CodeUnavailable, Partition: broker.AnyPartition, Retryable: y%4 < 3, Message: "fuzzing"}
	switch x % 16 {
	case 0:
		w.heal()
	case 1:
		w.broker.SetReachable(false)
	case 2:
		w.failProduce(y)
	case 3:
		w.broker.LoseProduceAnswers(y%2 == 0)
	case 4:
		w.broker.AnswerUnknown(y%2 == 0)
	case 5:
		w.broker.FailPolls(name, unavailable)
	case 6:
		w.broker.FailAcks(name, unavailable)
	case 7:
		w.broker.BreakConsumers(name, unavailable)
	case 8:
		w.broker.Revoke(name, tp)
	case 9:
		w.broker.Lose(name, tp)
	case 10:
		w.broker.GiveBack(name, allPartitions()...)
	case 11:
		_ = w.broker.DeleteTopic(fickleTopic) // it may be gone
	case 12:
		_ = w.broker.CreateTopic(fickleTopic, 1+y%3) // it may be there
	case 13:
		w.releases = append(w.releases, w.broker.HoldNewConsumers())
	case 14:
		w.releases = append(w.releases, w.broker.HoldCloses())
	case 15:
		_ = w.broker.DeleteBefore(broker.TopicPartition{Topic: fickleTopic}, uint64(y%16)) // it may be gone
	}
	w.moved.Store(true)
}

// failProduce fails every so many messages, each with its code.
func (w *fuzzWorld) failProduce(y int) {
	n := 0
	w.broker.FailProduce(func(m *broker.OutgoingMessage) error {
		n++
		if n%(1+y%4) != 0 {
			return nil
		}
		code := broker.Codes()[(y+n)%len(broker.Codes())]
		return &broker.Error{Code: code, Topic: m.Topic, Partition: broker.AnyPartition, Message: "fuzzing"}
	})
}
