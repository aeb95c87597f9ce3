package config

import (
	"errors"
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
		other, contradicts := byField(e.Other)
		text := fmt.Sprintf("%s: %s", l.describe(s, other), e.Problem)
		if contradicts {
			text += " " + l.describe(other, s)
		}
		errs = append(errs, errors.New(text))
	}
	return errs
}

// describe names a setting as whoever set it wrote it. One that nobody set is named
// in the way of the one that it contradicts.
func (l *loader) describe(s, other Setting) string {
	text := s.in(&l.Settings).String()
	if from, set := l.origins[s.Key]; set {
		return describe(s, from, text)
	}
	return fmt.Sprintf("%s, %s by default", s.nameIn(l.origins[other.Key].layer), text)
}

func byField(field string) (Setting, bool) {
	for _, s := range table {
		if field != "" && s.field == field {
			return s, true
		}
	}
	return Setting{}, false
}
