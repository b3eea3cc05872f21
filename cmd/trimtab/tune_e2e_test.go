package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"trimtab/arena/testbed"
	"trimtab/deathstarbench"
	"trimtab/nginx"
	"trimtab/nginx/instance"
)

// tunedBed is a testbed with what a daemon needs to tune it.
type tunedBed struct {
	daemonBed
	*testbed.Testbed
	pace    string // interval, poll and stale_after of the configuration
	proxied bool   // the status page comes through the test
}

// startBed brings up the testbed of capacities 1:2:4.
func startBed(t *testing.T) *tunedBed {
	t.Helper()
	needNGINX(t)
	sc, err := deathstarbench.Load("capacity-1-2-4")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	bed, err := testbed.Start(t.Context(), testbed.Options{Scenario: sc, Dir: filepath.Join(dir, "bed"), Seed: 1,
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bed.Stop)
	ports, err := instance.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	return &tunedBed{Testbed: bed, daemonBed: daemonBed{t: t, dir: dir, config: filepath.Join(dir, "trimtab.toml"),
		listen: fmt.Sprintf("127.0.0.1:%d", ports[0])}, pace: "1s 200ms 3s"}
}

// load sends requests until the test ends or stop is called.
func (b *tunedBed) load() (stop func() int) {
	_, _, stop = start(b.t, "load", "--target", b.URL, "--workload", "compose-post", "--arrival", "exp", "--rate",
		"150", "--duration", "10m", "--seed", "1")
	return stop
}

// configure writes trimtab.toml; top goes above the sections.
func (b *tunedBed) configure(top string) {
	b.t.Helper()
	pace := strings.Fields(b.pace)
	text := fmt.Sprintf(`interval = %q
state_dir = %q
listen = %q
observe_first = "0s"
%s
[status]
url = %q
poll = %q
stale_after = %q
proxied = %t
[nginx]
config = %q
binary = %q
pid_file = %q
prefix = %q
[actuator]
reload_interval = "100ms"
max_generations = -1
`, pace[0], filepath.Join(b.dir, "state"), b.listen, top, b.StatusURL, pace[1], pace[2], b.proxied, b.NGINX.Config, b.NGINX.Binary, b.NGINX.PIDFile(), b.NGINX.Dir)
	if err := os.WriteFile(b.config, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// kept is where a file of the state is: the worker's, where there is one, has a folder of its own.
func (b *tunedBed) kept(name string) string {
	if dir := filepath.Join(b.dir, "state", "worker"); os.Geteuid() == 0 {
		return filepath.Join(dir, name)
	}
	return filepath.Join(b.dir, "state", name)
}

// weights are those in the file, in the order of the servers a, b, c.
func (b *tunedBed) weights() []int {
	b.t.Helper()
	cfg, err := nginx.ReadConfig(b.NGINX.Config)
	if err != nil {
		b.t.Fatal(err)
	}
	var w []int
	for _, p := range cfg.Upstreams[0].Peers {
		w = append(w, p.Weight)
	}
	return w
}

func TestE2EDaemonTunesTheTestbed(t *testing.T) {
	b := startBed(t)
	b.configure("")
	b.load()
	before := b.weights()
	_, stderr, stop := start(t, "tune", "--config", b.config, "--on-exit", "restore")
	await(t, "the largest server to get the largest weight", func() bool { w := b.weights(); return w[2] > w[0] })
	await(t, "the change on the metrics page", b.counted("trimtab_changes_total"))
	for _, path := range []string{"/healthz", "/readyz"} {
		await(t, path, func() bool { code, _ := b.get(path); return code == 200 })
	}
	stdout := new(buffer)
	if code := run(t.Context(), []string{"explain", "--config", b.config}, stdout, io.Discard); code != 0 ||
		!strings.Contains(stdout.String(), "% used") ||
		!strings.Contains(stdout.String(), "the daemon at "+b.listen) {
		t.Errorf("explain: code %d: %s", code, stdout)
	}
	said := new(buffer)
	if code := run(t.Context(), []string{"explain", "--config", b.config, "--json"}, said, io.Discard); code != 0 {
		t.Errorf("explain --json: code %d", code)
	}
	conforms(t, "trimtab explain", said.String())
	var explained struct {
		Explanation json.RawMessage `json:"explanation"`
	}
	if err := json.Unmarshal([]byte(said.String()), &explained); err != nil {
		t.Fatal(err)
	}
	conforms(t, inExplanation, string(explained.Explanation))
	errs := new(buffer)
	if code := run(t.Context(), []string{"tune", "--config", b.config}, io.Discard, errs); code != exitConfig ||
		!strings.Contains(errs.String(), "another trimtab tune") {
		t.Errorf("a second daemon: code %d, %s, want to be refused", code, errs)
	}
	if code := stop(); code != 0 {
		t.Errorf("stopped: code %d: %s", code, stderr)
	}
	if after := b.weights(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("--on-exit restore: got %v, want %v: %s", after, before, stderr)
	}
	stdout = new(buffer)
	if code := run(t.Context(), []string{"explain", "--state", b.kept("tuner.db")}, stdout, io.Discard); code != 0 ||
		!strings.Contains(stdout.String(), "% used") {
		t.Errorf("explain from the state file: code %d: %s", code, stdout)
	}
}

func TestE2EDryRunAndObserveChangeNothing(t *testing.T) {
	b := startBed(t)
	b.pace = "300ms 100ms 3s"
	b.configure("")
	b.load()
	text, err := os.ReadFile(b.NGINX.Config)
	if err != nil {
		t.Fatal(err)
	}
	stdout := new(buffer)
	await(t, "a dry run that would write something", func() bool {
		stderr := new(buffer)
		if code := run(t.Context(), []string{"tune", "--config", b.config, "--once", "--dry-run"}, stdout,
			stderr); code != 0 {
			t.Fatalf("code %d: %s", code, stderr)
		}
		return strings.Contains(stdout.String(), "\n+") && strings.Contains(stdout.String(), "weight=")
	})
	if _, err := os.Stat(filepath.Join(b.dir, "state")); err == nil {
		t.Error("a dry run left a state folder behind")
	}
	_, _, stop := start(t, "tune", "--config", b.config, "--observe")
	await(t, "ten observed steps", func() bool { return len(b.metric("trimtab_steps_total")) > 1 })
	if m := b.metric("trimtab_holding"); m != "1" {
		t.Errorf("holding: got %q, want 1", m)
	}
	stop()
	after, err := os.ReadFile(b.NGINX.Config)
	if err != nil || string(after) != string(text) {
		t.Errorf("nginx.conf was changed (%v)", err)
	}
}

// A sandbox in which nginx -t cannot pass is told of while the daemon still observes, not by the first change.
func TestE2EDaemonTriesNGINXTestEarly(t *testing.T) {
	b := startBed(t)
	nginxBinary := b.NGINX.Binary
	b.NGINX.Binary = filepath.Join(b.dir, "nginx")
	script := "#!/bin/sh\ncase \"$*\" in *-t*) echo 'nginx: [emerg] open() \"/srv/a.log\" failed (30: Read-only file " +
		"system)' >&2; exit 1;; esac\nexec " + nginxBinary + " \"$@\"\n"
	if err := os.WriteFile(b.NGINX.Binary, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	b.pace = "300ms 100ms 3s"
	b.configure("")
	b.load()
	_, stderr, _ := start(t, "tune", "--config", b.config, "--observe")
	await(t, "the warning", func() bool { return strings.Contains(stderr.String(), "every change will be refused") })
	await(t, "more steps", func() bool { return b.number("trimtab_steps_total") > 5 })
	if n := strings.Count(stderr.String(), "every change will be refused"); n != 1 {
		t.Errorf("warned %d times, want once", n)
	}
}

func TestE2EDaemonSignalsAndFaults(t *testing.T) {
	b := startBed(t)
	b.pace = "300ms 100ms 3s"
	b.configure("")
	cmd, log := b.process("tune", "--config", b.config)
	await(t, "the first steps", b.counted("trimtab_nginx_workers"))
	nginxConf, err := os.ReadFile(b.NGINX.Config)
	if err != nil {
		t.Fatal(err)
	}
	released := func() bool { return b.metric("trimtab_holding") == "0" }

	t.Run("SIGUSR1 holds, SIGUSR2 goes on", func(t *testing.T) {
		b.signal(cmd, syscall.SIGUSR1)
		await(t, "the hold", b.counted(`trimtab_held_total{reason="signal"}`))
		b.signal(cmd, syscall.SIGUSR2)
		await(t, "the end of the hold", released)
	})
	t.Run("--hold holds from another process, --release undoes it", func(t *testing.T) {
		if code := run(t.Context(), []string{"tune", "--config", b.config, "--hold"}, io.Discard,
			io.Discard); code != 0 {
			t.Fatal(code)
		}
		await(t, "the hold", b.counted(`trimtab_held_total{reason="hold file"}`))
		if code := run(t.Context(), []string{"tune", "--config", b.config, "--release"}, io.Discard,
			io.Discard); code != 0 {
			t.Fatal(code)
		}
		await(t, "the end of the hold", released)
	})
	t.Run("a faulty configuration changes nothing, a good one is taken over", func(t *testing.T) {
		b.configure("nonsense = 1")
		b.signal(cmd, syscall.SIGHUP)
		await(t, "the refusal", func() bool { return b.metric("trimtab_config_last_reload_successful") == "0" })
		await(t, "the key to be named in the log", func() bool {
			return strings.Contains(log.String(), "unknown key nonsense")
		})
		b.configure("log_level = \"debug\"")
		b.signal(cmd, syscall.SIGHUP)
		await(t, "the reload", func() bool { return b.metric("trimtab_config_last_reload_successful") == "1" })
		steps := b.metric("trimtab_steps_total")
		await(t, "steps to go on", func() bool { return b.metric("trimtab_steps_total") != steps })
	})
	t.Run("an operator's edit is noticed", func(t *testing.T) {
		b.write(b.NGINX.Config, append(nginxConf[:len(nginxConf):len(nginxConf)], "# a comment\n"...))
		await(t, "the edit", b.counted("trimtab_nginx_config_edits_total"))
	})
	t.Run("an unreadable configuration holds", func(t *testing.T) {
		b.write(b.NGINX.Config, []byte("http { upstream a {"))
		await(t, "the hold", b.counted(`trimtab_held_total{reason="configuration"}`))
		b.write(b.NGINX.Config, nginxConf)
		await(t, "the end of the hold", released)
	})
	t.Run("SIGTERM ends it with code 0", func(t *testing.T) {
		b.signal(cmd, syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("got %v", err)
		}
	})
}

func TestE2EDaemonStateFaults(t *testing.T) {
	b := startBed(t)
	b.configure("")
	state := filepath.Join(b.dir, "state")
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	b.write(filepath.Join(state, "tuner.db"), []byte(strings.Repeat("rubbish", 9999)))
	ready := func() bool { code, _ := b.get("/readyz"); return code == 200 }
	_, _, stop := start(t, "tune", "--config", b.config)
	await(t, "the quarantine", func() bool { return b.metric("trimtab_state_quarantined_total") == "1" })
	await(t, "readiness all the same", ready)
	if code := stop(); code != 0 {
		t.Errorf("stopped: code %d", code)
	}
	if aside, _ := filepath.Glob(b.kept("tuner.db") + ".damaged-*"); len(aside) != 1 {
		t.Errorf("put aside: got %v, want one file", aside)
	}
}

func TestE2EDaemonWithoutTelemetry(t *testing.T) {
	b := startBed(t)
	b.StatusURL = b.URL + "/nothing"
	b.configure("")
	stderr := new(buffer)
	if code := run(t.Context(), []string{"tune", "--config", b.config, "--once"}, io.Discard,
		stderr); code != exitTelemetry {
		t.Errorf("--once: got code %d, %s, want %d", code, stderr, exitTelemetry)
	}
	start(t, "tune", "--config", b.config)
	await(t, "not ready", func() bool { code, text := b.get("/readyz"); return code == 503 && text != "" })
}
