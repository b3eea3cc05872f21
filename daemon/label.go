package daemon

import (
	"strings"

	"trimtab/plain"
	"trimtab/weights"
)

// label is a name as the value of a label, which has to be UTF-8.
func label(name string) string { return plain.Label(name) }

// labels joins names by commas to one label; a comma in a name gets a backslash.
func labels(names []string) string {
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = strings.ReplaceAll(label(name), ",", `\,`)
	}
	return strings.Join(parts, ",")
}

// unlabel is the name that label was given.
func unlabel(text string) string { return plain.Unlabel(text) }

// relabel returns a set with every name of a group and of a server changed.
func relabel(set weights.Set, change func(string) string) weights.Set {
	if set == nil {
		return nil
	}
	out := make(weights.Set, len(set))
	for group, servers := range set {
		to := make(weights.Group, len(servers))
		for server, s := range servers {
			to[change(server)] = s
		}
		out[change(group)] = to
	}
	return out
}
