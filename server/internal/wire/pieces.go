package wire

import (
	"bytes"
	"errors"
	"fmt"
	"iter"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
)

// What two bytes of a request say, an empty message or header or id, takes a
// hundred and more once it is decoded: a request at gRPC's receive limit could take
// gigabytes. So requests above smallRequest have their parts counted first.
const (
	// smallRequest is the largest request, in bytes, that is decoded as it comes.
	smallRequest = 1 << 20
	// maxParts is how many parts can be decoded at once.
	maxParts = 1_000_000
	// pieceParts is about how many parts a piece of a request has.
	pieceParts = 10_000
)

var errTooManyParts = fmt.Errorf("it has more than %d parts in one: send several requests", maxParts)

// ProducePieces are the messages of a request, in order. It can be ranged over once, and
// each slice is the caller's for its turn only; what its messages refer to is not used
// again.
type ProducePieces = iter.Seq[[]Outgoing]

// ReceivePieces is Receive for a ProduceRequest, which may have any number of
// messages: those of a large one are decoded when their turn comes, some thousands
// at a time. All of them can be decoded, or none is returned. It also says how many
// bytes the request had.
func ReceivePieces(stream grpc.ServerStream) (all ProducePieces, bytes int, err error) {
	p := pieces{}
	if err := stream.RecvMsg(&p); err != nil {
		return nil, 0, err
	}
	if p.err != nil {
		return nil, 0, &DecodeError{Err: p.err}
	}
	return p.all, p.bytes, nil
}

// pieces is a message to grpc-go's codec, as frame is.
type pieces struct {
	first []Outgoing // the whole request, if it has few parts
	rest  [][]byte
	bytes int
	err   error
}

// Unmarshal decodes a request of few parts; of another one it keeps a copy, once it
// has seen that all of it can be decoded.
func (p *pieces) Unmarshal(data []byte) error {
	p.bytes = len(data)
	if len(data) > smallRequest {
		if p.rest, p.err = split(data, pieceParts); p.err != nil {
			return nil
		}
	}
	if len(p.rest) <= 1 {
		p.rest = nil
		p.first, p.err = decodeMessages(data)
		return nil
	}
	for i := 0; i < len(p.rest) && p.err == nil; i++ {
		_, p.err = decodeMessages(p.rest[i])
		p.rest[i] = bytes.Clone(p.rest[i])
	}
	return nil
}

func (p *pieces) all(yield func([]Outgoing) bool) {
	if p.rest == nil {
		yield(p.first)
		recycle(p.first)
		return
	}
	for i, data := range p.rest {
		p.rest[i] = nil
		messages, err := decodeMessages(data)
		if err != nil || !yield(messages) {
			return // there is no error: they were decoded before
		}
		recycle(messages)
	}
}

// Reset, String and ProtoMessage make pieces a message of the first generation.

func (p *pieces) Reset() { *p = pieces{} }

func (p *pieces) String() string { return "a messageproxy.v1.ProduceRequest" }

func (*pieces) ProtoMessage() {}

// split cuts a request between its fields, into pieces of about so many parts each.
// The pieces of a message that has only repeated fields are messages of its type, and
// together the same.
func split(data []byte, partsEach int) (pieces [][]byte, err error) {
	start, inPiece := 0, 0
	for at := 0; at < len(data); {
		n, parts := field(data[at:])
		switch {
		case n < 0:
			return nil, errCannotParse
		case parts > maxParts:
			return nil, errTooManyParts
		case inPiece > 0 && inPiece+parts > partsEach:
			pieces = append(pieces, data[start:at:at])
			start, inPiece = at, 0
		}
		inPiece += parts
		at += n
	}
	return append(pieces, data[start:]), nil
}

var errCannotParse = errors.New("cannot parse it")

// checkParts refuses a large request that has too many parts to decode at once.
func checkParts(data []byte) error {
	if len(data) <= smallRequest {
		return nil
	}
	return countParts(data)
}

func countParts(data []byte) error {
	for total := 0; len(data) > 0; {
		n, parts := field(data)
		if n < 0 {
			return errCannotParse
		}
		if total += parts; total > maxParts {
			return errTooManyParts
		}
		data = data[n:]
	}
	return nil
}

// field returns the length of the first field of data, or less than 0 if there is
// none, and how many parts it has: itself and what is in it.
func field(data []byte) (length, parts int) {
	number, kind, tag := protowire.ConsumeTag(data)
	if tag < 0 {
		return tag, 0
	}
	if kind != protowire.BytesType {
		length = protowire.ConsumeFieldValue(number, kind, data[tag:])
		return total(tag, length), 1
	}
	inside, length := protowire.ConsumeBytes(data[tag:])
	parts = 1
	for len(inside) > 0 {
		_, _, n := protowire.ConsumeField(inside)
		if n < 0 {
			break // not a message
		}
		parts++
		inside = inside[n:]
	}
	return total(tag, length), parts
}

func total(tag, value int) int {
	if value < 0 {
		return value
	}
	return tag + value
}
