package plain

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestWrap(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a short line stays as it is, blanks and all", "a  b", "a  b"},
		{"a long one breaks between words, indented", "  one two three four five", "  one two three\n    four five"},
		{"a word that is too long stays whole", "aaaaaaaaaaaaaaaaaaaaaaa b", "aaaaaaaaaaaaaaaaaaaaaaa\n  b"},
		{"lines are wrapped one by one", "one two three four\nx", "one two three\n  four\nx"},
		{"columns are characters, not bytes", "éééé éééé ééé", "éééé éééé ééé"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Wrap(c.text, 15); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestHang(t *testing.T) {
	for _, c := range []struct{ name, head, text, want string }{
		{"a short text stands beside its head", "ok    ", "well", "ok    well"},
		{"a long one goes on below its beginning", "ok    ", "one two three", "ok    one two\n      three"},
		{"what follows is not indented further", "ok    ", "one two three four five",
			"ok    one two\n      three\n      four five"},
		{"a head that leaves no room", "a long head: ", "one two", "a long head:\n  one two"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Hang(c.head, c.text, 15); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func FuzzWrap(f *testing.F) {
	f.Add("  one two", 8)
	f.Fuzz(func(t *testing.T, text string, columns int) {
		columns = 20 + columns&63
		got := Wrap(text, columns)
		if a, b := strings.Join(strings.Fields(got), " "), strings.Join(strings.Fields(text), " "); a != b {
			t.Fatalf("got %q of %q: words are lost", got, text)
		}
		for _, line := range strings.Split(got, "\n") {
			if words := strings.Fields(line); utf8.RuneCountInString(line) > columns && len(words) > 1 &&
				!strings.HasPrefix(line, strings.Repeat(" ", columns-1)) {
				indent := len(line) - len(strings.TrimLeft(line, " "))
				if indent+utf8.RuneCountInString(words[0]) <= columns {
					t.Fatalf("%q is wider than %d", line, columns)
				}
			}
		}
	})
}
