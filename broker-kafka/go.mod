module github.com/messageproxy/messageproxy/broker-kafka

go 1.26.0

toolchain go1.26.8

require github.com/messageproxy/messageproxy/broker v0.0.0

replace github.com/messageproxy/messageproxy/broker => ../broker
