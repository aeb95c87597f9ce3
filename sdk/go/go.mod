module github.com/messageproxy/messageproxy/sdk/go

go 1.26.0

toolchain go1.26.8

require github.com/messageproxy/messageproxy/api v0.0.0

replace github.com/messageproxy/messageproxy/api => ../../api
