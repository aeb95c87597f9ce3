package messageproxy_test

import (
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

// script is what a server does, stream after stream: steps of three bytes, a letter
// and two figures. All streams read on in the same one.
type script struct {
	mu    sync.Mutex
	steps []byte
}

// next returns the next step, or 0 when there are no more.
func (s *script) next() (letter byte, x, y int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.steps) < 3 {
		return 0, 0, 0
	}
	letter, x, y = s.steps[0], figure(s.steps[1]), figure(s.steps[2])
	s.steps = s.steps[3:]
	return max(letter, 1), x, y
}

// bytes returns the next n bytes, which are no steps.
func (s *script) bytes(n int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = min(n, len(s.steps))
	taken := append([]byte{}, s.steps[:n]...)
	s.steps = s.steps[n:]
	return taken
}

// figure reads digits as what they say, and other bytes as what they are.
func figure(b byte) int {
	if '0' <= b && b <= '9' {
		return int(b - '0')
	}
	return int(b)
}

// letterOf gives every byte but 0 a meaning.
func letterOf(b byte, letters string) byte {
	for i := range len(letters) {
		if b == 0 || letters[i] == b {
			return b
		}
	}
	return letters[int(b)%len(letters)]
}

// wait lets some time go by, unless the stream ends.
func wait(stream grpc.ServerStream, x int) {
	timer := time.NewTimer([]time.Duration{time.Millisecond, 100 * time.Millisecond, time.Second, 10 * time.Second}[x%4])
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-stream.Context().Done():
	}
}

// anyError is an Error of a code that there is, or not.
func anyError(x, y int) *messageproxyv1.Error {
	return &messageproxyv1.Error{Code: messageproxyv1.ErrorCode(x%25 - 2), Message: "fuzzing", Retryable: y%2 == 0}
}

// anyStatus is a status with an Error in it, or without one.
func anyStatus(x, y int) error {
	st := status.New(codes.Code(x%20), "fuzzing")
	if y%3 == 0 {
		if detailed, err := st.WithDetails(anyError(y, x)); err == nil {
			st = detailed
		}
	}
	return st.Err()
}

// bytesCodec sends bytes as they are, and messages as protobuf.
type bytesCodec struct{}

func (bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	if data, ok := v.([]byte); ok {
		return mem.BufferSlice{mem.SliceBuffer(data)}, nil
	}
	data, err := proto.Marshal(v.(proto.Message))
	return mem.BufferSlice{mem.SliceBuffer(data)}, err
}

func (bytesCodec) Unmarshal(data mem.BufferSlice, v any) error {
	return proto.Unmarshal(data.Materialize(), v.(proto.Message))
}

func (bytesCodec) Name() string { return "proto" }
