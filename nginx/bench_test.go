package nginx

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	crossplane "github.com/nginxinc/nginx-go-crossplane"

	"trimtab/nginx/instance"
)

// corpusText is the corpus over and over, without what belongs to no HTTP configuration, about n bytes of it.
func corpusText(b *testing.B, n int) []byte {
	b.Helper()
	names, err := filepath.Glob("testdata/corpus/*.conf")
	if err != nil {
		b.Fatal(err)
	}
	var all []byte
	for _, name := range names {
		if _, errs := crossplaneErrs[filepath.Base(name)]; errs || strings.Contains(name, "lua") {
			continue // so that the yardstick can read all of it
		}
		data, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		all = append(append(all, data...), '\n')
	}
	return bytes.Repeat(all, n/len(all)+1)
}

// BenchmarkTokenize reads every word of 4 MB of the corpus. Wanted: at least 100 MB/s.
func BenchmarkTokenize(b *testing.B) {
	data := corpusText(b, 4<<20)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		l := newLexer("f", data)
		for {
			how, err := l.next()
			if err != nil {
				b.Fatal(err)
			}
			if how == endOfFile {
				break
			}
			if how == blockOpen && bytes.HasSuffix(data[l.args[0].start:l.args[0].end], []byte("_by_lua_block")) {
				if err := l.luaBlock(); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
}

// BenchmarkTokenizeCrossplane is the yardstick: crossplane's lexer on the same text, without the files it refuses.
func BenchmarkTokenizeCrossplane(b *testing.B) {
	data := corpusText(b, 1<<20)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		words := 0
		for range crossplane.Lex(bytes.NewReader(data)) {
			words++
		}
		if words < 10_000 {
			b.Fatalf("crossplane read only %d words", words)
		}
	}
}

// largeConfig is 5 MB with 10,000 servers in 100 upstreams.
func largeConfig() string {
	var s strings.Builder
	s.WriteString("events {}\nhttp {\n")
	for u := range 100 {
		fmt.Fprintf(&s, "    upstream u%d {\n        least_conn;\n", u)
		for p := range 100 {
			fmt.Fprintf(&s, "        server 10.%d.%d.%d:8080 weight=%d max_fails=3 fail_timeout=10s; # rack %d\n", u,
				p/10, p%10, 1+p%50, p%7)
		}
		s.WriteString("    }\n")
	}
	for i := 0; s.Len() < 5<<20; i++ {
		fmt.Fprintf(&s, "    server { listen 80; server_name s%d.example.com; location / { proxy_pass http://u%d; "+
			"proxy_set_header Host $host; } }\n", i, i%100)
	}
	s.WriteString("}\n")
	return s.String()
}

// BenchmarkEditLarge reads a 5 MB configuration with 10,000 servers from the disk, plans new weights for all of them
// and makes the new text. Wanted: less than 200 ms.
func BenchmarkEditLarge(b *testing.B) {
	path := filepath.Join(b.TempDir(), "nginx.conf")
	text := largeConfig()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		cfg, err := ReadConfig(path)
		if err != nil {
			b.Fatal(err)
		}
		want := Settings{}
		for _, u := range cfg.Upstreams {
			want[u.Name] = map[string]Setting{}
			for i, p := range u.Peers {
				want[u.Name][p.Server] = Setting{Weight: 1 + (p.Weight*7+i)%MaxWeight}
			}
		}
		plan, err := cfg.Plan(want, PlanOptions{})
		if err != nil || len(plan.Files) != 1 || len(plan.Files[0].Edits) < 9000 {
			b.Fatalf("got %+v, %v", plan, err)
		}
		if out := plan.Files[0].Apply(); len(out) < 5<<20 {
			b.Fatal("short")
		}
	}
}

// BenchmarkApply changes the weights of 3 × 3 servers of a running NGINX: plan, nginx -t, write, reload, confirm.
// Wanted: a median of at most 250 ms over 50 changes. Run it with -benchtime 50x.
func BenchmarkApply(b *testing.B) {
	if _, err := instance.Binary(b.Context()); err != nil {
		b.Skip(err)
	}
	dir := b.TempDir()
	main, err := instance.Prepare(dir)
	if err != nil {
		b.Fatal(err)
	}
	ports, err := instance.FreePorts(1)
	if err != nil {
		b.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", ports[0])
	var conf strings.Builder
	fmt.Fprintf(&conf, "%sworker_processes 2;\nevents {}\nhttp {\n%s", main, instance.HTTPPaths(dir))
	groups := []string{"compose_backend", "home_read_backend", "user_read_backend"}
	for _, g := range groups {
		fmt.Fprintf(&conf, "    upstream %s { server 127.0.0.1:9001; server 127.0.0.1:9002; server 127.0.0.1:9003; }\n",
			g)
	}
	fmt.Fprintf(&conf, "    server { listen %s; location / { proxy_pass http://%s; } }\n}\n", addr, groups[0])
	i, err := instance.Start(b.Context(), dir, conf.String(), addr)
	if err != nil {
		b.Fatal(err)
	}
	defer i.Stop()
	a := &Applier{Config: i.Config, StateDir: filepath.Join(b.TempDir(), "s"), Binary: i.Binary, Prefix: i.Dir}
	var took []time.Duration
	n := 0
	for b.Loop() {
		n++
		want := Settings{}
		for k, g := range groups {
			want[g] = map[string]Setting{"127.0.0.1:9001": {Weight: 1 + (n+k)%50}, "127.0.0.1:9002": {Weight: 60},
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
