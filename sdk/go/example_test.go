package messageproxy_test

import (
	"context"
	"fmt"
	"log"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
	"github.com/messageproxy/messageproxy/sdk/go/messageproxytest"
)

// newExampleClient stands for
//
//	client, err := messageproxy.NewClient("localhost:7070")
//
// so that the examples run anywhere.
func newExampleClient() (client *messageproxy.Client, stop func()) {
	server := messageproxytest.NewServer()
	client, err := server.NewClient()
	if err != nil {
		log.Fatal(err)
	}
	return client, func() {
		_ = client.Close()
		server.Close()
	}
}

func ExampleNewClient() {
	// Plaintext, which is right for a quick start. For production:
	//	messageproxy.NewClient("proxy.example.com:7070", messageproxy.WithTLS(nil))
	client, err := messageproxy.NewClient("localhost:7070")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	fmt.Println("nothing is dialled before the first Produce or Consume")
	// Output: nothing is dialled before the first Produce or Consume
}

func ExampleClient_Produce() {
	client, stop := newExampleClient()
	defer stop()

	receipt, err := client.Produce(context.Background(), &messageproxy.Message{
		Topic: "orders",
		Key:   []byte("customer-7"), // the orders of a customer stay in order
		Value: []byte("two cups"),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("stored as", receipt.MessageID)
	// Output: stored as orders/1/0
}

func ExampleClient_ProduceAsync() {
	client, stop := newExampleClient()
	defer stop()

	ctx := context.Background()
	for i := range 3 {
		m := &messageproxy.Message{Topic: "orders", Key: []byte("customer-7"), Value: fmt.Append(nil, "order ", i)}
		client.ProduceAsync(ctx, m, func(receipt messageproxy.Receipt, err error) {
			fmt.Println(receipt.MessageID, err)
		})
	}
	if err := client.Flush(ctx); err != nil { // waits for the callbacks
		log.Fatal(err)
	}
	// Output:
	// orders/1/0 <nil>
	// orders/1/1 <nil>
	// orders/1/2 <nil>
}

func ExampleClient_Flush() {
	client, stop := newExampleClient()
	defer stop()

	ctx := context.Background()
	client.ProduceAsync(ctx, &messageproxy.Message{Topic: "orders", Value: []byte("a cup")}, nil)
	fmt.Println(client.Flush(ctx))
	// Output: <nil>
}

func ExampleSubscription_Consume() {
	client, stop := newExampleClient()
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, value := range []string{"a cup", "a pot"} {
		m := &messageproxy.Message{Topic: "orders", Key: []byte("customer-7"), Value: []byte(value)}
		if _, err := client.Produce(ctx, m); err != nil {
			log.Fatal(err)
		}
	}

	err := client.Subscription("billing", "orders").Consume(ctx, func(_ context.Context, m *messageproxy.Message) error {
		fmt.Printf("%s: %s\n", m.Key, m.Value)
		if string(m.Value) == "a pot" {
			cancel() // enough
		}
		return nil // ACK
	})
	fmt.Println(err) // nil: it stopped because ctx ended
	// Output:
	// customer-7: a cup
	// customer-7: a pot
	// <nil>
}

func ExampleWithFailureHandler() {
	client, stop := newExampleClient()
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, value := range []string{"poison", "a pot"} {
		m := &messageproxy.Message{Topic: "orders", Key: []byte("customer-7"), Value: []byte(value)}
		if _, err := client.Produce(ctx, m); err != nil {
			log.Fatal(err)
		}
	}

	handler := func(_ context.Context, m *messageproxy.Message) error {
		if string(m.Value) == "poison" {
			return fmt.Errorf("can't handle this")
		}
		fmt.Printf("handled %s\n", m.Value)
		cancel()
		return nil
	}
	putAside := func(ctx context.Context, m *messageproxy.Message, err error) error {
		fmt.Printf("putting %s aside: %v\n", m.Value, err)
		m.Topic = "orders-failed"
		_, err = client.Produce(ctx, m)
		return err // nil: ACK and go on
	}
	err := client.Subscription("billing", "orders").Consume(ctx, handler,
		messageproxy.WithAttempts(2, 0, 0), messageproxy.WithFailureHandler(putAside))
	fmt.Println(err)
	// Output:
	// putting poison aside: can't handle this
	// handled a pot
	// <nil>
}
