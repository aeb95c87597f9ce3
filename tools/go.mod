module github.com/messageproxy/messageproxy/tools

go 1.26.0

toolchain go1.26.8

require (
	github.com/messageproxy/messageproxy/api v0.0.0
	github.com/messageproxy/messageproxy/broker v0.0.0
	github.com/messageproxy/messageproxy/broker-kafka v0.0.0
	github.com/messageproxy/messageproxy/sdk/go v0.0.0
	github.com/messageproxy/messageproxy/server v0.0.0
)

require (
	github.com/stretchr/testify v1.12.1 // indirect
	golang.org/x/mod v0.42.0 // indirect
)

replace github.com/messageproxy/messageproxy/api => ../api

replace github.com/messageproxy/messageproxy/broker => ../broker

replace github.com/messageproxy/messageproxy/broker-kafka => ../broker-kafka

replace github.com/messageproxy/messageproxy/server => ../server

replace github.com/messageproxy/messageproxy/sdk/go => ../sdk/go
