module github.com/messageproxy/messageproxy/server

go 1.26.0

toolchain go1.26.8

require (
	github.com/messageproxy/messageproxy/api v0.0.0
	github.com/messageproxy/messageproxy/broker v0.0.0
	github.com/messageproxy/messageproxy/broker-kafka v0.0.0
)

replace github.com/messageproxy/messageproxy/api => ../api

replace github.com/messageproxy/messageproxy/broker => ../broker

replace github.com/messageproxy/messageproxy/broker-kafka => ../broker-kafka
