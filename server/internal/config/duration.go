package config

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

var errDuration = errors.New("not a duration: write a number with its unit, such as 500ms, 30s or 10m")

// parseDuration reads what time.ParseDuration reads, but for a bare 0.
func parseDuration(text string) (time.Duration, error) {
	text = strings.TrimSpace(text)
	d, err := time.ParseDuration(text)
	if err != nil || strings.Trim(text, "+-0.") == "" {
		return 0, errDuration
	}
	return d, nil
}

// formatDuration writes a duration as people do: 60s, 10m, 1h30m.
func formatDuration(d time.Duration) string {
	if d >= time.Second && d < 2*time.Minute && d%time.Second == 0 {
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
