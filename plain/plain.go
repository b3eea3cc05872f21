// Package plain makes names that others chose fit to be shown. NGINX takes any bytes but 0 and a few separators for the
// name of an upstream or of a Unix socket: bytes that are no UTF-8, which labels of metrics may not hold; control
// characters and escape sequences, which a terminal obeys; characters that turn the direction of writing, which make a
// line read as something else. The text that comes out has none of these, is the same for the same name, and is never
// cut.
//
// It is for showing only: whoever needs the name itself, such as to find the server in a configuration, keeps the
// bytes.
package plain

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text returns s with everything escaped that is not plain: bytes that are no UTF-8 as \x.., other characters as \u....
// A backslash stays one, so that paths read as they are.
func Text(s string) string {
	clean := true
	for i, r := range s {
		if r == utf8.RuneError && isBroken(s[i:]) || !shown(r) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case !shown(r) && r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		case !shown(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// isBroken reports whether s begins with a byte that is no UTF-8, and not with a written U+FFFD.
func isBroken(s string) bool {
	_, n := utf8.DecodeRuneInString(s)
	return n == 1
}

// shown reports whether a character may stand as it is: letters, marks, numbers, punctuation, symbols and the blank.
// Format characters, among them those of direction, separators of lines and unassigned code points may not.
func shown(r rune) bool { return r == ' ' || unicode.IsGraphic(r) && !unicode.Is(unicode.Zs, r) }
