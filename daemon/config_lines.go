package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"trimtab/plain"
)

// configLines says on which line of a TOML text a key is set, by its full name. It is for messages only: a key written in a
// way that it does not know has no line.
type configLines map[string]int

var (
	tomlTable = regexp.MustCompile(`^\s*\[\[?\s*([^\]#]+?)\s*\]`)
	tomlKey   = regexp.MustCompile(`^\s*([A-Za-z0-9_."'-]+)\s*=`)
)

func keyLines(text string) configLines {
	at, table, n := configLines{}, "", 0
	for line := range strings.Lines(text) {
		n++
		if m := tomlTable.FindStringSubmatch(line); m != nil {
			table = m[1] + "."
			at.set(m[1], n)
		} else if m := tomlKey.FindStringSubmatch(line); m != nil {
			at.set(table+m[1], n)
		}
	}
	return at
}

func (at configLines) set(key string, line int) {
	if at[key] == 0 {
		at[key] = line
	}
}

// place is where the key is set: "file:line", or the file alone.
func (at configLines) place(path, key string) string {
	if line := at[key]; line > 0 {
		return fmt.Sprintf("%s:%d", path, line)
	}
	return path
}

// firstKey is the key that a fault begins with.
func firstKey(fault string) string {
	key, _, _ := strings.Cut(fault, " ")
	return strings.TrimRight(key, ":,")
}

// faults are the single errors of a joined one.
func faults(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, faults(e)...)
		}
		return all
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

var tomlType = regexp.MustCompile(`^toml: line (\d+) \(last key "([^"]*)"\): (.*)$`)

// decodeAll decodes a text into c as far as it can and returns every fault: where a value is of the wrong type, the line is left out and
// the rest read.
func decodeAll(path, text string, c *Config) (meta toml.MetaData, errs []error) {
	const most = 100 // faults
	lines := strings.Split(text, "\n")
	for len(errs) < most {
		meta, err := toml.Decode(strings.Join(lines, "\n"), c)
		if err == nil {
			return meta, errs
		}
		errs = append(errs, decodeError(path, err))
		m := tomlType.FindStringSubmatch(err.Error())
		if m == nil {
			break // not TOML: what follows cannot be told
		}
		n, _ := strconv.Atoi(m[1])
		if n < 1 || n > len(lines) || lines[n-1] == "" {
			break
		}
		lines[n-1] = ""
	}
	return meta, errs
}

// meant says which known key a wrong one may mean: the same name in another table, or a similar one.
func meant(key string) string {
	known := append(Keys(), blockKeys()...)
	name := key[strings.LastIndexByte(key, '.')+1:]
	for _, k := range known {
		if k[strings.LastIndexByte(k, '.')+1:] == name {
			return " (did you mean " + k + "?)"
		}
	}
	return plain.DidYouMean(key, known)
}

// tomlTypes are the types of TOML and Go in words.
var tomlTypes = strings.NewReplacer("incompatible types: TOML value has type int64; destination has type ", "got a whole number, want ",
	"incompatible types: TOML value has type string; destination has type ", "got a text, want ",
	"incompatible types: TOML value has type float64; destination has type ", "got a number, want ",
	"incompatible types: TOML value has type bool; destination has type ", "got true or false, want ",
	"incompatible types: TOML value has type []any; destination has type ", "got a list, want ",
	"incompatible types: TOML value has type map[string]any; destination has type ", "got a table, want ",
)

// typeText is what is wrong with the type of a value.
func typeText(text string) string {
	text = tomlTypes.Replace(text)
	for from, to := range map[string]string{"want string": "want a text in quotes", "want integer": "want a whole number", "want boolean": "want true or false",
		"want float": "want a number", "want slice": "want a list", "want struct": "want a table", "want map": "want a table"} {
		if strings.HasSuffix(text, from) {
			return strings.TrimSuffix(text, from) + to
		}
	}
	return text
}

// decodeError puts the line first, as compilers do.
func decodeError(path string, err error) error {
	var parse toml.ParseError
	if errors.As(err, &parse) {
		if parse.LastKey != "" && parse.Message[0] == '"' { // of a value of its own type, which does not know its key
			return fmt.Errorf("%s:%d: %s %s", path, parse.Position.Line, parse.LastKey, parse.Message)
		}
		return fmt.Errorf("%s:%d: %s", path, parse.Position.Line, parse.Message)
	}
	if m := tomlType.FindStringSubmatch(err.Error()); m != nil {
		return fmt.Errorf("%s:%s: %s: %s", path, m[1], m[2], typeText(m[3]))
	}
	return fmt.Errorf("%s: %w", path, err)
}

// sortByLine puts faults in the order of the file, those without a line last.
func sortByLine(path string, errs []error) {
	line := func(err error) int {
		rest, ok := strings.CutPrefix(err.Error(), path+":")
		number, _, _ := strings.Cut(rest, ":")
		if n, err := strconv.Atoi(number); ok && err == nil {
			return n
		}
		return math.MaxInt
	}
	slices.SortStableFunc(errs, func(a, b error) int { return cmp.Compare(line(a), line(b)) })
}
