package config

import (
	"fmt"

	"github.com/messageproxy/messageproxy/server"
)

// validate checks what the server checks, and says it in the words of whoever set
// it.
func (l *loader) validate() []error {
	var errs []error
	for _, e := range server.FieldErrors(l.Server.Validate()) {
		s, ok := byField(e.Field)
		if !ok {
			errs = append(errs, e)
			continue
		}
		text := fmt.Sprintf("%s: %s", l.describe(s), e.Problem)
		if other, ok := byField(e.Other); ok {
			text += " " + l.describe(other)
		}
		errs = append(errs, fmt.Errorf("%s", text))
	}
	return errs
}

func (l *loader) describe(s Setting) string {
	return describe(s, l.origins[s.Key], s.in(&l.Settings).String())
}

func byField(field string) (Setting, bool) {
	for _, s := range table {
		if field != "" && s.field == field {
			return s, true
		}
	}
	return Setting{}, false
}
