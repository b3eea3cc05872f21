package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"trimtab/nginx/instance"
)

func TestShimInstallSaysWhatItCanDoHere(t *testing.T) {
	needNGINX(t)
	dir := t.TempDir()
	modules, err := instance.LuaModules()
	if err != nil {
		t.Fatal(err)
	}
	main, err := instance.Prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	ports, err := instance.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	page := fmt.Sprintf("127.0.0.1:%d", ports[0])
	version, err := instance.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	weights := "the page shows every server with the weight in force"
	if version[1] < 22 {
		weights = "the page does NOT show weights: "
	}
	path, err := instance.Binary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		name, http string
		listen     string
		code       int
		want       []string
		linked     bool
	}{
		{"what works", "", page, 0, []string{fmt.Sprintf("NGINX 1.%d.%d counts requests", version[1], version[2]),
			weights, "enabled by"}, true},
		{"another server that takes the page's place, which nginx -t only logs",
			"server { listen " + page + "; server_name trimtab-status; }", page, exitRefused,
			[]string{"nginx -t passes, but logs", "conflicting server name"}, false},
		{"the operator's log hooks", "server { listen " + page + "1; log_by_lua_block { } }", page, 0,
			[]string{"1 log_by_lua of your own"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(dir, strconv.Itoa(i))
			confd := filepath.Join(dir, "conf.d")
			if err := os.MkdirAll(confd, 0o755); err != nil {
				t.Fatal(err)
			}
			config := filepath.Join(dir, "nginx.conf")
			http := strings.Replace(c.http, page+"1", "unix:"+filepath.Join(dir, "s"), 1)
			if err := os.WriteFile(config,
				[]byte(modules+main+"events {}\nhttp {\ninclude "+confd+"/*.conf;\n"+http+"\n}\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			stdout, stderr := new(buffer), new(buffer)
			code := run(t.Context(), []string{"nginx", "shim", "install", "--dir", filepath.Join(dir, "trimtab"),
				"--enable", confd, "--listen", c.listen, "-c", config, "--nginx", path}, stdout, stderr)
			out := stdout.String() + stderr.String()
			if code != c.code {
				t.Errorf("got code %d, want %d: %s", code, c.code, out)
			}
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("got %s, want %q", out, want)
				}
			}
			if _, err := os.Lstat(filepath.Join(confd, "trimtab-status.conf")); (err == nil) != c.linked {
				t.Errorf("linked: %v, want %v", err == nil, c.linked)
			}
		})
	}
	t.Run("a port that another program has", func(t *testing.T) {
		l, err := net.Listen("tcp", page)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		stdout, stderr := new(buffer), new(buffer)
		code := run(t.Context(), []string{"nginx", "shim", "install", "--dir", filepath.Join(dir, "other"),
			"--listen", page, "-c", "/nonexistent", "--nginx", path}, stdout, stderr)
		if code != exitRefused || !strings.Contains(stderr.String(), "something that is not the shim") {
			t.Errorf("got code %d: %s", code, stderr)
		}
		if _, err := os.Stat(filepath.Join(dir, "other")); err == nil {
			t.Error("files were written")
		}
	})
}

func TestBadLinesOfATestThatPasses(t *testing.T) {
	out := `2026/11/29 16:00:00 [alert] 1#1: detected a LuaJIT version which is not OpenResty's; many optimizations will be disabled
2026/11/29 16:00:00 [error] 1#1: init_by_lua error: status.lua:3: no such file
nginx: [warn] conflicting server name "trimtab-status" on 127.0.0.1:8081, ignored
nginx: [warn] the "user" directive makes sense only if the master process runs with super-user privileges
2026/11/29 16:00:00 [notice] 1#1: trimtab status: weights are not shown: it was installed so
nginx: the configuration file /etc/nginx/nginx.conf syntax is ok
`
	want := []string{"1#1: init_by_lua error: status.lua:3: no such file",
		`conflicting server name "trimtab-status" on 127.0.0.1:8081, ignored`}
	if got := badLines([]byte(out)); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := newBadLines([]byte(out), []byte(out)); len(got) != 0 {
		t.Errorf("what was there before: got %q", got)
	}
}
