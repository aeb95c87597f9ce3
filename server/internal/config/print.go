package config

import (
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// WriteYAML writes the settings in force as a YAML file that Load reads, with
// where each came from as a comment. What has no value, and secrets, are comments
// only.
func (l *Loaded) WriteYAML(w io.Writer) error {
	root := &yamlSection{node: &yaml.Node{Kind: yaml.MappingNode}}
	root.comment(fmt.Sprintf("The settings in force of the command %s, and where each comes from.\n", l.command))
	sections := map[string]*yamlSection{"": root}
	for _, s := range Of(l.command) {
		path, name := "", s.Key
		if i := strings.LastIndex(s.Key, "."); i >= 0 {
			path, name = s.Key[:i], s.Key[i+1:]
		}
		if sections[path] == nil {
			sections[path] = &yamlSection{node: &yaml.Node{Kind: yaml.MappingNode}}
			root.add(path, sections[path].node)
		}
		l.addSetting(sections[path], name, s)
	}
	for _, section := range sections {
		section.finish()
	}
	encoder := yaml.NewEncoder(w)
	encoder.SetIndent(2)
	if err := encoder.Encode(root.node); err != nil {
		return fmt.Errorf("write the settings: %w", err)
	}
	return encoder.Close()
}

func (l *Loaded) addSetting(to *yamlSection, name string, s Setting) {
	from := l.origins[s.Key]
	text := s.in(&l.Settings).String()
	switch {
	case text == "":
		to.comment(name + ": not set")
		return
	case s.Secret:
		to.comment(fmt.Sprintf("%s: set, not shown (%s)", name, from))
		return
	}
	value := new(yaml.Node)
	value.SetString(text)
	value.LineComment = from.String()
	if kind := s.Kind(); kind == "bool" || kind == "int" || kind == "size" {
		value.Tag = "" // written plainly, without quotes
	}
	to.add(name, value)
}

// yamlSection is a mapping that is being written.
type yamlSection struct {
	node    *yaml.Node
	pending []string // comments that stand before the next entry
}

func (s *yamlSection) comment(text string) { s.pending = append(s.pending, text) }

func (s *yamlSection) add(name string, value *yaml.Node) {
	key := &yaml.Node{Kind: yaml.ScalarNode, Value: name, HeadComment: strings.Join(s.pending, "\n")}
	s.node.Content = append(s.node.Content, key, value)
	s.pending = nil
}

// finish writes the comments after which nothing came.
func (s *yamlSection) finish() {
	if len(s.pending) == 0 {
		return
	}
	comment := strings.Join(s.pending, "\n")
	if n := len(s.node.Content); n > 0 {
		s.node.Content[n-2].FootComment = comment
	} else {
		s.node.LineComment = comment
	}
}

// String says where a value came from.
func (o origin) String() string {
	if o.layer == fromDefault {
		return "default"
	}
	return o.name
}
