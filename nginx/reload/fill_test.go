package reload

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trimtab/nginx"
	"trimtab/vts"
)

func TestFillGivesLooseAttemptsToTheirOnlyOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nginx.conf")
	if err := os.WriteFile(path,
		[]byte("http { upstream a { server 10.0.0.1; server 10.0.0.2 backup; } upstream b { server 10.0.0.1; server "+
			"web.example weight=4; } }"), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg, err := nginx.ReadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	got := fillUpstreams([]vts.Upstream{
		{Name: "::nogroups", Peers: []vts.Peer{{Server: "10.0.0.1:80", Requests: 3}, {Server: "10.0.0.2:80",
			Requests: 5}}},
		{Name: "a", Peers: []vts.Peer{{Server: "10.0.0.2:80", Requests: 1, NoWeight: true}}},
		{Name: "b", Peers: []vts.Peer{{Server: "10.9.9.9:80", Requests: 7, NoWeight: true}}},
		{Name: "elsewhere.example", Peers: []vts.Peer{{Server: "10.8.8.8:80", Requests: 7, NoWeight: true}}},
	}, cfg)
	var rows []string
	for _, u := range got {
		for _, p := range u.Peers {
			rows = append(rows, fmt.Sprintf("%s %s requests=%d weight=%d backup=%t unknown=%t", u.Name, p.Server,
				p.Requests, p.Weight, p.Backup, p.NoWeight))
		}
	}
	want := `a 10.0.0.1:80 requests=0 weight=1 backup=false unknown=false
a 10.0.0.2:80 requests=6 weight=1 backup=true unknown=false
b 10.0.0.1:80 requests=0 weight=1 backup=false unknown=false
b 10.9.9.9:80 requests=7 weight=4 backup=false unknown=false`
	if strings.Join(rows, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(rows, "\n"), want)
	}
}

// still is a status page that does not change.
type still vts.Status

func (p still) Status(context.Context) (vts.Status, error) { return vts.Status(p), nil }

// What nginx-module-vts calls down is a setting only where the configuration has it so: servers that NGINX passes over
// because they failed are down on its page too, and up to 0.2.7 all that have no limit of failures.
func TestDownIsWhatTheConfigurationSays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nginx.conf")
	if err := os.WriteFile(path, []byte("http { upstream a { server 10.0.0.1; server 10.0.0.2 down; server 10.0.0.3 "+
		"max_fails=0; server 10.0.0.4; } }"), 0o644); err != nil {
		t.Fatal(err)
	}
	peer := func(last, maxFails int, down bool) vts.Peer {
		return vts.Peer{Server: fmt.Sprintf("10.0.0.%d:80", last), Weight: 1, MaxFails: maxFails, Down: down}
	}
	shown := still{ModuleVer: "v0.2.7", LoadMsec: time.Now().Add(time.Minute).UnixMilli(), Upstreams: []vts.Upstream{
		{Name: "a", Peers: []vts.Peer{peer(1, 1, true), peer(2, 1, true), peer(3, 0, true), peer(4, 1, false)}},
		{Name: "elsewhere", Peers: []vts.Peer{peer(9, 1, true)}},
	}}
	for _, c := range []struct{ name, module, path, want string }{
		{"the module's page", "v0.2.7", path, "1:failed 2:down 3: 4: 9:down"},
		{"the shim's page says what is set", "trimtab-lua-0.1", path, "1:down 2:down 3:down 4: 9:down"},
		{"a configuration that cannot be read: the page is all there is", "v0.2.7", path + "-gone",
			"1:down 2:down 3:down 4: 9:down"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			shown := shown
			shown.ModuleVer = c.module
			st, err := Filled{StatusSource: shown, Loaded: &nginx.Loaded{Path: c.path}}.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var rows []string
			for _, u := range st.Upstreams {
				for _, p := range u.Peers {
					row := strings.TrimSuffix(strings.TrimPrefix(p.Server, "10.0.0."), ":80") + ":"
					if p.Down {
						row += "down"
					}
					if p.Failed {
						row += "failed"
					}
					rows = append(rows, row)
				}
			}
			if got := strings.Join(rows, " "); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if !shown.Upstreams[0].Peers[0].Down {
				t.Error("the page itself was changed")
			}
		})
	}
}
