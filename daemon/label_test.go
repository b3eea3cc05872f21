package daemon

import (
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestLabelsAreTheNamesWhereTheyCanBe(t *testing.T) {
	for _, c := range []struct{ name, from, want string }{
		{"an address stays as it is", "10.0.0.1:80", "10.0.0.1:80"},
		{"umlauts stay as they are", "bücher", "bücher"},
		{"a byte that is no UTF-8", "caf\xe9", `caf\xe9`},
		{"what looks like such a byte is told apart from it", `caf\xe9`, `caf\\xe9`},
		{"a rune cut in half", "\xf0\x9f", `\xf0\x9f`},
		{"the replacement character itself", "\ufffd", "\ufffd"},
		{"control characters stay: the text format escapes what it has to", "a\x1b[0m\x00", "a\x1b[0m\x00"},
		{"no name", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := label(c.from); got != c.want || unlabel(got) != c.from {
				t.Errorf("got %q and back %q, want %q", got, unlabel(got), c.want)
			}
		})
	}
	if a, b := labels([]string{"a,b"}), labels([]string{"a", "b"}); a == b {
		t.Errorf("a name with a comma and two names: got %q for both", a)
	}
}

func TestLabelsOfDifferentNamesDiffer(t *testing.T) {
	name := rapid.Custom(func(t *rapid.T) string {
		return string(rapid.SliceOfN(rapid.SampledFrom([]byte("a\\x0f\xff\xc3\xa9,")), 0, 6).Draw(t, "name"))
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := name.Draw(t, "a"), name.Draw(t, "b")
		if !utf8.ValidString(label(a)) {
			t.Fatalf("label of %q is %q: not UTF-8", a, label(a))
		}
		if (label(a) == label(b)) != (a == b) {
			t.Fatalf("%q and %q: labels %q and %q", a, b, label(a), label(b))
		}
		if unlabel(label(a)) != a {
			t.Fatalf("%q comes back as %q", a, unlabel(label(a)))
		}
	})
}
