package dns_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"trimtab/nginx"
	"trimtab/nginx/dns"
	"trimtab/nginx/instance"
	"trimtab/nginx/lua"
	"trimtab/vts"
)

// bed is a real NGINX that takes the weights of its upstream by DNS, as trimtab nginx dns install would have it.
type bed struct {
	*instance.Instance
	url, page string
	listen    string // of the DNS server
	servers   []string
	store     dns.Store
	status    nginx.StatusFunc
	stopDNS   func()
}

// needDNS skips the test where NGINX cannot take weights by DNS.
func needDNS(t testing.TB) {
	t.Helper()
	v, err := instance.Version(t.Context())
	if errors.Is(err, instance.ErrMissing) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	if slices.Compare(v[:], dns.FirstVersion[:]) < 0 {
		t.Skipf("NGINX %v takes no weights by DNS: 1.27.3 is wanted; make matrix runs this test on 1.30", v)
	}
}

// freeAddress is a loopback address whose port is free for TCP and UDP.
func freeAddress(t testing.TB) string {
	t.Helper()
	for range 20 {
		ports, err := instance.FreePorts(1)
		if err != nil {
			t.Fatal(err)
		}
		address := fmt.Sprintf("127.0.0.1:%d", ports[0])
		if c, err := net.ListenPacket("udp", address); err == nil {
			c.Close()
			return address
		}
	}
	t.Fatal("no port is free for UDP and TCP")
	return ""
}

// newBed starts n servers that answer with their address, and NGINX; extra goes into the upstream block. The DNS server
// is started unless silent.
func newBed(t testing.TB, n int, extra string, silent bool) *bed {
	t.Helper()
	needDNS(t)
	b := &bed{listen: freeAddress(t)}
	for range n {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, r.Context().Value(http.LocalAddrContextKey))
		}))
		t.Cleanup(s.Close)
		b.servers = append(b.servers, s.Listener.Addr().String())
	}
	modules, err := instance.LuaModules()
	if errors.Is(err, instance.ErrMissing) {
		t.Skip(err)
	}
	dir := t.TempDir()
	main, err := instance.Prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	ports, err := instance.FreePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	front := fmt.Sprintf("127.0.0.1:%d", ports[0])
	b.url = "http://" + front
	shim := lua.Status{Dir: dir, Listen: fmt.Sprintf("127.0.0.1:%d", ports[1])}
	b.page = "http://" + shim.Listen + lua.StatusPath
	files, err := shim.Files()
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	lines := ""
	for _, s := range b.servers {
		lines += "        server " + s + ";\n"
	}
	text := fmt.Sprintf("%s%sworker_processes 2;\nevents {}\nhttp {\n%s    access_log off;\n    include %s;\n    "+
		"upstream app {\n%s        %s\n    }\n"+
		"    server {\n        listen %s;\n        proxy_http_version 1.1;\n        proxy_set_header Connection "+
		"\"\";\n        location / { proxy_pass http://app; }\n    }\n}\n",
		modules, main, instance.HTTPPaths(dir), shim.HTTPSnippet(), lines, extra, front)
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg, err := nginx.ReadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := dns.Plan(t.Context(), cfg, dns.InstallOptions{Listen: b.listen, Bare: true})
	if err != nil {
		t.Fatal(err)
	}
	b.store = dns.Store{Path: filepath.Join(dir, "state", "dns.json")}
	if _, _, err := b.store.Update(t.Context(), func(s *dns.State) (bool, error) {
		s.Upstreams = plan.State
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	if !silent {
		b.serve(t)
	}
	if b.Instance, err = instance.Start(t.Context(), dir, string(plan.Files[0].Apply()), front,
		shim.Listen); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	client, err := vts.NewClient(vts.ClientConfig{URL: b.page, FreshConnections: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	b.status = func(ctx context.Context) (nginx.Status, error) {
		st, err := client.Status(ctx)
		if err != nil {
			return nginx.Status{}, err
		}
		out := nginx.Status{LoadMsec: st.LoadMsec, Upstreams: map[string][]nginx.PeerStatus{}}
		for _, u := range st.Upstreams {
			for _, p := range u.Peers {
				if !p.Pseudo(u.Name) {
					out.Upstreams[u.Name] = append(out.Upstreams[u.Name], nginx.PeerStatus{Server: p.Server,
						Weight: p.Weight, Down: p.Down, Backup: p.Backup})
				}
			}
		}
		return out, nil
	}
	if !silent {
		b.waitInForce(t)
	}
	return b
}

// restart starts NGINX anew with another configuration.
func (b *bed) restart(t testing.TB, text string) {
	t.Helper()
	b.Stop()
	again, err := instance.Start(t.Context(), b.Dir, text, strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Stop)
	b.Instance = again
}

// serve starts a DNS server from the bed's state.
func (b *bed) serve(t testing.TB) *dns.Server {
	t.Helper()
	s, err := dns.NewServer(dns.ServerConfig{Listen: b.listen, Store: b.store, RetryPort: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	b.stopDNS = sync.OnceFunc(func() { cancel(); done.Wait() })
	t.Cleanup(b.stopDNS)
	within(t, "the DNS server to listen", 5*time.Second, s.Answering)
	return s
}

func (b *bed) actuator(t testing.TB) *dns.Actuator {
	t.Helper()
	a, err := dns.New(dns.Config{Listen: b.listen, Store: b.store, Status: b.status})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// waitInForce waits until NGINX goes by what it is told.
func (b *bed) waitInForce(t testing.TB) {
	t.Helper()
	a := b.actuator(t)
	within(t, "NGINX to go by DNS", 10*time.Second, func() error { _, err := a.InForce(t.Context()); return err })
}

// want are weights for the servers in order.
func (b *bed) want(weights ...int) nginx.Settings {
	out := map[string]nginx.Setting{}
	for i, w := range weights {
		out[b.servers[i]] = nginx.Setting{Weight: w}
	}
	return nginx.Settings{"app": out}
}

// answers counts which server answered n POSTs over one kept connection.
func (b *bed) answers(t testing.TB, n int) []int {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{Proxy: nil}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	got := make([]int, len(b.servers))
	for range n {
		resp, err := client.Post(b.url, "text/plain", strings.NewReader("post"))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("got %s, %v", resp.Status, err)
		}
		if i := slices.Index(b.servers, string(text)); i >= 0 {
			got[i]++
		}
	}
	return got
}

// within polls until done returns nil.
func within(t testing.TB, what string, limit time.Duration, done func() error) {
	t.Helper()
	end := time.After(limit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := done()
		if err == nil {
			return
		}
		select {
		case <-end:
			t.Fatalf("waited %v for %s: %v", limit, what, err)
		case <-tick.C:
		}
	}
}

// load sends POSTs over kept connections until stopped, and counts those that were not answered with 200.
type load struct {
	mu           sync.Mutex
	got          []int // answers by server since the last shares
	sent, failed int
	first        string // what failed first
	stop         func() *load
}

func (b *bed) load(t testing.TB, connections int) *load {
	t.Helper()
	l := &load{got: make([]int, len(b.servers))}
	stopped := make(chan struct{})
	var all sync.WaitGroup
	for range connections {
		all.Go(func() {
			client := &http.Client{Transport: &http.Transport{Proxy: nil}, Timeout: 20 * time.Second}
			defer client.CloseIdleConnections()
			for {
				select {
				case <-stopped:
					return
				default:
				}
				resp, err := client.Post(b.url, "text/plain", strings.NewReader("post"))
				at := -1
				if err == nil {
					text, _ := io.ReadAll(resp.Body)
					resp.Body.Close()
					at = slices.Index(b.servers, string(text))
					if resp.StatusCode != 200 {
						err = errors.New(resp.Status)
					}
				}
				l.mu.Lock()
				l.sent++
				if at >= 0 {
					l.got[at]++
				}
				if err != nil {
					if l.failed++; l.first == "" {
						l.first = err.Error()
					}
				}
				l.mu.Unlock()
			}
		})
	}
	end := sync.OnceFunc(func() { close(stopped); all.Wait() })
	t.Cleanup(end)
	l.stop = func() *load { end(); return l }
	return l
}
