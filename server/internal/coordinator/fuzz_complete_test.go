package coordinator

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/broker"
)

// A kind of event that FuzzState doesn't send is one that nobody has tried in every
// state.
func TestFuzzStateSendsEveryKindOfEvent(t *testing.T) {
	sent := make(map[string]bool)
	f := newFuzzer(t)
	for letter := range 256 {
		event := f.event(letterOf(byte(letter)), 1, 2)
		sent[nameOf(event)] = true
		if polled, ok := event.(Polled); ok {
			for _, e := range polled.Events {
				sent[nameOf(e)] = true
			}
		}
	}
	for _, kind := range slices.Concat(
		receiversOf(t, "events.go", "isEvent"),
		receiversOf(t, filepath.FromSlash("../../../broker/events.go"), "isEvent"),
	) {
		require.True(t, sent[kind], "%s is never sent", kind)
	}
}

func nameOf(v any) string {
	switch v.(type) {
	case broker.Event, Event:
		name := fmt.Sprintf("%T", v)
		return name[strings.LastIndex(name, ".")+1:]
	}
	return ""
}

// receiversOf lists the types that have a method in a file.
func receiversOf(t *testing.T, file, method string) []string {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	require.NoError(t, err)
	var types []string
	for _, declaration := range parsed.Decls {
		if f, ok := declaration.(*ast.FuncDecl); ok && f.Recv != nil && f.Name.Name == method {
			types = append(types, f.Recv.List[0].Type.(*ast.Ident).Name)
		}
	}
	require.NotEmpty(t, types)
	return types
}
