package conformance_test

import (
	"bufio"
	"errors"
	"io"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"

	"github.com/messageproxy/messageproxy/sdk/conformance/driver"
	"github.com/messageproxy/messageproxy/sdk/conformance/drivers/go/godriver"
)

// lineFilter returns what becomes of a line: one or several others, or none.
type lineFilter func(line []byte) []byte

// inProcess launches the driver of the Go SDK in this process. Commands for it and what it
// says go through filters, where these aren't nil; its clients get the options.
func inProcess(commands, said lineFilter, options ...messageproxy.Option) driver.Launch {
	return func(io.Writer, ...string) (*driver.Program, error) {
		in, stdin := io.Pipe()
		stdout, out := io.Pipe()
		ended := make(chan error, 1)
		go func() {
			ended <- godriver.Run(filtered(in, commands), out, options...)
			_ = out.Close() // never fails
		}()
		kill := func() { _ = in.CloseWithError(errors.New("killed")) } // never fails
		return &driver.Program{Stdin: stdin, Stdout: filtered(stdout, said), Wait: func() error { return <-ended }, Kill: kill}, nil
	}
}

// filtered is what a filter makes of the lines of in.
func filtered(in io.Reader, filter lineFilter) io.Reader {
	if filter == nil {
		return in
	}
	out, to := io.Pipe()
	go func() {
		lines := bufio.NewReader(in)
		for {
			line, err := lines.ReadBytes('\n')
			if len(line) > 0 {
				_, _ = to.Write(filter(line)) // fails when nobody reads any more
			}
			if err != nil {
				_ = to.CloseWithError(err) // never fails
				return
			}
		}
	}()
	return out
}
