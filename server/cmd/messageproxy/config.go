package main

import (
	"github.com/spf13/cobra"

	"github.com/messageproxy/messageproxy/server/internal/config"
)

func newConfigCommand(p program) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print the settings that serve would have",
		Long: `Print, as a YAML file, the settings that "messageproxy serve" would have with the
same flags, environment and file, and where each comes from. Secrets are not
shown. Mistakes are reported as serve does.

` + settingsHelp,
		Example: "  messageproxy config --config messageproxy.yaml",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := p.load(cmd, config.Serve)
			if err != nil {
				return err
			}
			return settings.WriteYAML(p.stdout)
		},
	}
	config.AddFlags(cmd.Flags(), config.Serve)
	return cmd
}
