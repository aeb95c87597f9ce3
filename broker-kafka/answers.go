package kafka

import "encoding/binary"

// answerCutter cuts what a Kafka broker sends into answers. Each has its length, four
// bytes, in front.
type answerCutter struct {
	length    [4]byte
	have      int // bytes of length
	remaining int // bytes of the answer that are still to come
}

// answerTaker is who is told of the answers.
type answerTaker interface {
	// begin is told how long the next answer is. An error ends the connection.
	begin(length int) error
	// take is given the answer, piece by piece.
	take(b []byte)
	// complete: that was all of it.
	complete()
}

// feed takes the next bytes of the connection. Its error is begin's.
func (c *answerCutter) feed(b []byte, taker answerTaker) error {
	for len(b) > 0 {
		if c.have < len(c.length) {
			n := copy(c.length[c.have:], b)
			c.have += n
			b = b[n:]
			if c.have < len(c.length) {
				return nil
			}
			c.remaining = int(binary.BigEndian.Uint32(c.length[:]))
			if err := taker.begin(c.remaining); err != nil {
				return err
			}
		}
		n := min(c.remaining, len(b))
		taker.take(b[:n])
		b = b[n:]
		c.remaining -= n
		if c.remaining == 0 {
			c.have = 0
			taker.complete()
		}
	}
	return nil
}
