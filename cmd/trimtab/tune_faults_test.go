package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"trimtab/deathstarbench"
	"trimtab/nginx/instance"
)

// pageProxy stands between the daemon and the status page of NGINX.
type pageProxy struct {
	target string

	mu   sync.Mutex
	gone bool
	leap time.Duration // by which NGINX's clock is ahead
}

func (p *pageProxy) set(gone bool, leap time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone, p.leap = gone, leap
}

var clocks = regexp.MustCompile(`"(nowMsec|loadMsec)":(\d+)`)

func (p *pageProxy) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	gone, leap := p.gone, p.leap
	p.mu.Unlock()
	if gone {
		panic(http.ErrAbortHandler)
	}
	resp, err := http.Get(p.target)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(clocks.ReplaceAllFunc(text, func(m []byte) []byte {
		part := clocks.FindSubmatch(m)
		ms, _ := strconv.ParseInt(string(part[2]), 10, 64)
		return fmt.Appendf(nil, `"%s":%d`, part[1], ms+leap.Milliseconds())
	}))
}

// explained reports whether trimtab explain says the words.
func (b *tunedBed) explained(words string) func() bool {
	return func() bool {
		out := new(buffer)
		return run(b.t.Context(), []string{"explain", "--config", b.config}, out, io.Discard) == 0 &&
			strings.Contains(out.String(), words)
	}
}

// goesOn waits for more steps, and for readiness.
func (b *tunedBed) goesOn() {
	b.t.Helper()
	from := b.number("trimtab_steps_total")
	await(b.t, "steps to go on", func() bool { return b.number("trimtab_steps_total") >= from+2 })
	await(b.t, "readiness", func() bool { code, _ := b.get("/readyz"); return code == 200 })
	if code, text := b.get("/healthz"); code != 200 {
		b.t.Errorf("healthz: got %d %s", code, text)
	}
}

// What a production proxy does to the daemon, one after the other, on a real NGINX under load.
func TestE2EDaemonFaultsOfTheWorld(t *testing.T) {
	b := startBed(t)
	b.pace = "200ms 100ms 1s"
	p := &pageProxy{target: b.StatusURL}
	server := httptest.NewServer(p)
	defer server.Close()
	b.StatusURL, b.proxied = server.URL, true
	b.configure("")
	stopLoad := b.load()
	_, log, stop := start(t, "tune", "--config", b.config)
	defer func() {
		if t.Failed() {
			t.Logf("daemon:\n%s", log)
		}
	}()
	await(t, "the first change", b.counted("trimtab_changes_total"))
	edits := b.number("trimtab_operator_edits_total")

	t.Run("telemetry goes: nothing is changed, and why is said; back at once when it returns", func(t *testing.T) {
		p.set(true, 0)
		await(t, "readyz to fail", func() bool {
			code, text := b.get("/readyz")
			return code == 503 && strings.Contains(text, "no telemetry")
		})
		frozen := b.weights()
		from := b.number(`trimtab_step_failures_total{kind="telemetry"}`)
		await(t, "two more steps without telemetry", func() bool {
			return b.number(`trimtab_step_failures_total{kind="telemetry"}`) >= from+2
		})
		if !b.explained("The last step failed: no telemetry")() {
			t.Error("explain does not say that there is no telemetry")
		}
		if now := b.weights(); fmt.Sprint(now) != fmt.Sprint(frozen) {
			t.Errorf("without telemetry: weights went from %v to %v", frozen, now)
		}
		p.set(false, 0)
		b.goesOn()
		if !strings.Contains(log.String(), "step not completed") || !strings.Contains(log.String(),
			"steps are completed again") {
			t.Errorf("log: %s, want the beginning and the end", log)
		}
	})
	t.Run("NGINX's clock leaps ahead by an hour, and back: intervals are dropped", func(t *testing.T) {
		for _, leap := range []time.Duration{time.Hour, 0} {
			from := b.number(`trimtab_telemetry_rejected_total{reason="clock"}`)
			p.set(false, leap)
			await(t, "the leap to be seen", func() bool {
				return b.number(`trimtab_telemetry_rejected_total{reason="clock"}`) > from
			})
			b.goesOn()
		}
	})
	t.Run("every server fails: held with the reason", func(t *testing.T) {
		faults := map[string]int{}
		for _, name := range []string{"a", "b", "c"} {
			id, err := b.Backends.Server(name).SetFault(deathstarbench.Fault{Kind: deathstarbench.Error,
				Probability: 1})
			if err != nil {
				t.Fatal(err)
			}
			faults[name] = id
		}
		await(t, "the bound", b.counted(`trimtab_bounds_total{bound="all_failing"}`))
		await(t, "explain to say so", b.explained("every server fails"))
		for name, id := range faults {
			if _, err := b.Backends.Server(name).ClearFault(id); err != nil {
				t.Fatal(err)
			}
		}
		await(t, "the reason to go", func() bool { return !b.explained("every server fails")() })
		b.goesOn()
	})
	t.Run("the load doubles within a second and goes back", func(t *testing.T) {
		for range 2 {
			if code := run(t.Context(), []string{"load", "--target", b.URL, "--workload", "compose-post", "--arrival",
				"exp", "--rate", "150", "--duration", "1s", "--seed", "2"}, io.Discard, io.Discard); code != 0 {
				t.Fatalf("load: code %d", code)
			}
		}
		b.goesOn()
	})
	t.Run("the load stops: idle", func(t *testing.T) {
		stopLoad()
		await(t, "the bound", b.counted(`trimtab_bounds_total{bound="idle"}`))
		await(t, "explain to say so", b.explained("no requests"))
	})
	t.Run("a request now and then: no change", func(t *testing.T) {
		b.goesOn() // without requests
		changes := b.metric("trimtab_changes_total")
		for range 3 {
			if resp, err := http.Get(b.URL + "/wrk2-api/home-timeline/read?user_id=1&start=0&stop=10"); err == nil {
				resp.Body.Close()
			}
			b.goesOn()
		}
		if now := b.metric("trimtab_changes_total"); now != changes {
			t.Errorf("changes: %s, then %s", changes, now)
		}
	})
	t.Run("NGINX is stopped and started by its operator: its counters begin anew", func(t *testing.T) {
		text, err := os.ReadFile(b.NGINX.Config)
		if err != nil {
			t.Fatal(err)
		}
		from := b.number(`trimtab_telemetry_rejected_total{reason="epoch"}`)
		b.NGINX.Stop()
		await(t, "readyz to fail", func() bool { code, _ := b.get("/readyz"); return code == 503 })
		if _, err := os.Stat(b.NGINX.PIDFile()); err == nil {
			t.Fatal("NGINX has been started")
		}
		if code, text := b.get("/healthz"); code != 200 {
			t.Errorf("healthz: got %d %s, want 200: the daemon lives", code, text)
		}
		b.NGINX, err = instance.Start(t.Context(), b.NGINX.Dir, string(text), strings.TrimPrefix(b.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		await(t, "the reset to be seen", func() bool {
			return b.number(`trimtab_telemetry_rejected_total{reason="epoch"}`) > from
		})
		b.goesOn()
	})
	if now := b.number("trimtab_operator_edits_total"); now != edits {
		t.Errorf("nobody has edited a weight: got %v edits, then %v", edits, now)
	}
	stopLoad = b.load()
	defer stopLoad()
	drop := func(name string) func(string) string {
		line := regexp.MustCompile(`(?m)^\s*server ` + regexp.QuoteMeta(b.Backends.Addr(name)) + `\b.*\n`)
		return func(text string) string { return line.ReplaceAllString(text, "") }
	}
	shown := func(upstream, server string) func() bool {
		return func() bool {
			return b.metric(fmt.Sprintf(`trimtab_weight{server="%s",upstream="%s"}`, b.Backends.Addr(server),
				upstream)) != ""
		}
	}
	t.Run("a server is removed: the others are tuned on", func(t *testing.T) {
		b.edit(drop("c"))
		await(t, "the server to go", func() bool { return !shown("compose_backend", "c")() })
		b.goesOn()
	})
	t.Run("an upstream is renamed: a new one to learn", func(t *testing.T) {
		b.edit(func(text string) string { return strings.ReplaceAll(text, "compose_backend", "compose_pool") })
		await(t, "the new name", shown("compose_pool", "a"))
		await(t, "the old one to go", func() bool { return !shown("compose_backend", "a")() })
		b.goesOn()
	})
	t.Run("one server is left: nothing to choose", func(t *testing.T) {
		b.edit(drop("b"))
		await(t, "the bound", b.counted(`trimtab_bounds_total{bound="one_server"}`))
		await(t, "explain to say so", b.explained("nothing to choose"))
		b.goesOn()
	})
	if code := stop(); code != 0 {
		t.Errorf("stopped: code %d", code)
	}
}

// With a state folder, or a folder of the configuration, on a file system that is mounted read-only.
func TestE2EDaemonReadOnly(t *testing.T) {
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip("unshare is not installed")
	}
	if out, err := exec.Command(unshare, "-m", "true").CombinedOutput(); err != nil {
		t.Skipf("no right to a mount namespace: %s", out)
	}
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	b := startBed(t)
	b.pace = "300ms 100ms 3s"
	b.configure("")
	b.load()
	if code := run(t.Context(), []string{"tune", "--config", b.config, "--once", "--observe"}, io.Discard,
		io.Discard); code != 0 {
		t.Fatalf("the first run: code %d", code)
	}
	before, err := os.ReadFile(b.NGINX.Config)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ what, dir string }{
		{"the state", filepath.Join(b.dir, "state")},
		{"the configuration of NGINX", b.NGINX.Dir},
	} {
		t.Run(c.what, func(t *testing.T) {
			cmd := exec.Command(unshare, "-m", "sh", "-c",
				`mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && exec "$2" tune --config "$3"`, "sh", c.dir,
				path, b.config)
			log := new(buffer)
			cmd.Stderr = log
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			defer func() {
				_ = cmd.Process.Kill()
				if t.Failed() {
					t.Logf("daemon:\n%s", log)
				}
			}()
			await(t, "the hold", b.counted(`trimtab_held_total{reason="read-only"}`))
			if !b.explained("read-only file system")() {
				t.Error("explain does not say that the file system is read-only")
			}
			if c.dir == b.NGINX.Dir && !b.explained(`kind = "dns" (NGINX 1.27.3) or "live"`)() {
				t.Error("explain does not say how weights can change all the same")
			}
			if c.dir != b.NGINX.Dir {
				await(t, "the state that cannot be written", b.counted("trimtab_state_save_failures_total"))
			}
			b.goesOn()
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; err != nil {
				t.Errorf("stopped: %v", err)
			}
		})
	}
	if after, err := os.ReadFile(b.NGINX.Config); err != nil || string(after) != string(before) {
		t.Errorf("nginx.conf was changed: %v", err)
	}
}
