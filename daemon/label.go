package daemon

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"trimtab/weights"
)

// label is a name as the value of a label, which has to be UTF-8: NGINX takes names of any bytes. A name that is UTF-8
// and has no backslash stays as it is; in others a byte that is not UTF-8 becomes \xff and a backslash two, so that
// different names stay different.
func label(name string) string {
	if utf8.ValidString(name) && !strings.Contains(name, `\`) {
		return name
	}
	var b strings.Builder
	for len(name) > 0 {
		r, n := utf8.DecodeRuneInString(name)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, name[0])
		case r == '\\':
			b.WriteString(`\\`)
		default:
			b.WriteString(name[:n])
		}
		name = name[n:]
	}
	return b.String()
}

// labels joins names by commas to one label; a comma in a name gets a backslash.
func labels(names []string) string {
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = strings.ReplaceAll(label(name), ",", `\,`)
	}
	return strings.Join(parts, ",")
}

// unlabel is the name that label was given; what label cannot have returned stays as it is.
func unlabel(text string) string {
	var b strings.Builder
	for rest := text; rest != ""; {
		var octet byte
		switch {
		case rest[0] != '\\':
			b.WriteByte(rest[0])
			rest = rest[1:]
		case strings.HasPrefix(rest, `\\`):
			b.WriteByte('\\')
			rest = rest[2:]
		case len(rest) >= 4 && rest[1] == 'x':
			if n, err := fmt.Sscanf(rest[2:4], "%02x", &octet); n != 1 || err != nil {
				return text
			}
			b.WriteByte(octet)
			rest = rest[4:]
		default:
			return text
		}
	}
	if name := b.String(); label(name) == text {
		return name
	}
	return text
}

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
