package plain

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestFit(t *testing.T) {
	for _, c := range []struct {
		name, text, want string
		columns          int
	}{
		{"what fits stays", "a  b\n1  2\n", "a  b\n1  2\n", 10},
		{"a table has its last columns below", "name  first  second  third\na         1       2      3\n",
			"name  first  second\na         1       2\n\nname  third\na         3\n", 20},
		{"one with its numbers to the right", "   name  first  second\nfar off      1       2\n",
			"   name  first\nfar off      1\n\n   name  second\nfar off       2\n", 15},
		{"a heading stays above", "Three of them, which are as follows:\nname  first  second  third\na         1     " +
			"  2      3",
			"Three of them, which\n  are as follows:\nname  first  second\na         1       2\n\nname  " +
				"third\na         3", 20},
		{"prose is wrapped", "one two three four\n", "one two\n  three\n  four\n", 9},
		{"a table with a cell that is too wide is wrapped", "a  bbbbbbbbbbbbbbbb  c\n1  2                 3\n",
			"a\n  bbbbbbbbbbbbbbbb\n  c\n1 2 3\n", 12},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Fit(c.text, c.columns); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// Whatever the text is, every word of it is there, and no line is wider than it has to be.
func TestFitLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.SampledFrom([]rune("ab   \né–")), 0, 300, -1).Draw(t, "text")
		columns := rapid.IntRange(10, 40).Draw(t, "columns")
		got := Fit(text, columns)
		count := map[string]int{}
		for _, w := range strings.Fields(got) {
			count[w]++
		}
		for _, w := range strings.Fields(text) {
			if count[w]--; count[w] < 0 {
				t.Fatalf("%q is missing in %q", w, got)
			}
		}
		for line := range strings.Lines(got) {
			line = strings.TrimRight(line, "\n")
			if words := strings.Fields(line); utf8.RuneCountInString(line) > columns && len(words) > 1 {
				t.Fatalf("a line of more than %d columns: %q", columns, line)
			}
		}
	})
}
