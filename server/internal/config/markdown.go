package config

import (
	"fmt"
	"strings"
)

// Markdown returns the table of a command's settings for the documentation.
func Markdown(c Command) string {
	var b strings.Builder
	b.WriteString("| flag | environment | in YAML | default | what it is |\n")
	b.WriteString("| --- | --- | --- | --- | --- |\n")
	for _, s := range Of(c) {
		text := "none"
		if d := s.Default(c); d != "" {
			text = "`" + d + "`"
		}
		fmt.Fprintf(&b, "| `--%s` | `%s` | `%s` | %s | %s |\n", s.Flag, s.Env(), s.Key, text, s.Usage)
	}
	return b.String()
}
