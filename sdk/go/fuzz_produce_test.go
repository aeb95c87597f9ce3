package messageproxy_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// FuzzProduceResponses has a client produce to a server that answers anything: wrong
// sequences, results twice or of unknown kinds, errors, bytes that are no response.
// Whatever it does, each message gets one outcome, which is true as far as the server
// has told it, and Close returns.
func FuzzProduceResponses(f *testing.F) {
	for _, program := range []string{
		"",
		"r00a20r00e60u00a90",
		"r00w70w80d00d00a90n00",
		"r00t50r00a10t20",
		"r00T60a20T:0a20",
		"g55\xff\x01\x02\x03\x04r00s:0r00g21\x0a\x00o00",
		"z20r00z30a10s00",
		"r00tF0r00tF1a90",
	} {
		f.Add([]byte("p90t00p51t10P00c90t20p10f00t30p70"), []byte(program))
	}
	f.Fuzz(func(t *testing.T, calls, program []byte) {
		if len(calls) > 100 || len(program) > 300 {
			return // more of the same
		}
		synctest.Test(t, func(t *testing.T) {
			p := &producingFuzz{
				t: t, script: script{steps: program},
				outcomes: make(map[string][]error), got: make(map[string]bool), told: make(map[string]map[string]bool),
			}
			p.run(calls)
		})
	})
}

const maxOutstanding = 10

// producingFuzz is what both sides know of each message, by its value.
type producingFuzz struct {
	t      *testing.T
	script script
	client *messageproxy.Client
	wg     sync.WaitGroup // of calls of Produce

	mu       sync.Mutex
	sent     int
	outcomes map[string][]error
	got      map[string]bool            // by the server
	told     map[string]map[string]bool // by the server
	// drained: the server has said that it stored nothing of what it didn't answer.
	drained bool
	// anything: bytes that were sent have made a response, which may say anything.
	anything bool
}

func (p *producingFuzz) run(calls []byte) {
	service := &rawService{produce: p.serve}
	p.client = service.startWith(p.t, []grpc.ServerOption{grpc.ForceServerCodecV2(bytesCodec{})},
		messageproxy.WithMaxOutstanding(maxOutstanding, 1000), messageproxy.WithReconnectBackoff(time.Millisecond, time.Second))
	for len(calls) >= 3 {
		p.call(calls[0], figure(calls[1]), figure(calls[2]))
		calls = calls[3:]
	}
	time.Sleep(time.Minute)
	begin := time.Now()
	require.NoError(p.t, p.client.Close())
	require.LessOrEqual(p.t, time.Since(begin), 5*time.Second, "Close takes its time")
	p.wg.Wait()
	p.check()
}

// call has the application do something.
func (p *producingFuzz) call(letter byte, x, y int) {
	ctx, cancel := context.Background(), func() {}
	if y%3 == 1 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(x)*50*time.Millisecond)
	}
	switch letterOf(max(letter, 1), "pPftc") {
	case 'p':
		p.wg.Go(func() { // it may wait for a place
			defer cancel()
			var answered sync.WaitGroup
			for range 1 + x%20 {
				m := p.message()
				answered.Add(1)
				p.client.ProduceAsync(ctx, m, func(_ messageproxy.Receipt, err error) {
					p.note(m, err)
					answered.Done()
				})
			}
			answered.Wait()
		})
		return
	case 'P':
		p.wg.Go(func() {
			defer cancel()
			m := p.message()
			_, err := p.client.Produce(ctx, m)
			p.note(m, err)
		})
		return
	case 'f':
		flushing, stop := context.WithTimeout(ctx, time.Second)
		_ = p.client.Flush(flushing) // it may be too early
		stop()
	case 't':
		time.Sleep(time.Duration(x) * 20 * time.Millisecond)
	case 'c':
		synctest.Wait()
	}
	cancel()
}

func (p *producingFuzz) message() *messageproxy.Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent++
	return &messageproxy.Message{Topic: "t", Value: fmt.Append(nil, p.sent)}
}

func (p *producingFuzz) note(m *messageproxy.Message, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outcomes[string(m.Value)] = append(p.outcomes[string(m.Value)], err)
}

func (p *producingFuzz) check() {
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Len(p.t, p.outcomes, p.sent, "messages with an outcome")
	for value, errs := range p.outcomes {
		require.Len(p.t, errs, 1, "outcomes of message %s", value)
		switch err := errs[0]; {
		case p.anything:
		case err == nil:
			require.True(p.t, p.told[value]["stored"], "message %s", value)
		case !errors.Is(err, messageproxy.ErrUnknownOutcome):
			require.True(p.t, p.told[value]["failed"] || !p.got[value] || p.drained,
				"message %s has reached the server, which has told %v, and it is certainly not stored: %v", value, p.told[value], err)
		}
	}
}

// serve serves a stream as the script says, and properly when that is over.
func (p *producingFuzz) serve(stream produceServer) error {
	var waiting []*messageproxyv1.OutgoingMessage
	unanswered := make(map[uint64]bool)
	for {
		letter, x, y := p.script.next()
		letter = letterOf(letter, "raaaewudngtTsoz")
		switch letter {
		case 0, 'r':
			request, err := stream.Recv()
			if err != nil {
				return nil
			}
			p.receive(request, unanswered)
			waiting = append(waiting, request.GetMessages()...)
			if letter == 0 {
				_ = stream.Send(p.answer(&waiting, unanswered, len(waiting), "stored", 0))
			}
		case 'a', 'u':
			_ = stream.Send(p.answer(&waiting, unanswered, 1+x%10, map[byte]string{'a': "stored", 'u': "nothing"}[letter], y))
		case 'e':
			_ = stream.Send(p.answer(&waiting, unanswered, 1+x%10, "failed", y))
		case 'w':
			_ = stream.Send(&messageproxyv1.ProduceResponse{Results: []*messageproxyv1.ProduceResult{
				{Sequence: 0}, {Sequence: 1 << 63, Outcome: stored}, {Sequence: uint64(x + 1000), Outcome: stored}, {},
			}})
		case 'd': // again
			_ = stream.Send(p.answer(new(waiting), unanswered, 1+x%10, "stored", y))
		case 'n':
			_ = stream.Send(&messageproxyv1.ProduceResponse{})
		case 'g':
			_ = stream.SendMsg(p.garbage(y % 32))
		case 't', 'T':
			e := anyError(x, y)
			p.noteEnd(e)
			_ = stream.Send(&messageproxyv1.ProduceResponse{TerminalError: e})
			if letter == 't' {
				return anyStatus(y, x)
			}
		case 's':
			err := anyStatus(x, y)
			p.noteEnd(anyError(y, x)) // which may be in it
			return err
		case 'o':
			return nil
		case 'z':
			wait(stream, x)
		}
	}
}

func (p *producingFuzz) garbage(n int) []byte {
	data := p.script.bytes(n)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.anything = p.anything || proto.Unmarshal(data, &messageproxyv1.ProduceResponse{}) == nil
	return data
}

var stored = &messageproxyv1.ProduceResult_Receipt{Receipt: &messageproxyv1.MessageReceipt{MessageId: "id"}}

func (p *producingFuzz) receive(request *messageproxyv1.ProduceRequest, unanswered map[uint64]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range request.GetMessages() {
		p.got[string(m.GetValue())] = true
		unanswered[m.GetSequence()] = true
	}
	assert.True(p.t, len(unanswered) <= maxOutstanding || p.anything, "%d messages are outstanding", len(unanswered))
}

func (p *producingFuzz) noteEnd(e *messageproxyv1.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drained = p.drained || e.GetCode() == messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN
}

// answer takes some of the messages that wait, the last first if y is odd, and
// answers them.
func (p *producingFuzz) answer(waiting *[]*messageproxyv1.OutgoingMessage, unanswered map[uint64]bool, n int, what string, y int) *messageproxyv1.ProduceResponse {
	p.mu.Lock()
	defer p.mu.Unlock()
	response := &messageproxyv1.ProduceResponse{}
	for range min(n, len(*waiting)) {
		at := y % 2 * (len(*waiting) - 1)
		m := (*waiting)[at]
		*waiting = append((*waiting)[:at:at], (*waiting)[at+1:]...)
		delete(unanswered, m.GetSequence())
		result := &messageproxyv1.ProduceResult{Sequence: m.GetSequence()}
		switch what {
		case "stored":
			result.Outcome = stored
		case "failed":
			result.Outcome = &messageproxyv1.ProduceResult_Error{Error: anyError(y, y)}
		}
		if p.told[string(m.GetValue())] == nil {
			p.told[string(m.GetValue())] = make(map[string]bool)
		}
		p.told[string(m.GetValue())][what] = true
		response.Results = append(response.Results, result)
	}
	return response
}
