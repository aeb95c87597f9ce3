package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// sizeUnits are the units of sizes, the largest of each kind first.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"kB", 1e3},
	{"B", 1},
}

var (
	errSize     = errors.New("not a size: write a whole number of bytes, or one with a unit, such as 512KiB, 64MiB or 1GiB")
	errSizeHuge = fmt.Errorf("too large: a size is at most %d bytes", int64(math.MaxInt64))
)

// ParseSize reads a number of bytes: a whole number with a unit (B; KiB, MiB, GiB,
// TiB in powers of 1,024; kB, MB, GB, TB in powers of 1,000; in any case, after a
// space or not), or without one for bytes. A bare K, M or G is refused, as it
// means different things to different people.
func ParseSize(text string) (int64, error) {
	text = strings.TrimSpace(text)
	digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
	factor, ok := sizeFactor(strings.TrimSpace(text[digits:]))
	if digits == 0 || !ok {
		return 0, errSize
	}
	n, err := strconv.ParseInt(text[:digits], 10, 64)
	if err != nil || n > math.MaxInt64/factor {
		return 0, errSizeHuge
	}
	return n * factor, nil
}

func sizeFactor(unit string) (int64, bool) {
	if unit == "" {
		return 1, true
	}
	for _, u := range sizeUnits {
		if strings.EqualFold(u.name, unit) {
			return u.bytes, true
		}
	}
	return 0, false
}

// FormatSize writes a number of bytes as ParseSize reads it, with the largest unit
// in powers of 1,024 that leaves it whole.
func FormatSize(n int64) string {
	for _, u := range sizeUnits[:4] {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}
