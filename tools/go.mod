module github.com/messageproxy/messageproxy/tools

go 1.26.0

toolchain go1.26.8

require (
	github.com/stretchr/testify v1.12.1
	golang.org/x/mod v0.42.0
)

require go.yaml.in/yaml/v3 v3.0.5 // indirect

replace github.com/messageproxy/messageproxy/api => ../api

replace github.com/messageproxy/messageproxy/broker => ../broker

replace github.com/messageproxy/messageproxy/broker-kafka => ../broker-kafka

replace github.com/messageproxy/messageproxy/server => ../server

replace github.com/messageproxy/messageproxy/sdk/go => ../sdk/go
