package messageproxy

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// checkTarget refuses targets that can never work. gRPC accepts most of them, and
// then tries for ever: it takes "localhost" for port 443, and "http://…" for a
// name.
func checkTarget(target string) error {
	invalid := func(problem string) error {
		return &Error{Code: CodeInvalidArgument, Message: fmt.Sprintf(
			`the target %q %s: give "host:port", or a target that gRPC knows, such as "dns:///host:port"`, target, problem)}
	}
	scheme, _, hasScheme := strings.Cut(target, "://")
	name, isDNS := strings.CutPrefix(strings.ToLower(target), "dns:")
	address := target
	switch {
	case target == "":
		return invalid("is empty")
	case hasScheme && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")):
		return invalid("is a URL")
	case isDNS: // dns:host:port, dns:///host:port, or dns://server/host:port
		address = name[strings.LastIndexByte(name, '/')+1:]
	case hasScheme, strings.HasPrefix(target, "unix:"), strings.HasPrefix(target, "passthrough:"):
		return nil // for gRPC's resolver to judge
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return invalid("is not an address")
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
		return invalid("has no port from 1 to 65535")
	}
	if host == "" {
		return invalid("has no host")
	}
	return nil
}
