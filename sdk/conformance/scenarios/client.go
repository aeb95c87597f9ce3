package scenarios

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"time"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"

	"github.com/messageproxy/messageproxy/sdk/conformance/protocol"
	"github.com/messageproxy/messageproxy/sdk/conformance/script"
	"github.com/messageproxy/messageproxy/sdk/conformance/suite"
)

func client() []suite.Scenario {
	return []suite.Scenario{
		{Name: "a server vanishes without a word", Shows: []string{"C7", "P11"}, Run: vanishingServer, Slow: true, Timeout: 2 * time.Minute},
		{Name: "a server is silent", Shows: []string{"C7"}, Run: silentServer, Slow: true, Timeout: 2 * time.Minute},
		{Name: "making a client does not connect", Shows: []string{"C1"}, Run: makingDoesNotConnect},
		{Name: "targets that can never work", Shows: []string{"C2"}, Run: badTargets},
		{Name: "options of a client out of range", Shows: []string{"C3"}, Run: badClientOptions},
		{Name: "options of a client at the ends of their ranges", Shows: []string{"C3"}, Run: goodClientOptions},
		{Name: "options of consume out of range", Shows: []string{"C3"}, Run: badConsumeOptions},
		{Name: "one stream for all produce calls, a connection for each consume", Shows: []string{"C4"}, Run: streamsAndConnections},
		{Name: "plaintext by default, TLS by an option", Shows: []string{"C5"}, Run: plaintextAndTLS},
		{Name: "a name with several addresses", Shows: []string{"C6"}, Run: severalAddresses, Names: []string{manyName}},
		{Name: "large messages are received", Shows: []string{"C8"}, Run: largeMessages},
		{Name: "closing fails what is unanswered", Shows: []string{"C9", "P2"}, Run: closingFailsTheUnanswered},
		{Name: "closing stops consume calls in good order", Shows: []string{"C9", "S1", "T1"}, Run: closingStopsConsume},
		{Name: "calls on a closed client", Shows: []string{"C10", "E2"}, Run: callsOnAClosedClient},
	}
}

func makingDoesNotConnect(h *suite.Harness) {
	s := h.Server(script.Options{})
	for _, use := range []string{"produce", "consume"} {
		before := len(s.Connections())
		c := h.Open(s.Addr(), fast())
		h.Quiet()
		require.Len(h, s.Connections(), before, "a client that nobody uses")
		if use == "produce" {
			call := c.Produce(msg("v"))
			s.AwaitProduce().AnswerAll()
			call.Receipt()
		} else {
			c.Consume("billing", topics, nil)
			s.AwaitConsume().AwaitSubscribe()
		}
		require.Len(h, s.Connections(), before+1, use)
	}
	refusing := h.Server(script.Options{Refusing: true})
	h.Open(refusing.Addr(), fast()) // nobody has noticed
}

func badTargets(h *suite.Harness) {
	for _, target := range []string{
		"", "http://127.0.0.1:7070", "https://127.0.0.1:7070", "HTTP://127.0.0.1:7070",
		"127.0.0.1", "localhost", ":7070", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:port",
		"dns:///", "dns:///localhost", "dns:///localhost:0", "dns:///:7070", "dns://127.0.0.1/localhost",
	} {
		e := h.OpenRefused(target, fast())
		assert.Equal(h, protocol.KindError, e.Kind, "the target %q: %s", target, e.Message)
		assert.EqualValues(h, invalidArgument, e.Code, "the target %q: %s", target, e.Message)
		assert.False(h, e.Retryable, "the target %q", target)
	}
	for _, target := range []string{"127.0.0.1:1", "127.0.0.1:65535", "[::1]:7070", "localhost:7070", "proxies.example.com:7070", "dns:///localhost:7070"} {
		h.Open(target, fast())
	}
}

// otherNames are those of options that an SDK may have split.
var otherNames = map[string]string{"attempts": "retry_backoff"}

// names says whether an error names an option, whatever its language makes of the name.
func names(e *protocol.Error, option string) bool {
	if other, ok := otherNames[option]; ok && names(e, other) {
		return true
	}
	plain := func(s string) string {
		return strings.Map(func(r rune) rune {
			if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
				return -1
			}
			return unicode.ToLower(r)
		}, s)
	}
	return strings.Contains(plain(e.Message), plain(option))
}

type options = map[string]any

// badOption is an option and a value that it can't have.
type badOption struct {
	option string
	value  any
}

func (b badOption) check(h *suite.Harness, e *protocol.Error) {
	assert.Equal(h, protocol.KindError, e.Kind, "%s: %v: %s", b.option, b.value, e.Message)
	assert.EqualValues(h, invalidArgument, e.Code, "%s: %v: %s", b.option, b.value, e.Message)
	assert.False(h, e.Retryable, "%s: %v", b.option, b.value)
	assert.True(h, names(e, b.option), "%s: %v: the error doesn't name the option: %s", b.option, b.value, e.Message)
}

func badClientOptions(h *suite.Harness) {
	s := h.Server(script.Options{})
	for _, bad := range []badOption{
		{"client_name", strings.Repeat("n", 513)},
		{"client_name", strings.Repeat("é", 257)}, // 514 bytes
		{"client_name", protocol.NoUnicode},
		{"reconnect_backoff", []int{0, 1000}},
		{"reconnect_backoff", []int{-1, 1000}},
		{"reconnect_backoff", []int{1000, 999}},
		{"max_outstanding", []int{0, 1000}},
		{"max_outstanding", []int{-1, 1000}},
		{"max_outstanding", []int{1000, 0}},
		{"max_outstanding", []int{1000, -1}},
		{"max_message_bytes", 0},
		{"max_message_bytes", -1},
		{"max_message_bytes", 1<<30 + 1},
	} {
		bad.check(h, h.OpenRefused(s.Addr(), options{bad.option: bad.value}))
	}
}

func goodClientOptions(h *suite.Harness) {
	s := h.Server(script.Options{})
	for _, o := range []protocol.ClientOptions{
		{ClientName: ptr(protocol.Text(""))},
		{ClientName: ptr(protocol.Text(strings.Repeat("n", 512)))},
		{ClientName: ptr(protocol.Text(strings.Repeat("é", 256)))},
		{ReconnectBackoff: &[2]int64{1, 1}},
		{MaxOutstanding: &[2]int64{1, 1}},
		{MaxMessageBytes: ptr[int64](1)},
		{MaxMessageBytes: ptr[int64](1 << 30)},
	} {
		h.Open(s.Addr(), o)
	}
}

func badConsumeOptions(h *suite.Harness) {
	s := h.Server(script.Options{})
	c := h.Open(s.Addr(), fast())
	for _, bad := range []badOption{
		{"max_handlers", -1},
		{"key_workers", -1},
		{"attempts", []int{0, 100, 1000}},
		{"attempts", []int{-1, 100, 1000}},
		{"attempts", []int{5, -1, 1000}},
		{"attempts", []int{5, 1000, 999}},
		{"max_unacked", -1},
		{"max_unacked", int64(1 << 31)},
		{"ack_timeout", -1},
		{"drain_timeout", -1},
		{"start", "middle"},
	} {
		bad.check(h, c.Consume("billing", topics, options{bad.option: bad.value}).Error())
	}
	h.Quiet()
	_, streams := s.Streams()
	require.Zero(h, streams, "nothing was sent")
	good := options{
		"max_handlers": 0, "key_workers": 0, "attempts": []int{1, 0, 0}, "max_unacked": int64(1<<31 - 1),
		"ack_timeout": 0, "drain_timeout": 0, "start": "latest",
	}
	c.Consume("billing", topics, good)
	s.AwaitConsume().AwaitSubscribe()
}

func streamsAndConnections(h *suite.Harness) {
	s := h.Server(script.Options{})
	c := h.Open(s.Addr(), fast())
	first, second := c.Produce(msg("1")), c.Produce(msg("2"))
	produced := s.AwaitProduce()
	produced.Await(2)
	c.Consume("billing", topics, nil)
	a := s.AwaitConsume()
	c.Consume("shipping", topics, nil)
	b := s.AwaitConsume()
	third := c.Produce(msg("3"))
	produced.Await(3)
	produced.Answer(1, 2, 3)
	first.Receipt()
	second.Receipt()
	third.Receipt()
	h.Quiet()
	produces, consumes := s.Streams()
	require.Equal(h, 1, produces, "all produce calls share one stream")
	require.Equal(h, 2, consumes)
	require.NotSame(h, a.Connection, b.Connection)
	require.NotSame(h, a.Connection, produced.Connection)
	require.NotSame(h, b.Connection, produced.Connection)
}

// certificate is one for 127.0.0.1, and itself as the root for clients.
func certificate(h *suite.Harness) (tls.Certificate, string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(h, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "conformance"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(h, err)
	pemBytes := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(pemBytes)
}

func plaintextAndTLS(h *suite.Harness) {
	plain := h.Server(script.Options{})
	call := h.Open(plain.Addr(), fast()).Produce(msg("plain"))
	plain.AwaitProduce().AnswerAll()
	call.Receipt()

	cert, roots := certificate(h)
	s := h.Server(script.Options{TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12}})
	o := fast()
	o.TLS = &protocol.TLSOption{Roots: &roots}
	c := h.Open(s.Addr(), o)
	call = c.Produce(msg("secret"))
	s.AwaitProduce().AnswerAll()
	call.Receipt()
	c.Consume("billing", topics, nil)
	s.AwaitConsume().AwaitSubscribe()

	// Nobody gets through who doesn't know the certificate, or speaks plaintext.
	o.TLS = &protocol.TLSOption{}
	unknown := h.Open(s.Addr(), o).Produce(msg("system's roots"))
	plaintext := h.Open(s.Addr(), fast()).Produce(msg("plaintext"))
	before := len(s.Connections())
	s.AwaitConnections(before + 4)
	h.Quiet()
	produces, _ := s.Streams()
	require.Equal(h, 1, produces)
	require.False(h, unknown.Answered() && plaintext.Answered(), "produce waits")
}

// manyName is a name with two addresses, where there is a way to make one.
const manyName = "proxies.test"

func severalAddresses(h *suite.Harness) {
	first := h.Server(script.Options{IP: [4]byte{127, 0, 0, 1}})
	second := h.Server(script.Options{IP: [4]byte{127, 0, 0, 2}, Port: first.Port()})
	// gRPC libraries ask the name server of such a target; the names of those that don't
	// are made by the suite.
	target := fmt.Sprintf("dns://%s/%s:%d", startNameServer(h, net.IPv4(127, 0, 0, 1), net.IPv4(127, 0, 0, 2)), manyName, first.Port())
	if !h.Opens(target, fast()) {
		target = fmt.Sprintf("%s:%d", manyName, first.Port())
	}

	const clients = 30
	for range clients {
		c := h.Open(target, fast())
		call := c.Produce(msg("v"))
		answerAt(h, call, first, second)
	}
	n, m := len(first.Connections()), len(second.Connections())
	require.Positive(h, n, "clients spread over the addresses")
	require.Positive(h, m, "clients spread over the addresses")

	for _, s := range []*script.Server{first, second} { // whichever it was connected to
		s.Refuse()
		s.CutConnections()
		c := h.Open(target, fast())
		call := c.Produce(msg("moved on"))
		answerAt(h, call, first, second)
		s.Listen()
	}
}

// answered is a call whose answer can be looked for.
type answered interface{ Answered() bool }

// answerAt answers what comes to any of the servers until the call is answered.
func answerAt(h *suite.Harness, call answered, servers ...*script.Server) {
	deadline := time.Now().Add(5 * time.Second)
	seen := make([]bool, len(servers))
	for !call.Answered() {
		for i, s := range servers {
			if s.HasProduce() {
				s.AwaitProduce().AnswerAll()
				seen[i] = true
			}
		}
		if time.Now().After(deadline) {
			if len(servers[0].Connections())+len(servers[1].Connections()) == 0 {
				h.Skip("there is no way to give this language's programs a name with several addresses")
			}
			h.Errorf("no produce stream came to any address of the name within 5 s")
			h.FailNow()
		}
		time.Sleep(time.Millisecond)
	}
}

func vanishingServer(h *suite.Harness) {
	s := h.Server(script.Options{})
	c := h.Open(s.Addr(), fast())
	j := joinAt(h, s, c, protocol.ConsumeOptions{})
	call := c.Produce(msg("v"))
	produced := s.AwaitProduce()
	produced.Await(1)
	// The libraries' own pings, with which they measure a connection that has been used,
	// are over; those of a keepalive alone can notice what follows.
	time.Sleep(500 * time.Millisecond)
	frozen := time.Now()
	for _, connection := range s.Connections() {
		connection.Freeze()
	}
	j.EventWithin(75*time.Second, "disconnected")
	noticed := time.Since(frozen)
	require.Less(h, noticed, 55*time.Second, "30 s of silence, and 10 s to answer")
	e := call.ErrorWithin(60*time.Second - noticed)
	require.EqualValues(h, unknownOutcome, e.Code, e.Message)
	s.AwaitConsumeWithin(15 * time.Second).AwaitSubscribe()
}

func silentServer(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{})
	call := j.client.Produce(msg("v"))
	produced := j.server.AwaitProduce()
	produced.Await(1)
	select {
	case <-time.After(50 * time.Second): // a keepalive and its time are over
	case <-h.Context().Done():
	}
	h.Ping()
	require.Len(h, j.Events(), 1, "silence alone is no reason to give a server up")
	produced.Answer(1)
	call.Receipt()
	j.stream.Deliver(topic, 0, script.Message("a"))
	j.HandlingOf("a").OK()
	j.stream.AwaitAcks(1)
	require.Len(h, j.server.Connections(), 2)
}

func largeMessages(h *suite.Harness) {
	const size = 24 << 20
	j := join(h, protocol.ConsumeOptions{})
	large := script.Message("large")
	large.Value = make([]byte, size)
	large.Value[size-1] = 7
	j.stream.Deliver(topic, 0, large, script.Message("after"))
	handling := j.HandlingOf("large")
	require.Len(h, handling.Message.Value, size)
	require.EqualValues(h, 7, handling.Message.Value[size-1])
	handling.OK()
	j.HandlingOf("after").OK()
	require.Equal(h, []string{"large", "after"}, j.stream.AwaitAcks(2))

	call := j.client.Produce(msg("v"))
	produced := j.server.AwaitProduce()
	produced.Await(1)
	response := &messageproxyv1.ProduceResponse{Results: []*messageproxyv1.ProduceResult{script.Stored(1)}}
	for i := range 300_000 { // of messages that nobody awaits, 10 MiB
		response.Results = append(response.Results, script.Stored(uint64(1000+i)))
	}
	produced.Send(response)
	require.Equal(h, "id-1", call.Receipt().MessageID)
}

func closingFailsTheUnanswered(h *suite.Harness) {
	s := h.Server(script.Options{})
	o := fast()
	o.MaxOutstanding = &[2]int64{1, 1000}
	c := h.Open(s.Addr(), o)
	onWire, waiting := c.Produce(msg("on the wire")), c.Produce(msg("waiting for room"))
	produced := s.AwaitProduce()
	produced.Await(1)
	unreachable := h.Open(h.Server(script.Options{Refusing: true}).Addr(), fast())
	neverSent := unreachable.Produce(msg("never sent"))
	h.Ping()

	closing := c.Close()
	onWire.Failed(protocol.KindError, int32(unknownOutcome))
	waiting.Failed(protocol.KindClosed, 0)
	closing.OK()
	unreachable.Close().OK()
	neverSent.Failed(protocol.KindClosed, 0)
	c.Close().OK()
	unreachable.Close().OK()
	require.Equal(h, []string{"on the wire"}, values(produced.Messages()))
}

func closingStopsConsume(h *suite.Harness) {
	j := join(h, protocol.ConsumeOptions{})
	j.stream.Deliver(topic, 0, script.Message("a"), script.Message("b"))
	a := j.HandlingOf("a")
	closing := j.client.Close()
	j.stream.AwaitLeave()
	h.Quiet()
	require.False(h, j.Answered(), "a handler runs")
	require.False(h, a.Cancelled())
	a.OK()
	require.Equal(h, []string{"a"}, j.stream.AwaitAcks(1))
	j.end()
	j.Failed(protocol.KindClosed, 0)
	closing.OK()
	require.Empty(h, j.Waiting(), "b never began")
	_, streams := j.server.Streams()
	require.Equal(h, 1, streams)
}

func callsOnAClosedClient(h *suite.Harness) {
	s := h.Server(script.Options{})
	c := h.Open(s.Addr(), fast())
	c.Close().OK()
	c.Produce(msg("v")).Failed(protocol.KindClosed, 0)
	c.Consume("billing", topics, nil).Failed(protocol.KindClosed, 0)
	c.Flush().Failed(protocol.KindClosed, 0)
	require.Empty(h, s.Connections())
}
