package conformance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"

	"github.com/messageproxy/messageproxy/sdk/conformance/driver"
	"github.com/messageproxy/messageproxy/sdk/conformance/internal/await"
	"github.com/messageproxy/messageproxy/sdk/conformance/scenarios"
	"github.com/messageproxy/messageproxy/sdk/conformance/suite"
)

// violation is an SDK that breaks a sentence, and the scenario that must notice.
type violation struct {
	name     string
	sentence string
	scenario string
	launch   driver.Launch
}

func violations() []violation {
	return slices.Concat(violationsOnTheWire(), violationsOfOptions(), violationsOfWords())
}

func violationsOnTheWire() []violation {
	produced := func(change func(*messageproxyv1.ProduceRequest)) driver.Launch {
		return inProcess(nil, nil, tamper(tampering{produce: change}))
	}
	consuming := func(change func(*messageproxyv1.ConsumeRequest) []*messageproxyv1.ConsumeRequest) driver.Launch {
		return inProcess(nil, nil, tamper(tampering{consume: change}))
	}
	delivered := func(change func(*messageproxyv1.ConsumeResponse) error) driver.Launch {
		return inProcess(nil, nil, tamper(tampering{deliver: change}))
	}
	message := func(change func(*messageproxyv1.Message)) driver.Launch {
		return delivered(func(r *messageproxyv1.ConsumeResponse) error {
			for _, p := range r.GetBatch().GetPartitions() {
				for _, m := range p.GetMessages() {
					change(m)
				}
			}
			return nil
		})
	}
	statusesUnavailable := inProcess(nil, nil, tamper(tampering{end: func(err error) error {
		if len(status.Convert(err).Details()) > 0 {
			return err
		}
		return status.Error(codes.Unavailable, status.Convert(err).Message())
	}}))
	return []violation{
		{"messages of a frame change places", "P5", "messages go out in order", produced(func(r *messageproxyv1.ProduceRequest) {
			slices.Reverse(r.Messages)
		})},
		{"sequences count from 2", "P7", "messages go out in order", produced(func(r *messageproxyv1.ProduceRequest) {
			for _, m := range r.Messages {
				m.Sequence++
			}
		})},
		{"empty keys become absent", "P8", "absent and empty are different on the way out", produced(func(r *messageproxyv1.ProduceRequest) {
			for _, m := range r.Messages {
				if len(m.Key) == 0 {
					m.Key = nil
				}
			}
		})},
		{"headers are sorted", "P8", "absent and empty are different on the way out", produced(func(r *messageproxyv1.ProduceRequest) {
			for _, m := range r.Messages {
				slices.SortFunc(m.Headers, func(a, b *messageproxyv1.Header) int { return bytes.Compare([]byte(a.GetKey()), []byte(b.GetKey())) })
			}
		})},
		{"max unacked is always asked for", "S2", "the subscribe request", consuming(func(r *messageproxyv1.ConsumeRequest) []*messageproxyv1.ConsumeRequest {
			if s := r.GetSubscribe(); s != nil {
				s.MaxUnackedMessages = new(uint32(1000))
			}
			return []*messageproxyv1.ConsumeRequest{r}
		})},
		{"ACKs go one by one", "S3", "ACKs gather", consuming(func(r *messageproxyv1.ConsumeRequest) []*messageproxyv1.ConsumeRequest {
			var each []*messageproxyv1.ConsumeRequest
			for _, id := range r.GetAck().GetMessageIds() {
				ack := &messageproxyv1.AckRequest{MessageIds: []string{id}}
				each = append(each, &messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Ack{Ack: ack}})
			}
			if each == nil {
				return []*messageproxyv1.ConsumeRequest{r}
			}
			return each
		})},
		{"ACKs go twice", "S3", "messages are handled and ACKed", consuming(func(r *messageproxyv1.ConsumeRequest) []*messageproxyv1.ConsumeRequest {
			if r.GetAck() != nil {
				return []*messageproxyv1.ConsumeRequest{r, r}
			}
			return []*messageproxyv1.ConsumeRequest{r}
		})},
		{"nobody leaves", "T1", "a caller ends consume", consuming(func(r *messageproxyv1.ConsumeRequest) []*messageproxyv1.ConsumeRequest {
			if r.GetLeave() != nil {
				return nil
			}
			return []*messageproxyv1.ConsumeRequest{r}
		})},
		{"empty values become absent", "S12", "messages are as the server sent them", message(func(m *messageproxyv1.Message) {
			if len(m.Value) == 0 {
				m.Value = nil
			}
		})},
		{"attempts are lost", "S12", "messages are as the server sent them", message(func(m *messageproxyv1.Message) { m.DeliveryAttempt = 1 })},
		{"messages of a batch change places", "S4", "partitions have an order, and are handled at the same time", delivered(func(r *messageproxyv1.ConsumeResponse) error {
			for _, p := range r.GetBatch().GetPartitions() {
				slices.Reverse(p.GetMessages())
			}
			return nil
		})},
		{"the ACK timeout isn't known", "H3", "attempts begin within the ACK timeout", delivered(func(r *messageproxyv1.ConsumeResponse) error {
			if s := r.GetSubscribed(); s != nil {
				s.AckTimeout = nil
			}
			return nil
		})},
		{"statuses lose their details", "R7", "why a stream ended", inProcess(nil, nil, tamper(tampering{end: func(err error) error {
			return status.Error(status.Code(err), status.Convert(err).Message())
		}}))},
		{"every end of a stream is one that can be mended", "R7", "why a stream ended", statusesUnavailable},
		{"a response that can't be decoded is a lost connection", "R8", "responses that can't be decoded", statusesUnavailable},
		{"an unknown response ends the stream", "S11", "responses of a newer server", delivered(func(r *messageproxyv1.ConsumeResponse) error {
			if r.GetResponse() == nil {
				return status.Error(codes.Internal, "what is this?")
			}
			return nil
		})},
	}
}

func violationsOfOptions() []violation {
	given := func(o messageproxy.Option) driver.Launch { return inProcess(nil, nil, o) }
	// without ignores an option of commands.
	without := func(option string) driver.Launch {
		return inProcess(edit(func(command map[string]any) bool {
			if options, ok := command["options"].(map[string]any); ok {
				delete(options, option)
			}
			return true
		}), nil)
	}
	// asIf takes a command for another one.
	asIf := func(op, other string) driver.Launch {
		return inProcess(edit(func(command map[string]any) bool {
			if command["op"] == op {
				command["op"] = other
			}
			return true
		}), nil)
	}
	return []violation{
		{"flush waits for nothing", "P16", "flush", asIf("flush", "ping")},
		{"nothing is withdrawn", "P14", "a call ends before its message is on the wire", asIf("cancel", "ping")},
		{"consume goes on", "T3", "a caller ends consume with nothing to do", asIf("cancel", "ping")},
		{"close closes nothing", "C9", "closing fails what is unanswered", asIf("close", "ping")},
		{"no wait before another attempt", "R1", "back-off of consume streams", given(messageproxy.WithReconnectBackoff(1, 1))},
		{"the wait never begins anew", "R2", "a message is progress", given(messageproxy.WithReconnectBackoff(time.Minute, time.Minute))},
		{"gRPC's own limit of messages", "C8", "large messages are received", given(messageproxy.WithDialOptions(grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(4 << 20))))},
		{"no limit of a message", "P4", "messages that are too large", given(messageproxy.WithMaxMessageBytes(1 << 30))},
		{"no limit of what is outstanding", "P10", "room for messages, by number", given(messageproxy.WithMaxOutstanding(1000, 1<<30))},
		{"another client name", "S2", "the subscribe request", given(messageproxy.WithClientName("somebody"))},
		{"max handlers are ignored", "S5", "max handlers", without("max_handlers")},
		{"key workers are ignored", "S6", "messages without a key have no order", without("key_workers")},
		{"attempts are ignored", "H4", "a handler that failed for good", without("attempts")},
		{"the failure handler is ignored", "H5", "a failure handler that succeeds", without("failure_handler")},
		{"the drain timeout is ignored", "T2", "handlers that don't return", without("drain_timeout")},
		{"the start is ignored", "S2", "the options of the subscribe request", without("start")},
		{"the bounds of options are ignored", "C3", "options of a client out of range", without("reconnect_backoff")},
	}
}

func violationsOfWords() []violation {
	said := func(filter lineFilter) driver.Launch { return inProcess(nil, filter) }
	failure := func(change func(e map[string]any)) driver.Launch {
		return said(edit(func(line map[string]any) bool {
			if e, ok := line["error"].(map[string]any); ok {
				change(e)
			}
			return true
		}))
	}
	withoutEvent := func(kind string) driver.Launch {
		return said(edit(func(line map[string]any) bool {
			event, ok := line["event"].(map[string]any)
			return !ok || event["kind"] != kind
		}))
	}
	var grown float64
	return []violation{
		{"CLOSED looks like anything else", "E2", "calls on a closed client", failure(func(e map[string]any) { e["kind"] = "other" })},
		{"unknown codes lose their number", "E1", "errors of single messages", failure(func(e map[string]any) {
			if e["code"] == 99.0 {
				delete(e, "code")
			}
		})},
		{"an unknown outcome looks like an end by the caller", "P15", "a call ends with its message on the wire", failure(func(e map[string]any) { e["kind"] = "cancelled" })},
		{"attempts are counted from 0", "H4", "attempts, by default", failure(func(e map[string]any) {
			if n, ok := e["attempts"].(float64); ok {
				e["attempts"] = n - 1
			}
		})},
		{"receipts lose their partition", "P1", "receipts", said(edit(func(line map[string]any) bool {
			if ok, is := line["ok"].(map[string]any); is && ok["partition"] != nil {
				ok["partition"] = 0
			}
			return true
		}))},
		{"nobody hears of the recovery", "S10", "the observer hears of everything", withoutEvent("recovered")},
		{"nobody hears of the disconnection", "S13", "a stream is opened again with the same request", withoutEvent("disconnected")},
		{"handlers aren't told to end", "S8", "a lost stream", said(edit(func(line map[string]any) bool { return line["cancelled"] == nil }))},
		{"values are logged", "L2", "nothing of a message is logged", said(edit(func(line map[string]any) bool {
			if log, ok := line["log"].(map[string]any); ok {
				log["text"] = "s3cret-value"
			}
			return true
		}))},
		{"nothing is logged", "L1", "the log", said(edit(func(line map[string]any) bool { return line["log"] == nil }))},
		{"memory grows", "", "memory doesn't grow with what goes through", said(edit(func(line map[string]any) bool {
			if ok, is := line["ok"].(map[string]any); is && ok["bytes"] != nil {
				grown += 64 << 20 // more than what the other tests of this process may free meanwhile
				ok["bytes"] = ok["bytes"].(float64) + grown
			}
			return true
		}))},
		{"a command is answered twice", "", "calls on a closed client", said(func(line []byte) []byte { return append(line, line...) })},
		{"standard output has something else on it", "", "calls on a closed client", said(func(line []byte) []byte { return append([]byte("debug\n"), line...) })},
	}
}

// TestViolationsAreNoticed shows for each scenario of an SDK that breaks a sentence that
// it fails, and so that it doesn't pass whatever is done.
func TestViolationsAreNoticed(t *testing.T) {
	patience := await.Patience
	await.Patience = 3 * time.Second
	t.Cleanup(func() { await.Patience = patience })
	for _, v := range violations() {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			all := scenarios.All()
			i := slices.IndexFunc(all, func(s suite.Scenario) bool { return s.Name == v.scenario })
			require.GreaterOrEqual(t, i, 0, "there is no scenario %q", v.scenario)
			if v.sentence != "" {
				require.Contains(t, all[i].Shows, v.sentence)
			}
			results := suite.Run(t.Context(), suite.Config{
				Drivers:   []suite.Driver{{Name: "spoiled", Launch: v.launch}},
				Scenarios: all[i : i+1],
			})
			require.NotEmpty(t, results)
			require.Equal(t, v.scenario, results[0].Scenario.Name)
			assert.Equal(t, suite.Failed, results[0].Outcome, "%q has passed", v.scenario)
			assert.NotEmpty(t, results[0].Why)
			t.Log(results[0].Why)
		})
	}
}

// edit changes lines; false drops one.
func edit(change func(line map[string]any) bool) lineFilter {
	return func(line []byte) []byte {
		var object map[string]any
		if err := json.Unmarshal(line, &object); err != nil || !change(object) {
			return nil
		}
		changed, err := json.Marshal(object)
		if err != nil {
			return nil
		}
		return append(changed, '\n')
	}
}

// tampering is what an SDK does wrong on the wire.
type tampering struct {
	produce func(*messageproxyv1.ProduceRequest)
	consume func(*messageproxyv1.ConsumeRequest) []*messageproxyv1.ConsumeRequest
	deliver func(*messageproxyv1.ConsumeResponse) error
	end     func(err error) error // of a consume stream
}

// tamper has the streams of a client tampered with.
func tamper(how tampering) messageproxy.Option {
	return messageproxy.WithDialOptions(grpc.WithChainStreamInterceptor(
		func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			stream, err := streamer(ctx, desc, cc, method, opts...)
			if err != nil {
				return nil, err
			}
			return &tamperedStream{stream, how, method == messageproxyv1.MessageProxy_Produce_FullMethodName}, nil
		}))
}

type tamperedStream struct {
	grpc.ClientStream
	how       tampering
	isProduce bool
}

// SendMsg implements grpc.ClientStream.
func (s *tamperedStream) SendMsg(m any) error {
	data, err := proto.Marshal(m.(proto.Message))
	switch {
	case err != nil:
		return err
	case s.isProduce && s.how.produce != nil:
		request := &messageproxyv1.ProduceRequest{}
		if err := proto.Unmarshal(data, request); err != nil {
			return err
		}
		s.how.produce(request)
		return s.ClientStream.SendMsg(request)
	case !s.isProduce && s.how.consume != nil:
		request := &messageproxyv1.ConsumeRequest{}
		if err := proto.Unmarshal(data, request); err != nil {
			return err
		}
		for _, r := range s.how.consume(request) {
			if err := s.ClientStream.SendMsg(r); err != nil {
				return err
			}
		}
		return nil
	}
	return s.ClientStream.SendMsg(m)
}

// RecvMsg implements grpc.ClientStream.
func (s *tamperedStream) RecvMsg(m any) error {
	if s.isProduce || s.how.deliver == nil {
		err := s.ClientStream.RecvMsg(m)
		if err != nil && !s.isProduce && s.how.end != nil {
			return s.how.end(err)
		}
		return err
	}
	response := &messageproxyv1.ConsumeResponse{}
	if err := s.ClientStream.RecvMsg(response); err != nil {
		return err
	}
	if err := s.how.deliver(response); err != nil {
		return err
	}
	data, err := proto.Marshal(response)
	if err != nil {
		return err
	}
	return proto.Unmarshal(data, m.(proto.Message))
}
