package plain

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Label is a name as UTF-8 that is read back, such as the value of a metric's label: NGINX takes names of any bytes. A
// name that is UTF-8 and has no backslash stays as it is; in others a byte that is not UTF-8 becomes \xff and a
// backslash two, so that different names stay different.
func Label(name string) string {
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

// Unlabel is the name that Label was given; what Label cannot have returned stays as it is.
func Unlabel(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
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
	if name := b.String(); Label(name) == text {
		return name
	}
	return text
}
