package config

import (
	"regexp"
	"strings"

	"github.com/spf13/pflag"
)

// fileFlag is the flag that names the YAML file. It is no setting of its own.
const fileFlag = "config"

// FileEnv is the environment variable that names the YAML file.
const FileEnv = EnvPrefix + "CONFIG"

// AddFlags adds the flags of a command's settings, and --config.
func AddFlags(flags *pflag.FlagSet, c Command) {
	flags.SortFlags = false
	flags.Var(&flagText{kind: "path"}, fileFlag, "a YAML file with settings (also "+FileEnv+")")
	for _, s := range Of(c) {
		text := s.Default(c)
		flag := flags.VarPF(&flagText{text: text, kind: s.Kind(), repeats: s.Kind() == "addresses"}, s.Flag, "", s.Usage)
		if s.Kind() == "bool" {
			flag.NoOptDefVal = "true"
		}
	}
}

// flagText keeps a flag's text. It is read by Load, with all the other settings,
// so that every mistake is reported, and in the same words.
type flagText struct {
	text    string
	kind    string
	repeats bool // may be given several times, which adds
	given   bool
}

// Set keeps the text.
func (f *flagText) Set(text string) error {
	if f.repeats && f.given {
		text = f.text + "," + text
	}
	f.text, f.given = text, true
	return nil
}

// String returns the text.
func (f *flagText) String() string { return f.text }

// Type returns what the help says that the text is.
func (f *flagText) Type() string { return f.kind }

// clientEnv is where example clients look for the proxy's address.
const clientEnv = EnvPrefix + "ADDR"

// testEnvPrefix begins the names of variables of this project's tests.
const testEnvPrefix = EnvPrefix + "TEST_"

// kubernetesService matches what Kubernetes sets in every container for a service
// that is called messageproxy.
var kubernetesService = regexp.MustCompile(
	`^(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)=|^PORT=[a-z]+://`)

// isForOthers reports whether a variable is there for something else than this
// command, although its name begins with EnvPrefix.
func isForOthers(name, text string) bool {
	return name == clientEnv || strings.HasPrefix(name, testEnvPrefix) ||
		kubernetesService.MatchString(strings.TrimPrefix(name, EnvPrefix)+"="+text)
}
