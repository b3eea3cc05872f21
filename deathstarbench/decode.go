package deathstarbench

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// Parse reads, checks and completes a scenario from its text; file is its name in errors. Everything that is wrong
// with keys, types and values is reported at once; only broken TOML ends at the first error.
func Parse(file string, text []byte) (*Scenario, error) {
	s := &Scenario{Name: strings.TrimSuffix(filepath.Base(file), ".toml")}
	d, err := decode(file, text, s)
	if err != nil {
		return nil, err
	}
	s.complete()
	for _, f := range s.faults() {
		if !d.undecoded[f.where] { // it is zero because it could not be read, which has been said
			d.faults = append(d.faults, f)
		}
	}
	if len(d.faults) > 0 {
		return nil, located(file, text, d.faults)
	}
	return s, nil
}

// Decode reads a file of another kind of world as strictly as a scenario: unknown keys and values of another type are
// errors with their lines, all at once. The destination is a pointer to a struct with toml tags; it holds what could be
// read even when there is an error.
func Decode(file string, text []byte, to any) error {
	d, err := decode(file, text, to)
	if err != nil {
		return err
	}
	return located(file, text, d.faults)
}

// decode fills the struct; the error is of broken TOML.
func decode(file string, text []byte, to any) (*decoder, error) {
	var tree map[string]any
	if err := toml.Unmarshal(text, &tree); err != nil {
		if e := (toml.ParseError{}); errors.As(err, &e) {
			return nil, fmt.Errorf("%s:%d: %s", file, e.Position.Line, e.Message)
		}
		return nil, fmt.Errorf("parse %s: %w", file, err)
	}
	d := &decoder{undecoded: map[string]bool{}}
	d.table("", tree, reflect.ValueOf(to).Elem())
	return d, nil
}

// located joins faults by line; nil: there are none.
func located(file string, text []byte, faults []fault) error {
	lines := strings.Split(string(text), "\n")
	slices.SortStableFunc(faults, func(a, b fault) int { return findLine(lines, a.where) - findLine(lines, b.where) })
	errs := make([]error, len(faults))
	for i, f := range faults {
		place := file
		if line := findLine(lines, f.where); line > 0 {
			place = fmt.Sprintf("%s:%d", file, line)
		}
		errs[i] = fmt.Errorf("%s: %s", place, f)
	}
	return errors.Join(errs...)
}

// fault is one thing wrong with a scenario. The place is a path such as "server[1].slots".
type fault struct{ where, what string }

func (f fault) String() string { return f.where + ": " + f.what }

// decoder fills a struct from decoded TOML and collects everything that does not fit.
type decoder struct {
	faults    []fault
	undecoded map[string]bool // paths whose value does not fit
}

func (d *decoder) wrong(where, format string, args ...any) {
	d.faults = append(d.faults, fault{where, fmt.Sprintf(format, args...)})
	d.undecoded[where] = true
}

var durationType = reflect.TypeFor[Duration]()

func (d *decoder) table(where string, tree map[string]any, to reflect.Value) {
	fields := map[string]reflect.Value{}
	for i := range to.NumField() {
		fields[to.Type().Field(i).Tag.Get("toml")] = to.Field(i)
	}
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		path := join(where, key)
		if field, ok := fields[key]; ok {
			d.value(path, tree[key], field)
			continue
		}
		d.wrong(path, "unknown key; known are %s", strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
	}
}

func (d *decoder) value(where string, v any, to reflect.Value) {
	if to.Type() == durationType {
		text, ok := v.(string)
		if !ok {
			d.wrong(where, "%v: want a duration in quotes such as \"20ms\"", v)
			return
		}
		value, err := time.ParseDuration(text)
		if err != nil {
			d.wrong(where, "%q: want a duration such as \"20ms\"", text)
			return
		}
		to.SetInt(int64(value))
		return
	}
	switch to.Kind() {
	case reflect.Pointer: // of what 0 is not the same as missing
		to.Set(reflect.New(to.Type().Elem()))
		d.value(where, v, to.Elem())
	case reflect.String:
		if text, ok := v.(string); ok {
			to.SetString(text)
			return
		}
		d.wrong(where, "%v: want text in quotes", v)
	case reflect.Bool:
		if b, ok := v.(bool); ok {
			to.SetBool(b)
			return
		}
		d.wrong(where, "%v: want true or false", v)
	case reflect.Int:
		if n, ok := v.(int64); ok && n >= math.MinInt32 && n <= math.MaxInt32 {
			to.SetInt(n)
			return
		}
		d.wrong(where, "%v: want a whole number", v)
	case reflect.Float64:
		switch n := v.(type) {
		case int64:
			to.SetFloat(float64(n))
		case float64:
			if math.IsNaN(n) || math.IsInf(n, 0) {
				d.wrong(where, "%v: want a finite number", n)
				return
			}
			to.SetFloat(n)
		default:
			d.wrong(where, "%v: want a number", v)
		}
	case reflect.Slice, reflect.Array:
		d.list(where, v, to)
	case reflect.Map:
		entries, ok := v.(map[string]any)
		if !ok {
			d.wrong(where, "want a table such as { %s = \"20ms\" }", ComposePost)
			return
		}
		to.Set(reflect.MakeMap(to.Type()))
		for _, key := range slices.Sorted(maps.Keys(entries)) {
			element := reflect.New(to.Type().Elem()).Elem()
			d.value(join(where, key), entries[key], element)
			to.SetMapIndex(reflect.ValueOf(key), element)
		}
	case reflect.Struct:
		if entries, ok := v.(map[string]any); ok {
			d.table(where, entries, to)
			return
		}
		d.wrong(where, "want a table")
	default:
		panic("deathstarbench: no decoding into " + to.Type().String())
	}
}

func (d *decoder) list(where string, v any, to reflect.Value) {
	var elements []any
	switch list := v.(type) {
	case []any:
		elements = list
	case []map[string]any:
		for _, e := range list {
			elements = append(elements, e)
		}
	default:
		d.wrong(where, "want a list")
		return
	}
	if to.Kind() == reflect.Array {
		if len(elements) != to.Len() {
			d.wrong(where, "%d values: want %d", len(elements), to.Len())
			return
		}
	} else {
		to.Set(reflect.MakeSlice(to.Type(), len(elements), len(elements)))
	}
	for i, e := range elements {
		d.value(fmt.Sprintf("%s[%d]", where, i), e, to.Index(i))
	}
}

func join(where, key string) string {
	if where == "" {
		return key
	}
	return where + "." + key
}

// findLine returns the line, counted from 1, on which the key that a path names stands, else the line on which its
// table begins, else 0. It looks only at the start of lines: good enough to point at, in any layout that people write.
func findLine(lines []string, where string) int {
	first, rest, _ := strings.Cut(where, ".")
	name, index, inTables := strings.Cut(first, "[")
	from, header := 0, 0
	if inTables {
		n, err := strconv.Atoi(strings.TrimSuffix(index, "]"))
		if err != nil {
			return 0
		}
		header = findHeader(lines, name, n)
		if header == 0 {
			return 0
		}
		from = header
	} else {
		rest = first
	}
	key := rest
	if i := strings.IndexAny(key, ".["); i >= 0 {
		key = key[:i]
	}
	for i := from; i < len(lines) && key != ""; i++ {
		line := strings.TrimSpace(lines[i])
		if strings.HasPrefix(line, "[") {
			break
		}
		if left, _, ok := strings.Cut(line, "="); ok && strings.Trim(strings.TrimSpace(left), `"'`) == key {
			return i + 1
		}
	}
	return header
}

// findHeader returns the line, counted from 1, of the n-th [[name]], else 0.
func findHeader(lines []string, name string, n int) int {
	for i, line := range lines {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		inner, ok := strings.CutPrefix(line, "[[")
		if !ok || strings.TrimSpace(strings.TrimSuffix(inner, "]]")) != name {
			continue
		}
		if n == 0 {
			return i + 1
		}
		n--
	}
	return 0
}
