package nginx

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"trimtab/nginx/instance"
)

// startNGINX runs a private NGINX with the given upstream blocks, or skips the test when none is installed.
func startNGINX(t testing.TB, upstreams string) *instance.Instance {
	t.Helper()
	if _, err := instance.Binary(t.Context()); errors.Is(err, instance.ErrMissing) {
		t.Skip(err)
	}
	dir := t.TempDir()
	main, err := instance.Prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	ports, err := instance.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", ports[0])
	i, err := instance.Start(t.Context(), dir, main+"events {}\nhttp {\n"+instance.HTTPPaths(dir)+upstreams+
		"    server { listen "+addr+"; location / { return 200 up; } }\n}\n", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Stop)
	return i
}

func TestApplyChangesWeightsOfARunningNGINX(t *testing.T) {
	i := startNGINX(t, "    upstream u { server 127.0.0.1:9001; server 127.0.0.1:9002 weight=2 max_fails=3; }\n")
	before, err := os.ReadFile(i.Config)
	if err != nil {
		t.Fatal(err)
	}
	a := &Applier{Config: i.Config, StateDir: t.TempDir(), Binary: i.Binary, Prefix: i.Dir}
	want := Settings{"u": {"127.0.0.1:9001": {Weight: 30}, "127.0.0.1:9002": {Weight: 50}}}
	r, err := a.Apply(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Changed || !r.Reloaded {
		t.Errorf("got %+v, want changed and reloaded", r)
	}
	after, err := os.ReadFile(i.Config)
	if err != nil {
		t.Fatal(err)
	}
	wantText := strings.Replace(strings.Replace(string(before), "9001;", "9001 weight=3;", 1), "weight=2", "weight=5",
		1)
	if string(after) != wantText {
		t.Errorf("got file\n%s\nwant\n%s", after, wantText)
	}
	r, err = a.Apply(t.Context(), want)
	if err != nil || r.Changed || r.Reloaded {
		t.Errorf("applying the same again: got %+v, %v, want nothing done", r, err)
	}
}
