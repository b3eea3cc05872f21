package plain

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, want string }{
		{"an ordinary name", "compose_backend", "compose_backend"},
		{"an address", "[::1]:8080", "[::1]:8080"},
		{"letters of any language", "größe-後端", "größe-後端"},
		{"a path with a backslash", `unix:/run/a\b.sock`, `unix:/run/a\b.sock`},
		{"a byte that is no UTF-8", "web\xff", `web\xff`},
		{"an escape sequence", "\x1b[2Jweb", `\u001b[2Jweb`},
		{"a newline", "web\nlevel=ERROR", `web\u000alevel=ERROR`},
		{"a control character of the second set", "a\u009bb", `a\u009bb`},
		{"a character that turns the direction", "a\u202eb", `a\u202eb`},
		{"a character without width", "a\u200bb", `a\u200bb`},
		{"a blank that is none", "a\u00a0b", `a\u00a0b`},
		{"a character above U+FFFF that is not shown", "a\U000e0001b", `a\U000e0001b`},
		{"a written replacement character", "a\ufffdb", "a\ufffdb"},
		{"nothing", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := Text(c.in); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func FuzzText(f *testing.F) {
	f.Add("web\xff\x1b[0m")
	f.Fuzz(func(t *testing.T, s string) {
		got := Text(s)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, unicode.IsControl) {
			t.Errorf("%q: got %q", s, got)
		}
		if Text(got) != got {
			t.Errorf("%q: got %q, and of that %q", s, got, Text(got))
		}
	})
}
