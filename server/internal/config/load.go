package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
	goyaml "go.yaml.in/yaml/v3"
)

// Input is where settings come from.
type Input struct {
	// Flags were made by AddFlags and parsed.
	Flags *pflag.FlagSet
	// Environ is what os.Environ returns.
	Environ []string
	// ReadFile is os.ReadFile.
	ReadFile func(name string) ([]byte, error)
}

// Loaded are the settings in force, and where each came from.
type Loaded struct {
	Settings
	command Command
	origins map[string]origin // by Setting.Key; none means the default
}

// origin is where a setting's value came from.
type origin struct {
	layer layer
	// name is the flag, the variable or the file.
	name string
}

type layer int

const (
	fromDefault layer = iota
	fromFile
	fromEnv
	fromFlag
)

// Load reads the settings of a command. The error holds everything that is wrong.
func Load(c Command, in Input) (*Loaded, error) {
	l := &loader{
		Loaded: Loaded{Settings: Defaults(c), command: c, origins: make(map[string]origin)},
		in:     in,
	}
	for _, load := range []func() error{l.loadFile, l.loadEnv, l.loadFlags} {
		if err := load(); err != nil {
			l.errs = append(l.errs, err)
		}
	}
	if len(l.errs) == 0 {
		l.errs = l.validate()
	}
	if len(l.errs) > 0 {
		return nil, errors.Join(l.errs...)
	}
	return &l.Loaded, nil
}

type loader struct {
	Loaded
	in   Input
	errs []error
}

// set gives a setting a value that came from somewhere.
func (l *loader) set(s Setting, text string, from origin) {
	if err := s.in(&l.Settings).set(text); err != nil {
		l.errs = append(l.errs, fmt.Errorf("%s: %w", describe(s, from, text), err))
		return
	}
	l.origins[s.Key] = from
}

// describe names a setting with its value, as whoever set it wrote it.
func describe(s Setting, from origin, text string) string {
	if s.Secret {
		text = "(not shown)"
	}
	switch from.layer {
	case fromFlag, fromEnv:
		return from.name + "=" + shorten(text)
	default:
		return fmt.Sprintf("%s: %s: %s", from.name, s.Key, shorten(text))
	}
}

// shorten makes a text that someone gave fit in a line.
func shorten(text string) string {
	const limit = 200
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		text = fmt.Sprintf("%q", text)
	}
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return text
}

func (l *loader) loadFlags() error {
	k := koanf.New(".")
	err := k.Load(posflag.ProviderWithFlag(l.in.Flags, "", nil, func(f *pflag.Flag) (string, any) {
		if !f.Changed {
			return "", nil
		}
		return f.Name, f.Value.String()
	}), nil)
	if err != nil {
		return fmt.Errorf("read the flags: %w", err)
	}
	given := k.Raw()
	for _, s := range Of(l.command) {
		if text, ok := given[s.Flag].(string); ok {
			l.set(s, text, origin{fromFlag, "--" + s.Flag})
		}
	}
	return nil
}

func (l *loader) loadEnv() error {
	k := koanf.New(".")
	err := k.Load(env.Provider("", env.Opt{
		Prefix:      EnvPrefix,
		EnvironFunc: func() []string { return l.in.Environ },
		TransformFunc: func(name, text string) (string, any) {
			if text == "" || name == FileEnv || isForOthers(name, text) {
				return "", nil
			}
			return name, text
		},
	}), nil)
	if err != nil {
		return fmt.Errorf("read the environment: %w", err)
	}
	given := k.Raw()
	for _, name := range slices.Sorted(maps.Keys(given)) {
		s, err := l.lookUp(name, Setting.Env)
		if err != nil {
			l.errs = append(l.errs, fmt.Errorf("%s: %w", name, err))
			continue
		}
		l.set(s, given[name].(string), origin{fromEnv, name})
	}
	return nil
}

func (l *loader) loadFile() error {
	name := l.fileName()
	if name == "" {
		return nil
	}
	data, err := l.in.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read the settings in %s: %w", name, err)
	}
	k := koanf.New(".")
	err = k.Load(rawbytes.Provider(data), yaml.Parser())
	if err == nil {
		err = onlyOneDocument(data)
	}
	if err != nil {
		return fmt.Errorf("%s: not a YAML file with settings: %s", name, oneLine(err.Error()))
	}
	l.takeSection(k.Raw(), "", name)
	return nil
}

// oneLine makes one line of a text of the parser's, which may quote several.
func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
}

// onlyOneDocument refuses what the parser would pass over in silence.
func onlyOneDocument(data []byte) error {
	decoder := goyaml.NewDecoder(bytes.NewReader(data))
	var document goyaml.Node
	for range 2 { // decoding goes on answering io.EOF after the end
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return nil
		}
	}
	return errors.New("it has a second document (after ---)")
}

// fileName is the file that --config names, or else the environment.
func (l *loader) fileName() string {
	if f := l.in.Flags.Lookup(fileFlag); f != nil && f.Changed {
		return f.Value.String()
	}
	name := ""
	for _, variable := range l.in.Environ {
		if text, ok := strings.CutPrefix(variable, FileEnv+"="); ok {
			name = text
		}
	}
	return name
}

// takeSection sets what a section of a file (or all of it, if path is empty) says.
func (l *loader) takeSection(section map[string]any, path, file string) {
	for _, name := range slices.Sorted(maps.Keys(section)) {
		l.takeEntry(section[name], path+name, strings.Contains(name, "."), file)
	}
}

func (l *loader) takeEntry(entry any, key string, dotted bool, file string) {
	if isSection(key) && !dotted {
		switch inner := entry.(type) {
		case nil: // a heading with nothing below it
		case map[string]any:
			l.takeSection(inner, key+".", file)
		default:
			l.errs = append(l.errs, fmt.Errorf("%s: %s: is a section: write its settings below it, indented", file, key))
		}
		return
	}
	s, err := l.lookUp(key, func(s Setting) string { return s.Key })
	switch {
	case err != nil:
		l.errs = append(l.errs, fmt.Errorf("%s: %s: %w", file, shorten(key), err))
		return
	case dotted:
		l.errs = append(l.errs, fmt.Errorf("%s: %s: write sections as headings, with their settings below them, indented", file, key))
		return
	}
	text, err := entryText(entry)
	if err != nil {
		l.errs = append(l.errs, fmt.Errorf("%s: %s: %w", file, key, err))
		return
	}
	l.set(s, text, origin{fromFile, file})
}

// isSection reports whether settings' keys begin with this one.
func isSection(key string) bool {
	return slices.ContainsFunc(table, func(s Setting) bool { return strings.HasPrefix(s.Key, key+".") })
}

// entryText turns what YAML has read into the text of a setting.
func entryText(entry any) (string, error) {
	switch entry := entry.(type) {
	case nil:
		return "", errors.New("has no value: give it one or remove it")
	case string, bool, int, int64, uint64:
		return fmt.Sprint(entry), nil
	case []any:
		texts := make([]string, len(entry))
		for i, e := range entry {
			text, ok := e.(string)
			if !ok {
				return "", errors.New("a list may only have texts in it")
			}
			texts[i] = text
		}
		return strings.Join(texts, ","), nil
	}
	return "", fmt.Errorf("can't be a %s: write one value", yamlKind(entry))
}

func yamlKind(entry any) string {
	switch entry.(type) {
	case map[string]any:
		return "section"
	case float64:
		return "number with a fraction"
	}
	return "date"
}
