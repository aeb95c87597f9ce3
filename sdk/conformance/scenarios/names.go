package scenarios

import (
	"net"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/messageproxy/messageproxy/sdk/conformance/suite"
)

// startNameServer starts a name server for which every name has these addresses, until the
// scenario ends, and returns its address.
func startNameServer(h *suite.Harness, addresses ...net.IP) string {
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(h, err)
	go func() {
		<-h.Context().Done()
		_ = conn.Close() // ends what follows
	}()
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if answer, err := answerQuery(buffer[:n], addresses); err == nil {
				_, _ = conn.WriteTo(answer, from) // the client asks again
			}
		}
	}()
	return conn.LocalAddr().String()
}

func answerQuery(query []byte, addresses []net.IP) ([]byte, error) {
	var parser dnsmessage.Parser
	header, err := parser.Start(query)
	if err != nil {
		return nil, err
	}
	question, err := parser.Question()
	if err != nil {
		return nil, err
	}
	message := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: header.ID, Response: true, Authoritative: true, RecursionDesired: header.RecursionDesired, RecursionAvailable: true},
		Questions: []dnsmessage.Question{question},
	}
	if question.Type == dnsmessage.TypeA {
		for _, ip := range addresses {
			message.Answers = append(message.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: question.Name, Type: question.Type, Class: question.Class, TTL: 1},
				Body:   &dnsmessage.AResource{A: [4]byte(ip.To4())},
			})
		}
	}
	return message.Pack()
}
