package main

import (
	"encoding"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"trimtab/arena"
	"trimtab/arena/testbed"
	"trimtab/daemon"
	"trimtab/loadgen"
	"trimtab/prove"
	"trimtab/tuner"
	"trimtab/tuner/gate"
)

// holdReference holds the part of a reference that is generated, between its marks; with TRIMTAB_UPDATE_DOCS (make
// docs) it writes it.
func holdReference(t *testing.T, path, mark, want string) {
	t.Helper()
	begin, end := "<!-- "+mark+":begin -->\n", "<!-- "+mark+":end -->\n"
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(old), begin)
	_, after, ended := strings.Cut(rest, end)
	if !ok || !ended {
		t.Fatalf("%s: the marks of %s are missing", path, mark)
	}
	text := before + begin + "\n" + strings.TrimSpace(want) + "\n\n" + end + after
	switch {
	case os.Getenv("TRIMTAB_UPDATE_DOCS") != "":
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	case text != string(old):
		t.Errorf("%s: %s is not what the code says: run make docs", path, mark)
	}
}

// wrapped puts words into lines of at most 118 characters.
func wrapped(indent string, words []string) string {
	var b strings.Builder
	line := indent
	for _, w := range words {
		if line != indent && len([]rune(line))+1+len([]rune(w)) > 118 {
			b.WriteString(line + "\n")
			line = indent
		}
		if line != indent {
			line += " "
		}
		line += w
	}
	b.WriteString(line + "\n")
	return b.String()
}

func TestReferenceOfCommands(t *testing.T) {
	var b strings.Builder
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Runnable() && c.HasParent() && !c.Hidden {
			use := strings.TrimSuffix(c.UseLine(), " [flags]")
			b.WriteString(wrapped("", append([]string{"**`" + use + "`**"}, strings.Fields(c.Short)...)))
			var flags []string
			c.LocalFlags().VisitAll(func(f *pflag.Flag) {
				if !f.Hidden && f.Name != "help" {
					flags = append(flags, "`"+flagForm(f)+"`")
				}
			})
			if len(flags) > 0 {
				b.WriteString("<br>\n" + wrapped("", flags))
			}
			b.WriteString("\n")
		}
		for _, s := range c.Commands() {
			walk(s)
		}
	}
	walk(newRoot(&env{}))
	holdReference(t, "../../docs/reference/commands.md", "commands", b.String())
}

// flagForm is a flag with its default: --rate=0, --json.
func flagForm(f *pflag.Flag) string {
	switch v := strings.Trim(f.DefValue, "[]"); {
	case f.Value.Type() == "bool" && v == "false":
		return "--" + f.Name
	case strings.Contains(v, " ") || len(v) > 40:
		return "--" + f.Name + "=…"
	default:
		return "--" + f.Name + "=" + v
	}
}

func TestReferenceOfJSON(t *testing.T) {
	var b strings.Builder
	for _, out := range []struct {
		name string
		of   any
	}{
		{"`trimtab load --json`, `--report`", loadgen.Report{}},
		{"`trimtab load --ndjson`, a line a second", loadgen.Second{}},
		{"`trimtab run --json`, `report.json`", testbed.Report{}},
		{"`trimtab arena --json`, `rows.ndjson`", arena.Row{}},
		{"`trimtab prove --json`", prove.Result{}},
		{"`trimtab explain --json`, `/explain`", daemon.Report{}},
		{"its `explanation`, of the learner `tuned`", tuner.Explanation{}},
		{"`trimtab cluster --json`, the last line", fitJSON{}},
		{"`trimtab nginx show --json`, a line for each upstream", upstreamJSON{}},
	} {
		fmt.Fprintf(&b, "%s\n\n%s\n", out.name, wrapped("    ", fieldsOf(reflect.TypeOf(out.of), nil)))
	}
	holdReference(t, "../../docs/reference/json.md", "json", b.String())
}

// fieldsOf are the fields of a type as JSON: a name, {…} of an object, […] of a list, {KEY …} of a map.
func fieldsOf(t reflect.Type, seen []reflect.Type) []string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case isText(t) || slices.Contains(seen, t):
		return nil
	case t.Kind() == reflect.Slice || t.Kind() == reflect.Array:
		return around("[", fieldsOf(t.Elem(), seen), "]")
	case t.Kind() == reflect.Map:
		return around("{KEY", fieldsOf(t.Elem(), seen), "}")
	case t.Kind() == reflect.Struct:
		return around("{", members(t, append(slices.Clone(seen), t)), "}")
	}
	return nil
}

// isText reports whether values of a type say themselves how they are written.
func isText(t reflect.Type) bool {
	for _, m := range []reflect.Type{reflect.TypeFor[json.Marshaler](), reflect.TypeFor[encoding.TextMarshaler]()} {
		if t.Implements(m) || reflect.PointerTo(t).Implements(m) {
			return true
		}
	}
	return false
}

// members are the fields of a struct, those of embedded ones in their place.
func members(t reflect.Type, seen []reflect.Type) []string {
	var out []string
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			out = append(out, members(f.Type, seen)...)
			continue
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Pointer:
			out = append(out, members(f.Type.Elem(), seen)...)
			continue
		case !f.IsExported() || name == "-":
			continue
		case name == "":
			name = f.Name
		}
		inner := fieldsOf(f.Type, seen)
		if len(inner) == 0 {
			inner = []string{""}
		}
		inner[0] = name + inner[0]
		out = append(out, inner...)
	}
	return out
}

// around puts marks around a list of words, on the first and the last; KEY stands apart.
func around(begin string, words []string, end string) []string {
	if len(words) == 0 {
		return []string{begin + end}
	}
	out := slices.Clone(words)
	out[len(out)-1] += end
	if strings.HasSuffix(begin, "KEY") {
		return append([]string{begin}, out...)
	}
	out[0] = begin + out[0]
	return out
}

func TestReferenceOfBounds(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "../../tuner/gate/gate.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Bound") {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s |", value, gate.Bound(value).Words()))
		return true
	})
	slices.Sort(rows)
	if len(rows) < 10 {
		t.Fatalf("found %d bounds in tuner/gate/gate.go", len(rows))
	}
	holdReference(t, "../../docs/reference/bounds.md", "bounds",
		"| bound | in words |\n|---|---|\n"+strings.Join(rows, "\n"))
}
