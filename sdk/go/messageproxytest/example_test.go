package messageproxytest_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
	"github.com/messageproxy/messageproxy/sdk/go/messageproxytest"
)

// bill is the handler under test.
func bill(_ context.Context, m *messageproxy.Message) error {
	if len(m.Value) == 0 {
		return errors.New("an order of nothing")
	}
	return nil
}

// The handler ACKs one message and fails with the other.
func Example() {
	server := messageproxytest.NewServer()
	defer server.Close()
	client, err := server.NewClient()
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	server.Add(
		&messageproxy.Message{Topic: "orders", Key: []byte("ada"), Value: []byte("a cup")},
		&messageproxy.Message{Topic: "orders", Key: []byte("ada")},
	)

	err = client.Subscription("billing", "orders").Consume(context.Background(), bill, messageproxy.WithAttempts(2, 0, 0))
	fmt.Println(err)
	for _, m := range server.Acked("billing") {
		fmt.Printf("ACKed: %s\n", m.Value)
	}
	// Output:
	// the handler failed 2 times with message orders/3/1 of orders/3: an order of nothing
	// ACKed: a cup
}

// What does the application do when it can't know whether a message is stored?
func ExampleServer_OnProduce() {
	server := messageproxytest.NewServer()
	defer server.Close()
	client, err := server.NewClient()
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	server.OnProduce(func(*messageproxy.Message) error {
		go server.CutConnections()
		return messageproxytest.ErrLoseResult
	})

	_, err = client.Produce(context.Background(), &messageproxy.Message{Topic: "orders"})
	fmt.Println(errors.Is(err, messageproxy.ErrUnknownOutcome), len(server.Messages("orders")))
	// Output: true 1
}
