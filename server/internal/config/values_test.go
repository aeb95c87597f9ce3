package config

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "1B": 1, "1024": 1024, "1KiB": 1024, "1kb": 1000, "64MiB": 64 << 20, "64 mib": 64 << 20,
		"1GiB": 1 << 30, "2TiB": 2 << 40, "1GB": 1e9, " 5 MB ": 5e6, "9223372036854775807": math.MaxInt64,
	} {
		got, err := ParseSize(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "MiB", "1.5GiB", "-1", "+1", "1K", "1M", "1G", "1 Mi B", "0x10", "1e3", "١"} {
		_, err := ParseSize(text)
		require.ErrorIs(t, err, errSize, text)
	}
	for _, text := range []string{"9223372036854775808", "8388608TiB", "99999999999999999999999B"} {
		_, err := ParseSize(text)
		require.ErrorIs(t, err, errSizeHuge, text)
	}
}

func TestDurationsAreWrittenAsPeopleDo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		5 * time.Second: "5s", 60 * time.Second: "60s", 90 * time.Second: "90s", 10 * time.Minute: "10m",
		time.Hour: "1h", 90 * time.Minute: "1h30m", time.Hour + time.Second: "1h0m1s", 1500 * time.Millisecond: "1.5s",
		250 * time.Millisecond: "250ms", 125 * time.Second: "2m5s",
	} {
		require.Equal(t, want, formatDuration(d))
		back, err := parseDuration(want)
		require.NoError(t, err)
		require.Equal(t, d, back)
	}
}

func TestEveryDefaultReadsBack(t *testing.T) {
	for _, c := range []Command{Serve, DevServe} {
		for _, s := range Of(c) {
			if text := s.Default(c); text != "" {
				var settings Settings
				require.NoError(t, s.in(&settings).set(text), s.Flag)
				require.Equal(t, text, s.in(&settings).String(), s.Flag)
			}
		}
	}
}
