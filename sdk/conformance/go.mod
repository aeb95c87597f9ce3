module github.com/messageproxy/messageproxy/sdk/conformance

go 1.26.0

toolchain go1.26.8

require (
	github.com/messageproxy/messageproxy/api v0.0.0
	github.com/messageproxy/messageproxy/sdk/go v0.0.0
	github.com/stretchr/testify v1.12.1
	golang.org/x/net v0.60.0
	google.golang.org/grpc v1.85.0
	google.golang.org/protobuf v1.36.12
)

require (
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/sys v0.48.0 // indirect
	golang.org/x/text v0.42.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260817212433-ac3dfec99bb1 // indirect
)

replace github.com/messageproxy/messageproxy/api => ../../api

replace github.com/messageproxy/messageproxy/sdk/go => ../go
