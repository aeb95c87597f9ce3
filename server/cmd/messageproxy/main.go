// Command messageproxy is the message proxy: applications produce and consume
// messages over gRPC, and Kafka keeps them.
package main

import (
	"os"

	"github.com/messageproxy/messageproxy/server/memory"
)

func main() {
	memory.FitBuffers()
	os.Exit(run(program{
		args:    os.Args[1:],
		environ: os.Environ(),
		stdout:  os.Stdout,
		stderr:  os.Stderr,
	}))
}
