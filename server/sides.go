package server

import "github.com/messageproxy/messageproxy/broker"

func newProxy(b broker.Broker, producer broker.Producer, cfg Config) *proxy { return nil }
