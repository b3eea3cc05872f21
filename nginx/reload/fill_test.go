package reload

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
