package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/messageproxy/messageproxy/server/internal/config"
)

// program is what the process was started with.
type program struct {
	args           []string
	environ        []string
	stdout, stderr io.Writer
}

// The exit codes, other than 0.
const (
	exitFailure = 1 // something could not be done
	exitUsage   = 2 // what was asked for makes no sense: flags, settings
)

// usageError is a mistake in flags or settings.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// run does what the arguments say and returns the process's exit code.
func run(p program) int {
	root := newRootCommand(p)
	root.SetArgs(p.args)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	err := root.Execute()
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintf(p.stderr, "messageproxy: %v\n", err)
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return exitFailure
}

const settingsHelp = `Every flag is also an environment variable (MESSAGEPROXY_ and the flag in
capitals: --ack-timeout is MESSAGEPROXY_ACK_TIMEOUT) and a key of the YAML file
that --config names. A flag goes before the environment, and that before the
file. "messageproxy config" prints the settings in force.`

func newRootCommand(p program) *cobra.Command {
	root := &cobra.Command{
		Use:   "messageproxy",
		Short: "Messages over gRPC, kept by Kafka",
		Long: `Applications produce and consume messages over gRPC, in any language, without a
Kafka client; Kafka keeps the messages.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArguments,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w: see %q", err, cmd.CommandPath()+" --help")}
	})
	root.AddCommand(newServeCommand(p), newDevCommand(p), newConfigCommand(p), newVersionCommand(p))
	return root
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usageError{fmt.Errorf("%q is not understood: see %q", args[0], cmd.CommandPath()+" --help")}
}

// load reads the settings of a command from everywhere.
func (p program) load(cmd *cobra.Command, c config.Command) (*config.Loaded, error) {
	loaded, err := config.Load(c, config.Input{Flags: cmd.Flags(), Environ: p.environ, ReadFile: os.ReadFile})
	if err != nil {
		return nil, usageError{err}
	}
	return loaded, nil
}
