package simulation

import (
	"bufio"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// The text of a plan has a line for each part of it: a word that says what it is,
// what it is about, and fields, "name=value", of which those that are zero are left
// out. Flags are their name alone. Steps begin with their time. What follows a # is
// a comment.
//
//	plan seed=7 proxies=2 brokers=1
//	settings window=10 ack-timeout=5s
//	topic orders partitions=3
//	subscription billing topics=orders
//	+0s consume c1 subscription=billing manner=all-but-one
//	+1.5s produce c2 sdk topic=orders count=20 keys=3

// The words of the actions' lines.
var words = map[string]reflect.Type{
	"produce":           reflect.TypeFor[Produce](),
	"end-producer":      reflect.TypeFor[EndProducer](),
	"transact":          reflect.TypeFor[Transact](),
	"consume":           reflect.TypeFor[Consume](),
	"behave":            reflect.TypeFor[Behave](),
	"end-consumer":      reflect.TypeFor[EndConsumer](),
	"disturb":           reflect.TypeFor[Disturb](),
	"requests":          reflect.TypeFor[Requests](),
	"move-leader":       reflect.TypeFor[MoveLeader](),
	"move-coordinators": reflect.TypeFor[MoveCoordinators](),
	"kick":              reflect.TypeFor[Kick](),
	"expire":            reflect.TypeFor[Expire](),
	"compact":           reflect.TypeFor[Compact](),
	"add-partitions":    reflect.TypeFor[AddPartitions](),
	"recreate":          reflect.TypeFor[Recreate](),
	"start":             reflect.TypeFor[Start](),
	"drain":             reflect.TypeFor[Drain](),
	"kill":              reflect.TypeFor[Kill](),
	"freeze":            reflect.TypeFor[Freeze](),
}

// header is the first line of a plan.
type header struct {
	Seed             int64
	Proxies, Brokers int
	Lasts            time.Duration
}

// String returns the plan's text, which Parse reads.
func (p Plan) String() string {
	var b strings.Builder
	line := func(word string, fields any) {
		b.WriteString(word)
		writeFields(&b, reflect.ValueOf(fields))
		b.WriteByte('\n')
	}
	line("plan", header{p.Seed, p.Proxies, p.Brokers, p.Lasts})
	if p.Settings != (Settings{}) {
		line("settings", p.Settings)
	}
	for _, t := range p.Topics {
		line("topic", t)
	}
	for _, s := range p.Subscriptions {
		line("subscription", s)
	}
	for _, s := range p.Steps {
		b.WriteString(s.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// String returns the step's line.
func (s Step) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "+%v %s", s.At, wordOf(s.Action))
	writeFields(&b, reflect.ValueOf(s.Action))
	return b.String()
}

func wordOf(a Action) string {
	t := reflect.TypeOf(a)
	for word, candidate := range words {
		if candidate == t {
			return word
		}
	}
	panic(fmt.Sprintf("simulation: %T has no word", a))
}

// A struct whose first field is a name is written with that name first.
func named(t reflect.Type) bool { return t.NumField() > 0 && t.Field(0).Type.Kind() == reflect.String }

func writeFields(b *strings.Builder, v reflect.Value) {
	for i := range v.NumField() {
		field, name := v.Field(i), fieldName(v.Type().Field(i).Name)
		switch {
		case i == 0 && named(v.Type()):
			b.WriteString(" " + field.String())
		case field.IsZero():
		case field.Kind() == reflect.Bool:
			b.WriteString(" " + name)
		case field.Kind() == reflect.Slice:
			b.WriteString(" " + name + "=" + strings.Join(field.Interface().([]string), ","))
		default:
			fmt.Fprintf(b, " %s=%v", name, field.Interface())
		}
	}
}

// fieldName is the text of a field's name: AckTimeout is ack-timeout, SDK sdk.
func fieldName(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && unicode.IsUpper(r) && !unicode.IsUpper(rune(name[i-1])) {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// Parse reads a plan's text.
func Parse(text string) (Plan, error) {
	var p Plan
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if words := strings.Fields(line); len(words) > 0 {
			if err := p.parseLine(words); err != nil {
				return Plan{}, fmt.Errorf("line %d (%s): %w", n, strings.TrimSpace(line), err)
			}
		}
	}
	return p, lines.Err()
}

func (p *Plan) parseLine(line []string) error {
	switch line[0] {
	case "plan":
		h, err := parse[header](line[1:])
		p.Seed, p.Proxies, p.Brokers, p.Lasts = h.Seed, h.Proxies, h.Brokers, h.Lasts
		return err
	case "settings":
		settings, err := parse[Settings](line[1:])
		p.Settings = settings
		return err
	case "topic":
		topic, err := parse[Topic](line[1:])
		p.Topics = append(p.Topics, topic)
		return err
	case "subscription":
		subscription, err := parse[Subscription](line[1:])
		p.Subscriptions = append(p.Subscriptions, subscription)
		return err
	}
	step, err := parseStep(line)
	p.Steps = append(p.Steps, step)
	return err
}

func parseStep(line []string) (Step, error) {
	offset, ok := strings.CutPrefix(line[0], "+")
	if !ok || len(line) < 2 {
		return Step{}, fmt.Errorf("%q is no part of a plan", line[0])
	}
	at, err := time.ParseDuration(offset)
	if err != nil {
		return Step{}, err
	}
	t, ok := words[line[1]]
	if !ok {
		return Step{}, fmt.Errorf("%q is no action", line[1])
	}
	v := reflect.New(t).Elem()
	if err := parseFields(v, line[2:]); err != nil {
		return Step{}, err
	}
	return Step{At: at, Action: v.Interface().(Action)}, nil
}

func parse[T any](fields []string) (T, error) {
	var part T
	err := parseFields(reflect.ValueOf(&part).Elem(), fields)
	return part, err
}

func parseFields(v reflect.Value, fields []string) error {
	if named(v.Type()) {
		if len(fields) == 0 {
			return fmt.Errorf("it lacks its %s", fieldName(v.Type().Field(0).Name))
		}
		v.Field(0).SetString(fields[0])
		fields = fields[1:]
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, "=")
		field := v.FieldByNameFunc(func(n string) bool { return fieldName(n) == name })
		if !field.IsValid() {
			return fmt.Errorf("it has no field %q", name)
		}
		if err := set(field, value); err != nil {
			return fmt.Errorf("field %s: %w", name, err)
		}
	}
	return nil
}

func set(field reflect.Value, value string) error {
	switch {
	case field.Type() == reflect.TypeFor[time.Duration]():
		d, err := time.ParseDuration(value)
		field.SetInt(int64(d))
		return err
	case field.Kind() == reflect.Bool:
		field.SetBool(true)
	case field.Kind() == reflect.Slice:
		field.Set(reflect.ValueOf(strings.Split(value, ",")))
	case field.CanInt():
		n, err := strconv.ParseInt(value, 10, 64)
		field.SetInt(n)
		return err
	default:
		field.SetString(value)
	}
	return nil
}
