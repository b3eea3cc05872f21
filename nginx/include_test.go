package nginx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"trimtab/nginx/instance"
)

// tree writes files below a new folder; a name that ends in > is a link to its text.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, strings.TrimSuffix(name, ">"))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ">") {
			if err := os.Symlink(text, path); err != nil {
				t.Fatal(err)
			}
			continue
		}
		write(t, path, strings.ReplaceAll(text, "$DIR", dir))
	}
	return dir
}

const head = "pid $DIR/p;\nerror_log $DIR/e;\nevents {}\n"

// The files found are those that nginx -T prints, whatever the include says.
func TestIncludesAsNGINXResolvesThem(t *testing.T) {
	binary := binaryOrSkip(t)
	for _, tt := range []struct {
		what  string
		files map[string]string
	}{
		{"relative to the folder of the main file, from any file", map[string]string{
			"nginx.conf": head + "http { include sub/a.conf; }", "sub/a.conf": "include sub/b.conf;",
			"sub/b.conf": "# here",
		}},
		{"an absolute path", map[string]string{"nginx.conf": head + "http { include $DIR/x.conf; }", "x.conf": "# x"}},
		{"a quoted path with a blank in it", map[string]string{"nginx.conf": head + "http { include \"a b.conf\"; }",
			"a b.conf": "# x"}},
		{"wildcards: sorted by bytes, no hidden files", map[string]string{
			"nginx.conf": head + "http { include d/*; }", "d/b": "# b", "d/B": "# B", "d/a": "# a",
			"d/.hidden": "nonsense on;", "d/10": "#", "d/9": "#",
		}},
		{"hidden files when the pattern asks for them",
			map[string]string{"nginx.conf": head + "http { include d/.*.conf; }", "d/.x.conf": "# x",
				"d/y.conf": "nonsense on;"}},
		{"wildcards in folders", map[string]string{
			"nginx.conf": head + "http { include d/*/x.conf; }", "d/1/x.conf": "# 1", "d/2/x.conf": "# 2",
			"d/3/y.conf": "nonsense on;", "d/x.conf": "nonsense on;",
		}},
		{"one letter, sets and ranges", map[string]string{
			"nginx.conf": head + "http { include d/?.[ch]; include d/[0-9]x; include d/[!a-y]z; }",
			"d/a.c":      "#", "d/b.h": "#", "d/ab.c": "nonsense on;", "d/a.o": "nonsense on;", "d/5x": "#",
			"d/ax": "nonsense on;", "d/zz": "#", "d/az": "nonsense on;",
		}},
		{"a pattern that matches nothing", map[string]string{"nginx.conf": head + "http { include none/*.conf; " +
			"include d/*.none; }", "d/x": "nonsense on;"}},
		{"links to files and to folders", map[string]string{
			"nginx.conf": head + "http { include enabled/*; include linked/*.conf; }", "available/s": "# s",
			"enabled/s>": "../available/s", "real/r.conf": "# r", "linked>": "real",
		}},
		{"inside map, types and geo blocks", map[string]string{
			"nginx.conf": head + "http { types { include t.types; } map $host $m { include m*.map; } geo $g { " +
				"default 0; include g.geo; } }",
			"t.types": "text/plain txt;", "m1.map": "a b;", "m2.map": "c d;", "g.geo": "127.0.0.0/8 1;",
		}},
		{"a geo include takes wildcards since 1.27", map[string]string{
			"nginx.conf": head + "http { geo $g { default 0; include g*.geo; } }", "g2.geo": "10.0.0.0/8 1;",
			"g1.geo": "127.0.0.0/8 1;",
		}},
		{"a geo include takes no wildcards", map[string]string{
			"nginx.conf": head + "http { geo $g { default 0; include g*.geo; } }", "g*.geo": "127.0.0.0/8 1;",
			"g1.geo": "nonsense;",
		}},
		{"inside an upstream and a server", map[string]string{
			"nginx.conf": head + "http { upstream u { include u.inc; } server { include s.inc; } }",
			"u.inc":      "server 127.0.0.1:1;", "s.inc": "listen unix:$DIR/s.sock;",
		}},
		{"in the main context, and in stream", map[string]string{"nginx.conf": "include m.conf;\n" + head,
			"m.conf": "worker_processes 1;"}},
		{"one file twice", map[string]string{"nginx.conf": head + "http { server { include x; } server { include x; " +
			"listen unix:$DIR/s.sock; } }", "x": "add_header a b;"}},
		{"a Lua-looking word elsewhere", map[string]string{"nginx.conf": head + "http { map $host $x { " +
			"content_by_lua_block x; } }"}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			if globs := geoGlobs(t); strings.HasPrefix(tt.what, "a geo include") && globs != strings.HasSuffix(tt.what,
				"since 1.27") {
				t.Skip("this NGINX reads geo includes the other way")
			}
			dir := tree(t, tt.files)
			path := filepath.Join(dir, "nginx.conf")
			cfg, err := ReadConfig(path)
			if err != nil {
				t.Fatal(err)
			}
			a := &Applier{Config: path, StateDir: t.TempDir(), Binary: binary, Prefix: dir}
			theirs, err := a.dumpedFiles(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var ours []string
			for _, f := range cfg.Files {
				ours = append(ours, f.Path)
			}
			if !slices.Equal(ours, theirs) {
				t.Errorf("got files, in reading order\n%s\nnginx -T has\n%s", strings.Join(ours, "\n"),
					strings.Join(theirs, "\n"))
			}
			if err := a.CompareFiles(t.Context(), cfg); err != nil {
				t.Error(err)
			}
		})
	}
}

// geoGlobs reports whether this NGINX takes wildcards in the includes of geo blocks.
func geoGlobs(t *testing.T) bool {
	t.Helper()
	v, err := instance.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return slices.Compare(v[:], []int{1, 27, 0}) >= 0
}

func TestIncludesThatCannotBeRead(t *testing.T) {
	for _, tt := range []struct {
		what  string
		files map[string]string
		why   string
	}{
		{"a missing file", map[string]string{"nginx.conf": "# 1\ninclude none.conf;"}, "nginx.conf:2: include: "},
		{"a link to nowhere", map[string]string{"nginx.conf": "include d/*;", "d/x>": "none"}, "d/x: no such file"},
		{"a folder", map[string]string{"nginx.conf": "include d;", "d/x": ""}, "not a regular file"},
		{"a file that includes itself", map[string]string{"nginx.conf": "include nginx.conf;"},
			"does a file include itself?"},
		{"two paths", map[string]string{"nginx.conf": "include a b;"}, "want one path, got 2"},
		{"a block that ends in another file", map[string]string{"nginx.conf": "http { include a; }",
			"a": "upstream u {"}, `a:1: unexpected end of file, expecting "}"`},
		{"a block that began in another file", map[string]string{"nginx.conf": "http { include a; ", "a": "}"},
			`a:1: unexpected "}"`},
	} {
		t.Run(tt.what, func(t *testing.T) {
			_, err := ReadConfig(filepath.Join(tree(t, tt.files), "nginx.conf"))
			if err == nil || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("got %v, want an error that says %q", err, tt.why)
			}
		})
	}
	if _, err := ReadConfig(filepath.Join(t.TempDir(), "nginx.conf")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no configuration: got %v", err)
	}
}

func TestReadUpstreams(t *testing.T) {
	cfg, err := parseText([]byte(`http {
    upstream a { zone a 64k; least_conn; server 10.0.0.1; server 10.0.0.2:8080 weight=3 max_fails=2 backup; }
    upstream b {
        hash $request_uri consistent;
        server [::1] weight=2 down;
        server [2001:DB8:0::1]:81 resolve;
        server unix:/run/b.sock weight=7;
        server b.example.com "weight=5" weight=6;
    }
    upstream c { random two least_conn; server 127.1; server 010.0.0.1; }
    server { location / { proxy_pass http://a; } }
}
stream { upstream d { server 10.0.0.1:53; server 10.0.0.2; } }
server { } upstream no { server x; }
`))
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, u := range cfg.Upstreams {
		fmt.Fprintf(&got, "%s %s %s %v zone=%q line=%d\n", u.Name, u.Protocol, u.Method, u.MethodArgs, u.Zone, u.Line)
		for _, p := range u.Peers {
			fmt.Fprintf(&got, "  %q weight=%d down=%t backup=%t resolve=%t line=%d\n", p.Server, p.Weight, p.Down,
				p.Backup, p.Resolve, p.Line)
		}
	}
	want := `a http least_conn [] zone="a" line=2
  "10.0.0.1:80" weight=1 down=false backup=false resolve=false line=2
  "10.0.0.2:8080" weight=3 down=false backup=true resolve=false line=2
b http hash [$request_uri consistent] zone="" line=3
  "[::1]:80" weight=2 down=true backup=false resolve=false line=5
  "[2001:db8::1]:81" weight=1 down=false backup=false resolve=true line=6
  "unix:/run/b.sock" weight=7 down=false backup=false resolve=false line=7
  "" weight=6 down=false backup=false resolve=false line=8
c http random [two least_conn] zone="" line=10
  "" weight=1 down=false backup=false resolve=false line=10
  "" weight=1 down=false backup=false resolve=false line=10
d stream round_robin [] zone="" line=13
  "10.0.0.1:53" weight=1 down=false backup=false resolve=false line=13
  "" weight=1 down=false backup=false resolve=false line=13
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}
