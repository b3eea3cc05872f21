package trusted

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestFileName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"capacity-1-2-4": "capacity-1-2-4", "../../etc/cron.d/x": "_.._etc_cron.d_x", "/etc/passwd": "_etc_passwd",
		"": "_", "..": "_",
		".hidden": "hidden", "-rf": "rf", "a\x00b\nc": "a_b_c", "größe": "gr__e", "web\xff": "web_",
	} {
		if got := FileName(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

func FuzzFileName(f *testing.F) {
	f.Add("../x")
	f.Fuzz(func(t *testing.T, name string) {
		got := FileName(name)
		if !filepath.IsLocal(got) || strings.ContainsAny(got, "/\\\x00") || len(got) > maxFileName ||
			filepath.Dir(filepath.Join("/d", got)) != "/d" {
			t.Errorf("%q: got %q, which leaves the folder", name, got)
		}
	})
}
