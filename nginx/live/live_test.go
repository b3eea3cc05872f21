package live_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"trimtab/nginx"
	"trimtab/nginx/instance"
	"trimtab/nginx/live"
)

// site is an NGINX whose operator has done what the installation says.
type site struct {
	*instance.Instance
	url      string
	actuator *live.Actuator
	servers  []string
	plan     *live.Installation
}

const body = `upstream app {
        least_conn;
        server %s weight=2;
        server %s;
        APP
        keepalive 8;
    }
    upstream rest {
        server %s;
        REST
    }
    server {
        listen 127.0.0.1:%d;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        location / { proxy_pass http://app; }
        location /rest { proxy_pass http://rest; }
    }`

func install(t *testing.T, listen string) *site {
	t.Helper()
	modules, err := instance.LuaModules()
	if errors.Is(err, instance.ErrMissing) {
		t.Skip(err)
	}
	if v, err := instance.Version(t.Context()); err != nil {
		t.Fatal(err)
	} else if v[1] < 22 {
		t.Skipf("live weights need NGINX 1.22, this is %v", v)
	}
	s := &site{}
	for range 3 {
		b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.Context().Value(http.LocalAddrContextKey))
		}))
		t.Cleanup(b.Close)
		s.servers = append(s.servers, b.Listener.Addr().String())
	}
	ports, err := instance.FreePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	main, err := instance.Prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	if listen == "" {
		listen = fmt.Sprintf("127.0.0.1:%d", ports[1])
	} else {
		listen = "unix:" + filepath.Join(dir, listen)
	}
	text := modules + main + "worker_processes 2;\nevents {}\nhttp {\n" + instance.HTTPPaths(dir) + "    HTTP\n    " +
		fmt.Sprintf(body, s.servers[0], s.servers[1], s.servers[2], ports[0]) + "\n}\n"
	path := filepath.Join(dir, "nginx.conf")
	plain := strings.NewReplacer("HTTP\n", "\n", "APP", "", "REST", "").Replace(text)
	if err := os.WriteFile(path, []byte(plain), 0o644); err != nil {
		t.Fatal(err)
	}
	s.plan = planned(t, path, listen)
	if len(s.plan.Lines) != 3 || s.plan.Lines[0].Present {
		t.Fatalf("lines to add: got %+v, want three, none present", s.plan.Lines)
	}
	if _, err := s.plan.Write(); err != nil {
		t.Fatal(err)
	}
	text = strings.NewReplacer("HTTP\n", s.plan.Lines[0].Text+"\n", "APP", s.plan.Lines[1].Text, "REST",
		s.plan.Lines[2].Text).Replace(text)
	s.url = fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	if s.Instance, err = instance.Start(t.Context(), dir, text, strings.TrimPrefix(s.url, "http://")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	if s.actuator, err = live.New(live.Config{Address: listen, TokenFile: s.plan.Live.TokenFile,
		Timeout: 20 * time.Second}); err != nil {
		t.Fatal(err)
	}
	return s
}

func planned(t *testing.T, path, listen string) *live.Installation {
	t.Helper()
	cfg, err := nginx.ReadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	in, err := live.Plan(cfg, live.InstallOptions{Listen: listen})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// answers counts which server answered n requests, one after the other.
func (s *site) answers(t *testing.T, n int) map[string]int {
	t.Helper()
	got := map[string]int{}
	for range n {
		resp, err := http.Get(s.url)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		got[string(text)]++
	}
	return got
}

func TestInstallThenApply(t *testing.T) {
	for _, listen := range []string{"", "live.sock"} {
		t.Run("over "+map[bool]string{true: "loopback", false: "a Unix socket"}[listen == ""], func(t *testing.T) {
			s := install(t, listen)
			if again := planned(t, s.Config, s.plan.Live.Listen); !again.Lines[0].Present || !again.Lines[1].Present ||
				len(again.Skipped) != 0 {
				t.Errorf("planned again: got %+v, want all lines present", again)
			}
			if written, err := s.plan.Write(); err != nil || len(written) != 0 {
				t.Errorf("written again: got %v, %v, want nothing", written, err)
			}
			want := nginx.Settings{"app": {s.servers[0]: {Weight: 1}, s.servers[1]: {Weight: 9}}}
			r, err := s.actuator.Apply(t.Context(), want)
			if err != nil || !r.Changed || r.Reloaded || r.Weights["app"][s.servers[1]].Weight != 9 ||
				r.Confirmed.IsZero() {
				t.Fatalf("got %+v, %v", r, err)
			}
			if got := s.answers(t, 50); got[s.servers[0]] < 4 || got[s.servers[0]] > 6 {
				t.Errorf("got %v, want about 5 and 45", got)
			}
			if r, err = s.actuator.Apply(t.Context(), want); err != nil || r.Changed {
				t.Errorf("again: got %+v, %v, want nothing changed", r, err)
			}
			if st, err := s.actuator.Reset(t.Context()); err != nil || st.Upstreams["app"].Servers[0].Weight != 2 {
				t.Errorf("reset: got %+v, %v, want the file's weight 2", st, err)
			}
		})
	}
}

func TestApplyRefuses(t *testing.T) {
	s := install(t, "")
	for _, c := range []struct {
		name string
		want nginx.Settings
		why  string
	}{
		{"an unknown upstream", nginx.Settings{"other": {"127.0.0.1:1": {Weight: 1}}}, "live install"},
		{"an unknown server", nginx.Settings{"app": {"127.0.0.1:1": {Weight: 1}}}, "no server"},
		{"a weight of 101", nginx.Settings{"app": {s.servers[0]: {Weight: 101}}}, "1 to 100"},
		{"no server left", nginx.Settings{"rest": {s.servers[2]: {Weight: 1, Down: true}}}, "no server would be left"},
	} {
		r, err := s.actuator.Apply(t.Context(), c.want)
		refusal := (*nginx.Refusal)(nil)
		if !errors.As(err, &refusal) || !strings.Contains(r.Refused, c.why) || r.Changed {
			t.Errorf("%s: got %+v, %v, want a refusal with %q", c.name, r, err, c.why)
		}
	}
}

func TestApplyWithoutBalancer(t *testing.T) {
	s := install(t, "")
	want := nginx.Settings{"app": {s.servers[0]: {Weight: 3}}}
	t.Run("a token that NGINX does not know", func(t *testing.T) {
		other := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(other, []byte(strings.Repeat("z", 64)), 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := live.New(live.Config{Address: s.plan.Live.Listen, TokenFile: other})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Apply(t.Context(), want); err == nil || !strings.Contains(err.Error(), "wrong token") {
			t.Errorf("got %v, want wrong token", err)
		}
	})
	t.Run("a call that was cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.actuator.Apply(ctx, want); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want cancelled", err)
		}
	})
	t.Run("NGINX has gone", func(t *testing.T) {
		s.Stop()
		if _, err := s.actuator.Apply(t.Context(), want); !errors.Is(err, live.ErrUnreachable) {
			t.Errorf("got %v, want unreachable", err)
		}
	})
	t.Run("another program answers", func(t *testing.T) {
		srv := httptest.NewServer(http.NotFoundHandler())
		defer srv.Close()
		a, err := live.New(live.Config{Address: srv.Listener.Addr().String(), TokenFile: s.plan.Live.TokenFile})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.State(t.Context()); err == nil || !strings.Contains(err.Error(), "Trimtab's control call") {
			t.Errorf("got %v, want doubt about who answers", err)
		}
	})
}

func TestAddressMustBeLocal(t *testing.T) {
	for address, ok := range map[string]bool{
		"127.0.0.1:9147": true, "[::1]:9147": true, "unix:/run/x": true, "10.0.0.1:9147": false,
		"localhost:9147": false, "": false, "0.0.0.0:1": false,
	} {
		if _, err := live.New(live.Config{Address: address}); (err == nil) != ok {
			t.Errorf("%q: got %v, want ok %v", address, err, ok)
		}
	}
}

func TestPlanLeavesOutWhatCannotBeSet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nginx.conf")
	text := `http {
    upstream a { server 10.0.0.1; }
    upstream b { ip_hash; server 10.0.0.1; }
    upstream c { server web.example; }
    upstream d { balancer_by_lua_block { mine() } server 10.0.0.1; }
    upstream f { random; server 10.0.0.1; }
    upstream g { hash $uri consistent; server 10.0.0.1; }
    upstream h { hash $uri; server 10.0.0.1; }
}
stream { upstream e { server 10.0.0.1:1; } }
`
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	in := planned(t, path, "")
	var zones []string
	for _, l := range in.Lines[1:] {
		zones = append(zones, l.Text)
	}
	if want := []string{"zone a 64k;", "zone b 64k;", "zone c 64k;", "zone h 64k;"}; !slices.Equal(zones, want) ||
		len(in.Skipped) != 4 {
		t.Errorf("got lines %q, left out %q, want %q", zones, in.Skipped, want)
	}
	if len(in.Notes) != 2 || !strings.Contains(in.Notes[0], "move clients") {
		t.Errorf("got notes %q, want to be told that ip_hash and hash move clients", in.Notes)
	}
	cfg, err := nginx.ReadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "shim.conf"),
		[]byte("# Written by trimtab nginx shim install.\ninit_by_lua_block { }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".2", []byte("http { include shim.conf; upstream a { server 10.0.0.1; } }"),
		0o644); err != nil {
		t.Fatal(err)
	}
	shimmed, err := nginx.ReadConfig(path + ".2")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := live.Plan(shimmed, live.InstallOptions{}); err == nil || !strings.Contains(err.Error(),
		"status-listen") {
		t.Errorf("beside the status shim: got %v, want to be told about --status-listen", err)
	}
	if _, err := live.Plan(cfg, live.InstallOptions{Upstreams: []string{"f"}}); err == nil ||
		!strings.Contains(err.Error(), "random") {
		t.Errorf("f asked for: got %v, want the reason", err)
	}
}

// The promise of the package: a hundred changes under POSTs over kept connections lose nothing.
func TestNothingIsLost(t *testing.T) {
	s := install(t, "")
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	stop, failed := make(chan struct{}), make(chan error, 4)
	for range 4 {
		go func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					failed <- nil
					return
				default:
				}
				resp, err := client.Post(s.url, "text/plain", strings.NewReader("post"))
				if err != nil {
					failed <- fmt.Errorf("request %d: %w", n, err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != 200 {
					failed <- fmt.Errorf("request %d: %s", n, resp.Status)
					return
				}
			}
		}()
	}
	for i := range 100 {
		if _, err := s.actuator.Apply(t.Context(),
			nginx.Settings{"app": {s.servers[0]: {Weight: 1 + i%7}, s.servers[1]: {Weight: 3}}}); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	for range 4 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	client.CloseIdleConnections()
}

// An http block holds one of each Lua hook: an operator who has his own runs ours in them.
func TestPlanBesideHooksOfTheOperator(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nginx.conf")
	if err := os.WriteFile(path, []byte("http { init_worker_by_lua_block { mine() }\nupstream a { zone a 1m; server "+
		"10.0.0.1; } }"), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg, err := nginx.ReadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	in, err := live.Plan(cfg, live.InstallOptions{StatusListen: "127.0.0.1:9148"})
	if err != nil || len(in.Notes) != 1 || !strings.Contains(in.Notes[0], "--hooked") || !in.Lines[1].Present {
		t.Fatalf("got %+v, %v, want a note about --hooked, and the zone found", in, err)
	}
	in, err = live.Plan(cfg, live.InstallOptions{StatusListen: "127.0.0.1:9148", Hooked: true})
	if err != nil || len(in.Notes) != 3 {
		t.Fatalf("hooked: got %+v, %v, want the statements for three hooks", in, err)
	}
	for _, f := range []string{in.Live.HTTPSnippet(), in.Live.Status.HTTPSnippet()} {
		if strings.Contains(in.Files[f], "init_") || strings.Contains(in.Files[f], "log_by_lua") {
			t.Errorf("hooked: got hooks in %s: %s", f, in.Files[f])
		}
	}
}
