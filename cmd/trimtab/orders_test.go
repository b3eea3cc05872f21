package main

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trimtab/nginx"
	"trimtab/nginx/instance"
	"trimtab/nginx/live"
	"trimtab/nginx/lua"
	"trimtab/vts"
)

// ordersBed is an NGINX of three servers whose weights a daemon sets in one of the ways.
type ordersBed struct {
	front, page, config string
	listen              string // of the daemon
	servers             []string
	binary              string
	pid                 int // of NGINX's master
}

// startOrdersBed starts it. The configuration of the daemon, which is not started, ends with the lines of extra, which
// are of [[upstream]]; they may name SERVER1 to SERVER3.
func startOrdersBed(t *testing.T, kind, learner, extra string, handler func(server int) http.HandlerFunc) *ordersBed {
	t.Helper()
	return startMethodBed(t, kind, "", learner, extra, handler)
}

// startMethodBed is startOrdersBed with a balancing method: "least_conn;".
func startMethodBed(t *testing.T, kind, method, learner, extra string,
	handler func(server int) http.HandlerFunc) *ordersBed {
	t.Helper()
	if needNGINX(t); kind == "dns" {
		needDNS(t)
	}
	dir := t.TempDir()
	b := &ordersBed{config: filepath.Join(dir, "trimtab.toml")}
	for i := range 3 {
		s := httptest.NewServer(handler(i))
		t.Cleanup(s.Close)
		b.servers = append(b.servers, s.Listener.Addr().String())
	}
	ports, err := instance.FreePorts(4)
	if err != nil {
		t.Fatal(err)
	}
	resolver, err := freeResolver()
	if err != nil {
		t.Fatal(err)
	}
	modules, err := instance.LuaModules()
	if err != nil {
		t.Fatal(err)
	}
	main, err := instance.Prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	addr := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	front, page, control := addr(0), addr(1), addr(2)
	b.front, b.listen = "http://"+front+"/", addr(3)
	shim := lua.Status{Dir: filepath.Join(dir, "lua"), Listen: page}
	files, err := shim.Files()
	if err != nil {
		t.Fatal(err)
	}
	if err := installFiles(shim.Dir, files); err != nil {
		t.Fatal(err)
	}
	b.page = "http://" + page + lua.StatusPath
	text := func(include, zone string) string {
		return modules + main + fmt.Sprintf("events {}\nhttp {\n%s access_log off;\n %s\n upstream app {\n%s  server "+
			"%s;\n  server %s;\n  server %s;\n%s }\n server { listen %s; location / { proxy_pass http://app; } }\n}\n",
			instance.HTTPPaths(dir), include, method, b.servers[0], b.servers[1], b.servers[2], zone, front)
	}
	conf, token := text("include "+shim.HTTPSnippet()+";", ""), ""
	if kind == "live" {
		path := filepath.Join(dir, "nginx.conf")
		if err := os.WriteFile(path, []byte(text("", "  zone app 256k;\n")), 0o644); err != nil {
			t.Fatal(err)
		}
		cfg, err := nginx.ReadConfig(path)
		if err != nil {
			t.Fatal(err)
		}
		in, err := live.Plan(cfg, live.InstallOptions{Listen: control, StatusListen: page, Upstreams: []string{"app"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := in.Write(); err != nil {
			t.Fatal(err)
		}
		conf, token = text(in.Lines[0].Text, "  zone app 256k;\n"), in.Live.TokenFile
	}
	n, err := instance.Start(t.Context(), dir, conf, front, page)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Stop)
	b.pid, b.binary = n.PID, n.Binary
	extra = strings.NewReplacer("SERVER1", b.servers[0], "SERVER2", b.servers[1], "SERVER3",
		b.servers[2]).Replace(extra)
	if err := os.WriteFile(b.config, []byte(fmt.Sprintf(`interval = "500ms"
state_dir = %q
listen = "127.0.0.1:%d"
observe_first = "0s"
[status]
url = %q
poll = "100ms"
[nginx]
config = %q
binary = %q
prefix = %q
[actuator]
kind = %q
dns_listen = %q
address = %q
token_file = %q
[tuner]
learner = %q
[regimes]
off = true
[[upstream]]
name = "app"
%s
`, filepath.Join(dir, "state"), ports[3], b.page, n.Config, n.Binary, dir, kind, resolver, control,
		cmp.Or(token, "/nonexistent"), learner, extra)), 0o600); err != nil {
		t.Fatal(err)
	}
	if kind == "dns" {
		out, errs := new(buffer), new(buffer)
		args := []string{"nginx", "dns", "install", "--write", "--listen", resolver, "--state", filepath.Join(dir,
			"state", "dns.json"), "-c", n.Config, "--nginx", n.Binary,
			"--prefix", dir, "--state-dir", filepath.Join(dir, "edits")}
		if code := run(t.Context(), args, out, errs); code != 0 {
			t.Fatalf("install: %s%s", out, errs)
		}
	}
	return b
}

// live is what the daemon's page is given.
func (b *ordersBed) live() string {
	resp, err := http.Get("http://" + b.listen + "/page/live")
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return string(text)
}

// peers are the servers on the page.
func (b *ordersBed) peers(t *testing.T) map[string]vts.Peer {
	t.Helper()
	client, err := vts.NewClient(vts.ClientConfig{URL: b.page, FreshConnections: true})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	st, err := client.Status(t.Context())
	out := map[string]vts.Peer{}
	if err != nil {
		return out
	}
	for _, u := range st.Upstreams {
		for _, p := range u.Peers {
			// By DNS a server may stand on it twice: as itself, and as the static line that stands in.
			if was, twice := out[p.Server]; u.Name == "app" && (!twice || was.Backup) {
				out[p.Server] = p
			}
		}
	}
	return out
}

func answerOK(int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }
}

// share is what the balancing gives a server by the weights on the page.
func share(peers map[string]vts.Peer, server string) float64 {
	sum, own := 0, 0
	for _, p := range peers {
		if p.Down || p.Backup {
			continue
		}
		sum += p.Weight
		if p.Server == server {
			own = p.Weight
		}
	}
	if sum == 0 {
		return -1
	}
	return float64(own) / float64(sum)
}

func TestE2EOrders(t *testing.T) {
	for _, kind := range []string{"reload", "live", "dns"} {
		t.Run("by "+kind, func(t *testing.T) {
			b := startOrdersBed(t, kind, "equal", `slow_start = "4s"`, answerOK)
			config, servers, peers := b.config, b.servers, func() map[string]vts.Peer { return b.peers(t) }
			order := func(want int, args ...string) string {
				t.Helper()
				out, errs := new(buffer), new(buffer)
				if code := run(t.Context(), append(args, "--config", config, "--upstream", "app"), out,
					errs); code != want {
					t.Fatalf("%v: code %d, want %d: %s%s", args, code, want, out, errs)
				}
				return out.String() + errs.String()
			}
			_, stderr, stop := start(t, "tune", "--config", config)
			await(t, "the daemon", func() bool { return strings.Contains(stderr.String(), "started") })
			await(t, "equal weights", func() bool { s := share(peers(), servers[0]); return s > 0.33 && s < 0.34 })

			if out := order(0, "pin", "--server", servers[2], "--share", "5%"); !strings.Contains(out,
				"pinned to 5 %") {
				t.Errorf("pin: %s", out)
			}
			await(t, "the canary's share", func() bool {
				s := share(peers(), servers[2])
				return s > 0.049 &&
					s < 0.051
			})
			if out := order(0, "drain", "--server", servers[0]); !strings.Contains(out, "drained") {
				t.Errorf("drain: %s", out)
			}
			await(t, "the drained server to be out, and the canary to keep its share", func() bool {
				p, s := peers(), share(peers(), servers[2])
				return (p[servers[0]].Down || p[servers[0]].Backup) && s > 0.049 && s < 0.051
			})
			await(t, "the page to list the changes as ordered, and how they are taken back", func() bool {
				text := b.live()
				return strings.Contains(text, `"cause":"orders"`) && strings.Contains(text, servers[0]+" is drained") &&
					strings.Contains(text, "trimtab undrain --upstream app")
			})
			if out := new(buffer); run(t.Context(), []string{"orders", "--config", config}, out, out) != 0 ||
				strings.Count(out.String(), "since") != 2 {
				t.Errorf("orders: %s", out)
			}
			if out := new(buffer); run(t.Context(), []string{"explain", "--config", config}, out, out) != 0 ||
				!strings.Contains(out.String(), "server "+servers[0]+" of app is drained") {
				t.Errorf("explain: %s", out)
			}
			order(0, "drain", "--server", servers[2], "--wait", "20s")
			order(exitRefused, "drain", "--server", servers[1])
			order(exitRefused, "drain", "--server", "10.9.9.9:80")
			order(0, "undrain", "--server", servers[2])
			order(0, "undrain", "--server", servers[0])
			await(t, "the slow start to end with the weights of before", func() bool {
				p := peers()
				a, c := share(p, servers[0]), share(p, servers[2])
				return a > 0.33 && a < 0.34 && c > 0.33 && c < 0.34
			})
			if code := stop(); code != 0 {
				t.Errorf("stopped: code %d", code)
			}
			if strings.Contains(stderr.String(), "level=ERROR") {
				t.Errorf("the daemon logged errors: %s", stderr)
			}

			// Without a daemon the command sets the weights itself; with --for the order is over after that.
			if kind == "reload" {
				if out := order(0, "pin", "--server", servers[1], "--share", "10%", "--for",
					"1h"); !strings.Contains(out, "no daemon runs") {
					t.Errorf("pin without a daemon: %s", out)
				}
				await(t, "the share without a daemon", func() bool {
					s := share(peers(),
						servers[1])
					return s > 0.099 && s < 0.101
				})
			}
		})
	}
}

func TestConnectionsTo(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {}))
	defer s.Close()
	server := s.Listener.Addr().String()
	if n, err := connectionsTo(server); n != 0 || err != nil {
		t.Errorf("before: got %d, %v", n, err)
	}
	resp, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if n, err := connectionsTo(server); n != 1 || err != nil {
		t.Errorf("with a kept connection: got %d, %v, want 1", n, err)
	}
	if a, ok := kernelAddress("0100007F:1F90"); !ok || a.String() != "127.0.0.1:8080" {
		t.Errorf("got %v, %v", a, ok)
	}
	if a, ok := kernelAddress("B80D0120000000000000000001000000:0050"); !ok || a.String() != "[2001:db8::1]:80" {
		t.Errorf("got %v, %v", a, ok)
	}
}
