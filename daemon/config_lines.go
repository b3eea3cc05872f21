package daemon

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/BurntSushi/toml"
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

// decodeError puts the line first, as compilers do.
func decodeError(path string, err error) error {
	var parse toml.ParseError
	if errors.As(err, &parse) {
		return fmt.Errorf("%s:%d: %s", path, parse.Position.Line, parse.Message)
	}
	if m := tomlType.FindStringSubmatch(err.Error()); m != nil {
		return fmt.Errorf("%s:%s: %s: %s", path, m[1], m[2], m[3])
	}
	return fmt.Errorf("%s: %w", path, err)
}
