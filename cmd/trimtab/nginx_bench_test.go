package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"trimtab/nginx"
	"trimtab/nginx/instance"
	"trimtab/nginx/lua"
	"trimtab/nginx/reload"
	"trimtab/vts"
)

// BenchmarkApplyConfirmedByStatusPage changes the weights of 3 × 3 servers as the daemon does: plan, nginx -t, write,
// reload, and the confirmation over new connections by the status page. Wanted: a median of at most 250 ms over 50
// changes. Run it with -benchtime 50x.
func BenchmarkApplyConfirmedByStatusPage(b *testing.B) {
	if err := checkTestbed(b.Context()); err != nil {
		b.Skip(err)
	}
	dir := b.TempDir()
	main, err := instance.Prepare(dir)
	if err != nil {
		b.Fatal(err)
	}
	modules, err := instance.LuaModules()
	if err != nil {
		b.Fatal(err)
	}
	ports, err := instance.FreePorts(2)
	if err != nil {
		b.Fatal(err)
	}
	addr, page := fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
	shim := lua.Status{Dir: filepath.Join(dir, "shim"), Listen: page}
	files, err := shim.Files()
	if err != nil {
		b.Fatal(err)
	}
	if err := os.Mkdir(shim.Dir, 0o755); err != nil {
		b.Fatal(err)
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	groups := []string{"compose_backend", "home_read_backend", "user_read_backend"}
	var conf strings.Builder
	fmt.Fprintf(&conf, "%s%sworker_processes 2;\nevents {}\nhttp {\n%s    include %s;\n", modules, main,
		instance.HTTPPaths(dir), shim.HTTPSnippet())
	for _, g := range groups {
		fmt.Fprintf(&conf, "    upstream %s { server 127.0.0.1:9001; server 127.0.0.1:9002; server 127.0.0.1:9003; }\n",
			g)
	}
	fmt.Fprintf(&conf, "    server { listen %s; location / { proxy_pass http://%s; } }\n}\n", addr, groups[0])
	i, err := instance.Start(b.Context(), dir, conf.String(), addr, page)
	if err != nil {
		b.Fatal(err)
	}
	defer i.Stop()
	client, err := vts.NewClient(vts.ClientConfig{URL: "http://" + page + "/status/format/json",
		FreshConnections: true})
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	a := &nginx.Applier{Config: i.Config, StateDir: filepath.Join(b.TempDir(), "s"), Binary: i.Binary, Prefix: i.Dir,
		Status: reload.StatusOf(client)}
	var took []time.Duration
	for n := 1; b.Loop(); n++ {
		want := nginx.Settings{}
		for k, g := range groups {
			want[g] = map[string]nginx.Setting{"127.0.0.1:9001": {Weight: 1 + (n+k)%50}, "127.0.0.1:9002": {Weight: 60},
				"127.0.0.1:9003": {Weight: 61 + n%30}}
		}
		r, err := a.Apply(b.Context(), want)
		if err != nil || !r.Reloaded {
			b.Fatalf("got %+v, %v", r, err)
		}
		took = append(took, r.Took)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1e3, "median-ms")
	b.ReportMetric(float64(took[len(took)*9/10].Microseconds())/1e3, "p90-ms")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1e3, "max-ms")
}
