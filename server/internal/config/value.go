package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// value is a setting's place in a Settings, and how its text is read and written.
type value interface {
	// set reads text. Its error says what is allowed, without repeating text, and
	// nothing is changed.
	set(text string) error
	// String returns the text that set reads back.
	String() string
	// kind is what the help says that text is.
	kind() string
}

type intValue struct {
	to  *int
	low int // the least that is allowed
}

func (v intValue) set(text string) error {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	switch {
	case errors.Is(err, strconv.ErrRange):
		return fmt.Errorf("out of range: write a whole number of at most %d", math.MaxInt32)
	case err != nil:
		return errors.New("not a whole number: write one without a fraction or a unit, such as 1000")
	case n < v.low:
		return fmt.Errorf("must be at least %d", v.low)
	}
	*v.to = n
	return nil
}

func (v intValue) String() string { return strconv.Itoa(*v.to) }
func (v intValue) kind() string   { return "int" }

// sizeValue is a number of bytes.
type sizeValue[T int | int64] struct{ to *T }

func (v sizeValue[T]) set(text string) error {
	n, err := ParseSize(text)
	if err != nil {
		return err
	}
	if int64(T(n)) != n {
		return errSizeHuge
	}
	*v.to = T(n)
	return nil
}

func (v sizeValue[T]) String() string { return FormatSize(int64(*v.to)) }
func (v sizeValue[T]) kind() string   { return "size" }

type durationValue struct {
	to        *time.Duration
	low, high time.Duration // what is allowed; 0 means any
}

func (v durationValue) set(text string) error {
	d, err := parseDuration(text)
	switch {
	case err != nil:
		return err
	case v.low > 0 && d < v.low:
		return fmt.Errorf("must be at least %s", formatDuration(v.low))
	case v.high > 0 && d > v.high:
		return fmt.Errorf("must be at most %s", formatDuration(v.high))
	}
	*v.to = d
	return nil
}

func (v durationValue) String() string { return formatDuration(*v.to) }
func (v durationValue) kind() string   { return "duration" }

type boolValue struct{ to *bool }

func (v boolValue) set(text string) error {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "true", "1":
		*v.to = true
	case "false", "0":
		*v.to = false
	default:
		return errors.New("not a yes or no: write true or false")
	}
	return nil
}

func (v boolValue) String() string { return strconv.FormatBool(*v.to) }
func (v boolValue) kind() string   { return "bool" }

// choiceValue is one of some words.
type choiceValue struct {
	to      *string
	choices []string
}

func (v choiceValue) set(text string) error {
	word := strings.ToLower(strings.TrimSpace(text))
	if !slices.Contains(v.choices, word) {
		return fmt.Errorf("unknown: write one of %s", strings.Join(v.choices, ", "))
	}
	*v.to = word
	return nil
}

func (v choiceValue) String() string { return *v.to }
func (v choiceValue) kind() string   { return strings.Join(v.choices, "|") }

// pathValue is a file or a folder.
type pathValue struct{ to *string }

func (v pathValue) set(text string) error {
	if strings.ContainsRune(text, 0) {
		return errors.New("not a path: it has a NUL character")
	}
	*v.to = text
	return nil
}

func (v pathValue) String() string { return *v.to }
func (v pathValue) kind() string   { return "path" }

// listenValue is an address to listen on.
type listenValue struct {
	to *string
	// told: clients are told this address, so it must name a host.
	told bool
}

func (v listenValue) set(text string) error {
	text = strings.TrimSpace(text)
	host, port, err := net.SplitHostPort(text)
	if err != nil || !isPort(port, 0) {
		return errors.New("not an address to listen on: write host:port or :port with a port from 0 (any free one) to 65535, such as :7070")
	}
	if ip := net.ParseIP(host); v.told && (host == "" || ip != nil && ip.IsUnspecified()) {
		return errors.New("names no host that clients could be told: write 127.0.0.1 or an address of this machine")
	}
	*v.to = text
	return nil
}

func (v listenValue) String() string { return *v.to }
func (v listenValue) kind() string   { return "address" }

// addressesValue is a list of addresses to connect to, with commas between.
type addressesValue struct{ to *[]string }

func (v addressesValue) set(text string) error {
	var addresses []string
	for address := range strings.SplitSeq(text, ",") {
		address = strings.TrimSpace(address)
		host, port, err := net.SplitHostPort(address)
		if err != nil || host == "" || strings.ContainsAny(host, "/ \t\r\n") || !isPort(port, 1) {
			return errors.New("not a list of addresses: write host:port, several with commas between, such as kafka-1:9092,kafka-2:9092")
		}
		addresses = append(addresses, address)
	}
	*v.to = addresses
	return nil
}

func (v addressesValue) String() string { return strings.Join(*v.to, ",") }
func (v addressesValue) kind() string   { return "addresses" }

func isPort(text string, low uint64) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n >= low
}
