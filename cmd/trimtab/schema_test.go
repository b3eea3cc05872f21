package main

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"trimtab/arena"
	"trimtab/arena/testbed"
	"trimtab/cluster"
	"trimtab/daemon"
	"trimtab/fleet/bus"
	"trimtab/loadgen"
	"trimtab/nginx/live"
	"trimtab/orders"
	"trimtab/prove"
	"trimtab/tuner"
	"trimtab/weights"
)

const schemaFile = "../../docs/reference/schema.json"

// inExplanation is what a report of explain holds: it has no version of its own.
const inExplanation = "explanation of the learner tuned"

// output is what a command prints with --json, or a file of such lines.
type output struct {
	of    string
	lines []any // the kinds of lines, as values of their types
}

// outputs are all of them: a command with --json that is missing here fails a test.
func outputs() []output {
	return []output{
		{"trimtab load", []any{loadgen.Report{}}},
		{"load --ndjson", []any{loadgen.Second{}}},
		{"trimtab run", []any{testbed.Report{Schema: testbed.ReportSchema}}},
		{"trimtab testbed", []any{testbedJSON{}}},
		{"trimtab arena", []any{arena.Row{}}},
		{"arena trace.ndjson", []any{arena.Trace{}}},
		{"trimtab arena worlds", []any{comparisonJSON{}, worldJSON{}, failureJSON{}}},
		{"trimtab arena returns", []any{arena.RecurrenceRatio{}, failureJSON{}}},
		{"trimtab arena ablate", []any{changeJSON{}, kindJSON{}, failureJSON{}}},
		{"trimtab arena forecasts", []any{arena.ForecastRow{}}},
		{"trimtab arena validate", []any{arena.Validation{}}},
		{"trimtab arena train", []any{curveJSON{}}},
		{"trimtab arena leaderboard", []any{arena.Leader{}}},
		{"trimtab arena edge", []any{edgeJSON{}}},
		{"trimtab arena autoscale", []any{autoscaleJSON{}}},
		{"trimtab scenario list", []any{scenarioSummary{}}},
		{"trimtab graph init", []any{graphJSON{}}},
		{"trimtab collect", []any{collectJSON{}}},
		{"trimtab cluster", []any{cluster.Choice{}, fitJSON{}}},
		{"trimtab plan", []any{planJSON{}, tradeOffJSON{}}},
		{"trimtab prove", []any{prove.Result{}, prove.Power{}}},
		{"trimtab compare", []any{compareJSON{}}},
		{"trimtab explain", []any{daemon.Report{Schema: daemon.ReportSchema}}},
		{inExplanation, []any{tuner.Explanation{}}},
		{"trimtab doctor", []any{diagnosis{}}},
		{"trimtab orders", []any{orders.Orders{}}},
		{"trimtab fleet status", []any{bus.Status{}}},
		{"trimtab nginx show", []any{upstreamJSON{}}},
		{"trimtab nginx check", []any{finding{}}},
		{"trimtab nginx set", []any{changedJSON{}}},
		{"trimtab nginx rollback", []any{changedJSON{}}},
		{"trimtab nginx live install", []any{liveInstallJSON{}}},
		{"trimtab nginx live show", []any{live.State{}}},
		{"trimtab nginx live set", []any{changedJSON{}}},
		{"trimtab nginx dns install", []any{dnsInstallJSON{}}},
		{"trimtab nginx dns show", []any{dnsShowJSON{}}},
		{"trimtab nginx dns set", []any{changedJSON{}}},
		{"trimtab nginx dns reset", []any{changedJSON{}}},
	}
}

type schema = map[string]any

// schemas makes schemas of types: one definition for each struct.
type schemas struct{ defs map[string]schema }

func (s *schemas) of(t reflect.Type) schema {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return schema{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[weights.Weight]():
		return schema{"type": "integer", "minimum": weights.Min, "maximum": weights.Max}
	case t.Kind() == reflect.Pointer:
		return schema{"anyOf": []any{s.of(t.Elem()), schema{"type": "null"}}}
	case writes(t, reflect.TypeFor[json.Marshaler]()):
		return schema{}
	case writes(t, reflect.TypeFor[encoding.TextMarshaler]()):
		return schema{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.String:
		return schema{"type": "string"}
	case reflect.Float32, reflect.Float64:
		return schema{"type": "number"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8,
		reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return schema{"type": "integer"}
	case reflect.Array:
		return schema{"type": "array", "items": s.of(t.Elem())}
	case reflect.Slice:
		return schema{"type": []any{"array", "null"}, "items": s.of(t.Elem())}
	case reflect.Map:
		return schema{"type": []any{"object", "null"}, "additionalProperties": s.of(t.Elem())}
	case reflect.Struct:
		name := strings.TrimPrefix(t.String(), "main.")
		if _, known := s.defs[name]; !known {
			s.defs[name] = nil // so that a type that holds itself ends here
			s.defs[name] = s.object(t)
		}
		return schema{"$ref": "#/$defs/" + name}
	}
	return schema{} // an interface: anything
}

func writes(t, how reflect.Type) bool {
	return t.Implements(how) || reflect.PointerTo(t).Implements(how)
}

// object is the schema of a struct: fields that may be left out are not required, others do not come.
func (s *schemas) object(t reflect.Type) schema {
	properties, required := schema{}, []any{}
	s.fields(t, properties, &required)
	out := schema{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

func (s *schemas) fields(t reflect.Type, properties schema, required *[]any) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct {
			s.fields(f.Type, properties, required)
			continue
		}
		if f.Anonymous && name == "" && f.Type.Kind() == reflect.Pointer { // its fields come when it does
			s.fields(f.Type.Elem(), properties, new([]any))
			continue
		}
		if !f.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		properties[name] = s.of(f.Type)
		if !strings.Contains(options, "omit") {
			*required = append(*required, name)
		}
	}
}

// allSchemas is the whole document.
func allSchemas() schema {
	s := &schemas{defs: map[string]schema{}}
	of := schema{}
	for _, o := range outputs() {
		var kinds []any
		for _, line := range o.lines {
			ref := s.of(reflect.TypeOf(line))
			ref["required"] = []any{"schema_version"}
			if o.of == inExplanation {
				delete(ref, "required")
			}
			kinds = append(kinds, ref)
			def := s.defs[strings.TrimPrefix(reflect.TypeOf(line).String(), "main.")]
			def["properties"].(schema)["schema_version"] = schema{"const": schemaVersion}
		}
		if len(kinds) == 1 {
			of[o.of] = kinds[0]
		} else {
			of[o.of] = schema{"anyOf": kinds}
		}
	}
	return schema{"$schema": "https://json-schema.org/draft/2020-12/schema",
		"title":   "What trimtab prints with --json, a line each, and its files of such lines",
		"version": schemaVersion, "properties": of, "$defs": s.defs}
}

func TestReferenceOfSchemas(t *testing.T) {
	want, err := json.MarshalIndent(allSchemas(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if os.Getenv("TRIMTAB_UPDATE_DOCS") != "" {
		if err := os.WriteFile(schemaFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the code says: run make docs", schemaFile)
	}
}

// Every command with --json has a schema, and no other.
func TestEveryOutputHasASchema(t *testing.T) {
	commands := map[string]bool{}
	eachCommand(newRoot(&env{}), func(c *cobra.Command) {
		if c.Flags().Lookup("json") != nil {
			commands[c.CommandPath()] = true
		}
	})
	for _, o := range outputs() {
		if strings.HasPrefix(o.of, "trimtab ") && !commands[o.of] {
			t.Errorf("%s has a schema, and no --json", o.of)
		}
		delete(commands, o.of)
	}
	for c := range commands {
		t.Errorf("%s --json has no schema", c)
	}
	// All of it goes through printJSON, which says the version.
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(file, "_test.go") && bytes.Contains(text, []byte("json.NewEncoder(e.stdout)")) {
			t.Errorf("%s prints JSON without printJSON", file)
		}
	}
}

// conforms holds the lines of an output to the schema that is published of it.
func conforms(t *testing.T, of, text string) {
	t.Helper()
	file, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	var all schema
	if err := json.Unmarshal(file, &all); err != nil {
		t.Fatal(err)
	}
	s, ok := all["properties"].(schema)[of].(schema)
	if !ok {
		t.Fatalf("there is no schema of %s", of)
	}
	v, n := validator{all["$defs"].(schema)}, 0
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		var value any
		if err := json.Unmarshal([]byte(line), &value); err != nil {
			t.Errorf("%s: %.200q is no JSON: %v", of, line, err)
			continue
		}
		n++
		if fault := v.check(s, value, ""); fault != "" {
			t.Errorf("%s: line %d: %s", of, n, fault)
		}
	}
	if n == 0 {
		t.Errorf("%s: no line to hold to its schema", of)
	}
}

// What the types of outputs print, empty as they are, is what their schemas say.
func TestEmptyOutputsConform(t *testing.T) {
	for _, o := range outputs() {
		for _, line := range o.lines {
			var out strings.Builder
			if err := printJSON(&out, line); err != nil {
				t.Errorf("%s: %v", o.of, err)
				continue
			}
			conforms(t, o.of, out.String())
		}
	}
}

// validator checks values against schemas: as much of JSON Schema as allSchemas uses.
type validator struct{ defs schema }

// check says what is wrong with a value; empty: nothing.
func (v validator) check(s schema, value any, at string) string {
	if ref, ok := s["$ref"].(string); ok {
		def, ok := v.defs[strings.TrimPrefix(ref, "#/$defs/")].(schema)
		if !ok {
			return at + ": no definition of " + ref
		}
		if fault := v.check(def, value, at); fault != "" {
			return fault
		}
	}
	if any, ok := s["anyOf"].([]any); ok {
		var faults []string
		for _, kind := range any {
			fault := v.check(kind.(schema), value, at)
			if fault == "" {
				return ""
			}
			faults = append(faults, fault)
		}
		return strings.Join(faults, "; or ")
	}
	if want, ok := s["const"]; ok && want != value {
		return fmt.Sprintf("%s: got %v, want %v", at, value, want)
	}
	if fault := checkType(s["type"], value, at); fault != "" {
		return fault
	}
	switch value := value.(type) {
	case []any:
		items, _ := s["items"].(schema)
		for i, e := range value {
			if fault := v.check(items, e, fmt.Sprintf("%s[%d]", at, i)); fault != "" {
				return fault
			}
		}
	case schema:
		return v.object(s, value, at)
	}
	return ""
}

func (v validator) object(s, value schema, at string) string {
	required, _ := s["required"].([]any)
	for _, name := range required {
		if _, ok := value[name.(string)]; !ok {
			return fmt.Sprintf("%s.%s is missing", at, name)
		}
	}
	properties, _ := s["properties"].(schema)
	for _, name := range slices.Sorted(maps.Keys(value)) {
		p, ok := properties[name].(schema)
		if !ok {
			switch more := s["additionalProperties"].(type) {
			case bool:
				return fmt.Sprintf("%s.%s is not in the schema", at, name)
			case schema:
				p = more
			default:
				continue
			}
		}
		if fault := v.check(p, value[name], at+"."+name); fault != "" {
			return fault
		}
	}
	return ""
}

func checkType(want, value any, at string) string {
	var kinds []any
	switch want := want.(type) {
	case nil:
		return ""
	case string:
		kinds = []any{want}
	case []any:
		kinds = want
	}
	got := "null"
	switch value := value.(type) {
	case bool:
		got = "boolean"
	case string:
		got = "string"
	case float64:
		got = "number"
		if value == math.Trunc(value) && slices.Contains(kinds, any("integer")) {
			got = "integer"
		}
	case []any:
		got = "array"
	case schema:
		got = "object"
	}
	if !slices.Contains(kinds, any(got)) {
		return fmt.Sprintf("%s: got %s, want %v", at, got, want)
	}
	return ""
}

func TestTheValidatorFindsFaults(t *testing.T) {
	s := &schemas{defs: map[string]schema{}}
	type inner struct {
		Weights map[string]int `json:"weights"`
	}
	type outer struct {
		Name  string  `json:"name"`
		List  []inner `json:"list,omitempty"`
		Maybe *int    `json:"maybe"`
	}
	text, err := json.Marshal(schema{"s": s.of(reflect.TypeFor[outer]()), "defs": s.defs})
	if err != nil {
		t.Fatal(err)
	}
	var read struct {
		S    schema
		Defs schema
	}
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, value, want string }{
		{"all of it", `{"name":"a","list":[{"weights":{"x":1}}],"maybe":3}`, ""},
		{"without what may be left out, and null", `{"name":"a","maybe":null}`, ""},
		{"a field that is missing", `{"maybe":null}`, ".name is missing"},
		{"a field that is not known", `{"name":"a","maybe":1,"more":2}`, ".more is not in the schema"},
		{"a number of another kind, deep inside", `{"name":"a","maybe":1,"list":[{"weights":{"x":1.5}}]}`,
			".list[0].weights.x: got number, want integer"},
		{"another type", `{"name":["a"],"maybe":1}`, ".name: got array, want string"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var value any
			if err := json.Unmarshal([]byte(c.value), &value); err != nil {
				t.Fatal(err)
			}
			if got := (validator{read.Defs}).check(read.S, value, ""); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Weights and servers have one form in every output: a server is a name; what is said of servers one by one is a list of
// objects that name theirs; weights are by upstream and server, or by server where one upstream is meant, and each is
// {weight, down}.
func TestWeightsAndServersHaveOneForm(t *testing.T) {
	file, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	var all schema
	if err := json.Unmarshal(file, &all); err != nil {
		t.Fatal(err)
	}
	defs, seen := all["$defs"].(schema), map[string]int{}
	of := func(s any, key string) schema { inner, _ := s.(schema)[key].(schema); return inner }
	setting := func(s schema) bool {
		ref, _ := s["$ref"].(string)
		return strings.HasSuffix(ref, ".Setting")
	}
	for name, d := range defs {
		for key, value := range of(d, "properties") {
			var ok bool
			switch {
			case key == "server":
				ok = value.(schema)["type"] == "string"
			case key == "servers":
				ref, _ := of(value, "items")["$ref"].(string)
				_, ok = of(defs[strings.TrimPrefix(ref, "#/$defs/")], "properties")["server"]
			case key == "weights" || strings.HasPrefix(key, "weights_"):
				by := of(value, "additionalProperties")
				ok = setting(by) || setting(of(by, "additionalProperties"))
			case key == "weight":
				ok = value.(schema)["type"] == "integer"
			default:
				continue
			}
			seen[key]++
			if !ok {
				t.Errorf("%s.%s has a form of its own: %v", name, key, value)
			}
		}
	}
	if seen["weights"] < 5 || seen["servers"] < 3 || seen["server"] < 4 || seen["weight"] < 4 {
		t.Errorf("looked at %v: want the fields of all outputs", seen)
	}
}
