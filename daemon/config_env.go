package daemon

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Variables are the keys of trimtab.toml that an environment variable can set, by the name of the variable: TRIMTAB_STATUS_URL for url
// of [status]. What stands in the environment goes before the file. Lists are separated by commas, headers are written Name=value.
// Blocks such as [[upstream]] have none.
func Variables() map[string]string {
	out := map[string]string{}
	for _, key := range Keys() {
		out[variableOf(key)] = key
	}
	return out
}

func variableOf(key string) string {
	return "TRIMTAB_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

// Keys are the keys of trimtab.toml that stand outside of [[blocks]], with their tables, in the order of Config.
func Keys() []string {
	var out []string
	walkKeysOf(reflect.TypeFor[Config](), "", func(key string, t reflect.Type) { out = append(out, key) })
	return out
}

func walkKeysOf(t reflect.Type, prefix string, do func(key string, t reflect.Type)) {
	for f := range t.Fields() {
		name := f.Tag.Get("toml")
		switch {
		case f.Anonymous:
			walkKeysOf(f.Type, prefix, do)
		case name == "" || f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
		case f.Type.Kind() == reflect.Struct:
			walkKeysOf(f.Type, prefix+name+".", do)
		default:
			do(prefix+name, f.Type)
		}
	}
}

// takeEnvironment sets the keys that have a variable and returns their names, by key.
func (c *Config) takeEnvironment() (from map[string]string, err error) {
	from = map[string]string{}
	var errs []error
	walkKeysOf(reflect.TypeFor[Config](), "", func(key string, t reflect.Type) {
		name := variableOf(key)
		text, ok := os.LookupEnv(name)
		if !ok {
			return
		}
		from[key] = name
		value, err := variableValue(text, t)
		if err == nil {
			err = c.setValue(key, value)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s=%q: %w", name, text, err))
		}
	})
	return from, errors.Join(errs...)
}

// variableValue is the text of a variable as the value of a key of type t.
func variableValue(text string, t reflect.Type) (any, error) {
	switch {
	case t == reflect.TypeFor[Span](), t.Kind() == reflect.String:
		return text, nil
	case t.Kind() == reflect.Bool:
		v, err := strconv.ParseBool(text)
		if err != nil {
			return nil, errors.New("want true or false")
		}
		return v, nil
	case t.Kind() == reflect.Float64:
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, errors.New("want a number")
		}
		return v, nil
	case t.Kind() == reflect.Int, t.Kind() == reflect.Uint64:
		v, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, errors.New("want a whole number")
		}
		return v, nil
	case t.Kind() == reflect.Slice:
		return slices.DeleteFunc(strings.Split(text, ","), func(s string) bool { return s == "" }), nil
	case t.Kind() == reflect.Map:
		out := map[string]string{}
		for pair := range strings.SplitSeq(text, ",") {
			name, value, ok := strings.Cut(pair, "=")
			if !ok {
				return nil, errors.New("want Name=value, and a comma between two")
			}
			out[name] = value
		}
		return out, nil
	}
	return nil, fmt.Errorf("a %s has no variable", t)
}

// blockKeys are the keys of [[blocks]], with the name of the block.
func blockKeys() (out []string) {
	var blocks func(t reflect.Type, prefix string)
	blocks = func(t reflect.Type, prefix string) {
		for f := range t.Fields() {
			name := f.Tag.Get("toml")
			switch {
			case f.Anonymous, name != "" && f.Type.Kind() == reflect.Struct:
				blocks(f.Type, prefix+strings.TrimPrefix(name+".", "."))
			case name != "" && f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
				walkKeysOf(f.Type.Elem(), prefix+name+".", func(key string, _ reflect.Type) { out = append(out, key) })
				blocks(f.Type.Elem(), prefix+name+".")
			}
		}
	}
	blocks(reflect.TypeFor[Config](), "")
	return out
}
