package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"trimtab/arena/testbed"
	"trimtab/deathstarbench"
	"trimtab/nginx"
	"trimtab/vts"
)

func TestE2ERunReportsWhatTheStatisticsShow(t *testing.T) {
	needNGINX(t)
	dir := t.TempDir()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"run", "--duration", "18s", "--policy", "l3", "--seed", "11", "--out", dir,
		"--json"}, &stdout, &stderr)
	if code != exitOK {
		t.Fatalf("got exit code %d, want 0; stderr: %s", code, stderr.String())
	}
	conforms(t, "trimtab run", stdout.String())
	var report testbed.Report
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
		t.Fatalf("stdout is not the report: %v", err)
	}
	for _, name := range []string{"report.json", "report.html", "latency.png", "stats.ndjson"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: got %v, want a file that is not empty", name, err)
		}
	}
	page, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(page, []byte("src=\"http")) || bytes.Contains(page, []byte("<link rel=\"stylesheet")) ||
		!bytes.Contains(page, []byte(`id="data"`)) {
		t.Error("report.html: want a page with its data inside and nothing to fetch")
	}

	t.Run("a scenario is made of the statistics", func(t *testing.T) {
		code, out, stderr := runCapture("scenario", "from", filepath.Join(dir, "stats.ndjson"), "--interval", "2s",
			"--name", "again")
		if code != exitOK {
			t.Fatalf("got exit code %d: %s", code, stderr)
		}
		made, err := deathstarbench.Parse("again.toml", []byte(out))
		if err != nil || len(made.Servers) != 3 || made.Own("compose_backend") == nil || made.Name != "again" {
			t.Errorf("got %v\n%s", err, out)
		}
	})

	t.Run("the client and NGINX counted the same requests", func(t *testing.T) {
		requests, meanMS := recorded(t, filepath.Join(dir, "stats.ndjson"))
		// A request that a reload cut off may have been counted by one side only.
		slack := report.Errors + 2*uint64(report.Reloads)
		if diff := max(requests, report.Requests) - min(requests, report.Requests); diff > slack {
			t.Errorf("got %d requests at the client, %d in the statistics, want a difference of at most %d",
				report.Requests, requests, slack)
		}
		if report.Requests < 1000 {
			t.Errorf("got %d requests in 18 s at 478/s", report.Requests)
		}
		// The client waits at least as long as NGINX for the backend, and not much longer on average.
		if client := report.Latency.Mean; client < 0.95*meanMS || client > 1.5*meanMS+100 {
			t.Errorf("got a mean of %.1f ms at the client and %.1f ms in the statistics", client, meanMS)
		}
	})
	t.Run("the parts add up", func(t *testing.T) {
		sum := report.Before.Requests + report.Transition.Requests + report.Tuned.Requests
		if sum != report.Requests {
			t.Errorf("got %d requests in the parts, %d in all", sum, report.Requests)
		}
		if got := report.Before.Reloads + report.Transition.Reloads + report.Tuned.Reloads; got != report.Reloads {
			t.Errorf("got %d reloads in the parts, %d in all", got, report.Reloads)
		}
	})
	t.Run("the weights in the report are those in nginx.conf", func(t *testing.T) {
		if report.Reloads == 0 {
			t.Fatal("got no reload, want the overloaded server to be relieved")
		}
		cfg, err := nginx.ReadConfig(filepath.Join(dir, "nginx", "nginx.conf"))
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range cfg.Upstreams {
			for _, p := range u.Peers {
				for name, addr := range report.Addresses {
					if addr == p.Address && report.Weights[u.Name][name].Weight.Int() != p.Weight {
						t.Errorf("%s server %s: got weight %v in the report, %d in nginx.conf", u.Name, name,
							report.Weights[u.Name][name], p.Weight)
					}
				}
			}
			w := report.Weights[u.Name]
			if w["a"].Weight.Int()*3 >= w["a"].Weight.Int()+w["b"].Weight.Int()+w["c"].Weight.Int() {
				t.Errorf("%s: got weights %v, want less than a third for the smallest server", u.Name, w)
			}
		}
	})
	if left := processesOf(t, dir); len(left) > 0 {
		t.Errorf("got processes left behind: %q", left)
	}
}

// recorded returns the requests counted in a statistics file and their mean response time in ms.
func recorded(t *testing.T, path string) (requests uint64, meanMS float64) {
	t.Helper()
	r, err := vts.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var first, last *vts.Status
	for {
		s, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = s
		}
		last = s
	}
	d, err := vts.Delta(first, last)
	if err != nil {
		t.Fatal(err)
	}
	var ms uint64
	for _, g := range d.Groups {
		for _, p := range g.Peers {
			requests += p.Requests
			ms += p.ResponseMsec
		}
	}
	return requests, float64(ms) / float64(max(requests, 1))
}

func TestE2ERunLeavesNothingBehind(t *testing.T) {
	needNGINX(t)
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		signal syscall.Signal
		code   int
		report bool
	}{
		{"after Ctrl-C the load ends, the report is written", syscall.SIGINT, exitInterrupted, true},
		{"after kill -TERM too", syscall.SIGTERM, exitInterrupted, true},
		{"after kill -9 NGINX goes with its parent", syscall.SIGKILL, -1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cmd := exec.Command(path, "run", "--duration", "60s", "--policy", "l3", "--out", dir)
			stderr := new(buffer)
			cmd.Stderr = stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			await(t, "the load to run", func() bool { return strings.Contains(stderr.String(), "/s · p99") })
			if err := cmd.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != c.code {
				t.Errorf("got exit code %d, want %d; stderr: %s", got, c.code, stderr)
			}
			await(t, "every process to end", func() bool { return len(processesOf(t, dir)) == 0 })
			_, err := os.Stat(filepath.Join(dir, "report.json"))
			if c.report && err != nil {
				t.Errorf("got no report: %v", err)
			}
			if temps, _ := filepath.Glob(filepath.Join(dir, ".report*")); len(temps) > 0 {
				t.Errorf("got half-written files %q", temps)
			}
		})
	}
}

func TestRunSaysWhatIsWrong(t *testing.T) {
	needNGINX(t)
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.toml")
	if err := os.WriteFile(bad, []byte("name = \"x\"\ncolour = 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"a port already taken", []string{"--listen", taken.Addr().String()}, exitConfig, "address already in use"},
		{"an output directory that is a file", []string{"--out", file}, exitConfig, "choose another with --out"},
		{"an unknown flag", []string{"--colour", "red"}, exitUsage, "unknown flag: --colour"},
		{"an unknown scenario", []string{"--scenario", "atlantis"}, exitConfig, "atlantis"},
		{"an unknown scenario key", []string{"--scenario", bad}, exitConfig, "colour"},
		{"an unknown policy", []string{"--policy", "wisdom"}, exitUsage, "wisdom"},
		{"no time at all", []string{"--duration", "0s"}, exitUsage, "--duration"},
		{"a statistics file without an NGINX", []string{"stats.ndjson"}, exitUsage, "--lb"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			args := append([]string{"run", "--out", out}, c.args...)
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), args, &stdout, &stderr); code != c.code {
				t.Errorf("got exit code %d, want %d", code, c.code)
			}
			lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
			if last := lines[len(lines)-1]; !strings.HasPrefix(last, "trimtab: ") || !strings.Contains(last, c.says) {
				t.Errorf("got %q, want one line that contains %q", last, c.says)
			}
			if _, err := os.Stat(filepath.Join(out, "report.json")); err == nil {
				t.Error("got a report of a run that never was")
			}
			if left := processesOf(t, out); len(left) > 0 {
				t.Errorf("got processes left behind: %q", left)
			}
		})
	}
	t.Run("no NGINX", func(t *testing.T) {
		t.Setenv("TRIMTAB_NGINX", "/nonexistent/nginx")
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), []string{"run", "--out", t.TempDir()}, &stdout, &stderr); code != exitConfig {
			t.Errorf("got exit code %d, want %d", code, exitConfig)
		}
		if !strings.Contains(stderr.String(), "scripts/setup.sh") {
			t.Errorf("got %q, want what to install", stderr.String())
		}
	})
}

func TestE2ETestbedRunsUntilInterrupted(t *testing.T) {
	needNGINX(t)
	dir := t.TempDir()
	stdout, stderr, stop := start(t, "testbed", "--listen", freeAddr(t), "--out", dir, "--json")
	await(t, "the testbed's addresses", func() bool { return strings.HasSuffix(stdout.String(), "}\n") })
	var bed struct {
		URL       string `json:"url"`
		StatusURL string `json:"status_url"`
		Backends  map[string]string
	}
	if err := json.Unmarshal([]byte(stdout.String()), &bed); err != nil {
		t.Fatal(err)
	}
	if len(bed.Backends) != 3 {
		t.Errorf("got backends %v, want three", bed.Backends)
	}
	client, err := vts.NewClient(vts.ClientConfig{URL: bed.StatusURL, Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	status, err := client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(status.Upstreams) != 3 {
		t.Errorf("got %d upstream groups on the status page, want 3", len(status.Upstreams))
	}
	if code := stop(); code != exitOK {
		t.Errorf("got exit code %d, want 0; stderr: %s", code, stderr)
	}
	if left := processesOf(t, dir); len(left) > 0 {
		t.Errorf("got processes left behind: %q", left)
	}
}

func TestE2EClientNodeDrivesAndCollects(t *testing.T) {
	needNGINX(t)
	addr, dir := freeAddr(t), t.TempDir()
	stdout, _, _ := start(t, "testbed", "--listen", addr, "--out", filepath.Join(dir, "bed"))
	await(t, "the testbed's addresses", func() bool { return strings.Contains(stdout.String(), "interrupt to stop") })
	stats := filepath.Join(dir, "stats.ndjson")
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"run", "--lb", "http://" + addr, "--random-rate", "100:2000", "--duration",
		"3s", "--seed", "5", stats}, &out, &errs); code != exitOK {
		t.Fatalf("got exit code %d, want 0; stderr: %s", code, errs.String())
	}
	requests, _ := recorded(t, stats)
	if want := fmt.Sprintf("%d upstream requests", requests); requests == 0 || !strings.Contains(out.String(), want) {
		t.Errorf("got %d requests in %s, want as many in the summary: %s", requests, stats, out.String())
	}
	if !strings.Contains(errs.String(), "remaining") {
		t.Errorf("got no time remaining on stderr: %s", errs.String())
	}
	if _, err := os.Stat(filepath.Join(dir, "stats.schedule.toml")); err != nil {
		t.Errorf("got no schedule to repeat the load by: %v", err)
	}
}

func TestClientNodeSaysWhatIsWrong(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "<!doctype html><title>hello</title>")
	}))
	defer page.Close()
	empty := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer empty.Close()
	for _, c := range []struct {
		name string
		args []string
		code int
	}{
		{"a status page that answers with HTML", []string{"--lb", page.URL}, exitTelemetry},
		{"a status page that answers with nothing", []string{"--lb", empty.URL}, exitTelemetry},
		{"an NGINX that is not there", []string{"--lb", "http://" + freeAddr(t)}, exitTelemetry},
		{"a load balancer that is no URL", []string{"--lb", "nginx"}, exitUsage},
	} {
		t.Run(c.name, func(t *testing.T) {
			stats := filepath.Join(t.TempDir(), "stats.ndjson")
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), append(append([]string{"run", "--duration", "1s", "--random-rate", "100:200"},
				c.args...), stats), &stdout, &stderr); code != c.code {
				t.Errorf("got exit code %d, want %d", code, c.code)
			}
			if got := stderr.String(); !strings.HasPrefix(got, "trimtab: ") || strings.Count(got, "\n") != 1 {
				t.Errorf("got %q, want one line", got)
			}
			if _, err := os.Stat(stats); err == nil {
				t.Error("got a statistics file of a run that never was")
			}
		})
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
