package plain

import "testing"

func TestNearest(t *testing.T) {
	known := []string{"load", "collect", "cluster", "tune", "--duration", "tuner.headroom"}
	for _, c := range []struct{ name, word, want string }{
		{"two letters swapped", "laod", "load"},
		{"a letter missing", "colect", "collect"},
		{"a letter too many", "tunne", "tune"},
		{"a longer word may have more edits", "--durtaion", "--duration"},
		{"a key with its table", "tuner.headrom", "tuner.headroom"},
		{"the word itself", "tune", "tune"},
		{"another word altogether", "reboot", ""},
		{"nothing", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Nearest(c.word, known); got != c.want {
				t.Errorf("Nearest(%q): got %q, want %q", c.word, got, c.want)
			}
		})
	}
}

func FuzzEdits(f *testing.F) {
	f.Add("load", "laod")
	f.Add("", "tune")
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a) > 100 || len(b) > 100 {
			return
		}
		d := edits(a, b)
		if back := edits(b, a); back != d || (d == 0) != (a == b) || d > max(len(a), len(b)) {
			t.Errorf("edits(%q, %q) = %d, back %d", a, b, d, back)
		}
	})
}
