// Command go is the driver of the Go SDK: see ../../DRIVER.md.
package main

import (
	"fmt"
	"os"

	"github.com/messageproxy/messageproxy/sdk/conformance/drivers/go/godriver"
)

func main() {
	if err := godriver.Run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "driver:", err)
		os.Exit(1)
	}
}
