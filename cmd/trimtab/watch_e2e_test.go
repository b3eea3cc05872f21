package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trimtab/nginx"
	"trimtab/nginx/instance"
)

// needTool skips where a program is missing that scripts/setup-watch.sh installs.
func needTool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("no %s: scripts/setup-watch.sh installs Debian's", name)
	}
	return path
}

// rulesDir is where the rules and the dashboard are.
var rulesDir = filepath.Join("..", "..", "scripts", "prometheus")

func TestPrometheusRules(t *testing.T) {
	promtool := needTool(t, "promtool")
	for _, c := range []struct {
		name string
		args []string
	}{
		{"the rules are rules", []string{"check", "rules", "trimtab.rules.yml"}},
		{"every record and alert is what its test says", []string{"test", "rules", "trimtab.rules_test.yml"}},
		{"the configuration is one", []string{"check", "config", "prometheus.yml"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), promtool, c.args...)
			cmd.Dir = rulesDir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("promtool %s: %v\n%s", strings.Join(c.args, " "), err, out)
			}
		})
	}
	t.Run("every rule has a test", func(t *testing.T) {
		rules, err := os.ReadFile(filepath.Join(rulesDir, "trimtab.rules.yml"))
		if err != nil {
			t.Fatal(err)
		}
		tests, err := os.ReadFile(filepath.Join(rulesDir, "trimtab.rules_test.yml"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(rules)) {
			kind, name, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "- "), ": ")
			if kind == "record" && !strings.Contains(string(tests), name) || kind == "alert" &&
				strings.Count(string(tests), "alertname: "+name) < 2 {
				t.Errorf("%s %s has no test, or an alert none for silence", kind, name)
			}
		}
	})
}

// dashboard are the expressions of the dashboard, with its variables filled in.
func dashboard(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(rulesDir, "grafana-dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Annotations struct {
			List []struct{ Name, Expr string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("$__rate_interval", "20s", "$instance", ".*", "$upstream", ".*")
	out := map[string][]string{}
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			out[p.Title] = append(out[p.Title], fill.Replace(target.Expr))
		}
	}
	for _, a := range board.Annotations.List {
		out[a.Name] = append(out[a.Name], fill.Replace(a.Expr))
	}
	return out
}

// A real daemon on the testbed, scraped by a real Prometheus: the metrics are in order, the rules have values, every
// expression of the dashboard has data, and the page is there.
func TestE2EWatchedDaemon(t *testing.T) {
	prometheus, promtool := needTool(t, "prometheus"), needTool(t, "promtool")
	b := startBed(t)
	b.configure("")
	b.load()
	_, stderr, _ := start(t, "tune", "--config", b.config)
	ports, err := instance.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(rulesDir, "prometheus.yml"))
	if err != nil {
		t.Fatal(err)
	}
	rules, err := filepath.Abs(filepath.Join(rulesDir, "trimtab.rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(b.dir, "prometheus.yml")
	edited := strings.NewReplacer("127.0.0.1:9146", b.listen, "trimtab.rules.yml", rules, "scrape_interval: 5s",
		"scrape_interval: 1s", "evaluation_interval: 15s",
		"evaluation_interval: 1s").Replace(string(text))
	if err := os.WriteFile(config, []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", ports[0])
	var said bytes.Buffer
	cmd := exec.Command(prometheus, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(b.dir, "tsdb"),
		"--web.listen-address="+address,
		"--log.level=warn")
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	await(t, "a change", b.counted("trimtab_changes_total"))
	t.Run("the metrics are as Prometheus asks", func(t *testing.T) {
		_, metrics := b.get("/metrics")
		check := exec.CommandContext(t.Context(), promtool, "check", "metrics")
		var own strings.Builder
		for line := range strings.Lines(metrics) { // those of the Go runtime are not ours to name
			if strings.Contains(line, "trimtab_") {
				own.WriteString(line)
			}
		}
		check.Stdin = strings.NewReader(own.String())
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("promtool check metrics: %v\n%s", err, out)
		}
	})
	t.Run("the page is there", func(t *testing.T) {
		for path, want := range map[string]string{"/": "<title>Trimtab on ", "/page/page.js": "use strict",
			"/page/live": `"schema":1`} {
			if code, body := b.get(path); code != 200 || !strings.Contains(body, want) {
				t.Errorf("%s: code %d, %.300s", path, code, body)
			}
		}
		resp, err := http.Post("http://"+b.listen+"/page/hold", "application/json", strings.NewReader(`{"hold":true}`))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("a hold without a token: code %d, want 403", resp.StatusCode)
		}
	})
	query := func(expr string) int {
		resp, err := http.Get("http://" + address + "/api/v1/query?query=" + url.QueryEscape(expr))
		if err != nil {
			return 0
		}
		defer resp.Body.Close()
		var reply struct {
			Status string
			Error  string
			Data   struct{ Result []json.RawMessage }
		}
		if err := json.NewDecoder(resp.Body).Decode(&reply); err != nil || reply.Status == "error" {
			t.Errorf("%s: %v %s", expr, err, reply.Error)
			return -1
		}
		return len(reply.Data.Result)
	}
	// The operator's edit, for its annotation: once Prometheus has seen the counter without it.
	await(t, "a scrape", func() bool { return query("trimtab_operator_edits_total") > 0 })
	args := []string{"nginx", "set", "--config", b.NGINX.Config, "--nginx", b.NGINX.Binary, "--prefix", b.NGINX.Dir,
		"--pid-file", b.NGINX.PIDFile(), "--status",
		b.StatusURL, "--state-dir", filepath.Join(b.dir, "operator"), "--upstream", "compose_backend"}
	cfg, err := nginx.ReadConfig(b.NGINX.Config)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range cfg.Upstreams[0].Peers {
		args = append(args, "--weight", fmt.Sprintf("%s=%d", p.Label(), 3+4*i))
	}
	if code := run(t.Context(), args, &said, &said); code != 0 {
		t.Fatalf("the operator's edit: code %d: %s", code, &said)
	}
	deadline := time.Now().Add(90 * time.Second)
	missing := map[string]string{}
	for title, exprs := range dashboard(t) {
		for _, e := range exprs {
			missing[e] = title
		}
	}
	for _, record := range []string{"upstream:trimtab_requests:rate1m", "upstream:trimtab_errors:ratio_rate5m",
		"upstream:trimtab_response_seconds:p99_rate1m"} {
		missing[record] = "records"
	}
	count := len(missing)
	for len(missing) > 0 && time.Now().Before(deadline) {
		for e := range missing {
			if query(e) != 0 {
				delete(missing, e)
			}
		}
		select {
		case <-t.Context().Done():
			t.Fatal("ended")
		case <-time.After(500 * time.Millisecond):
		}
	}
	for e, title := range missing {
		t.Errorf("%s: no data for %s", title, e)
	}
	t.Logf("%d expressions of the dashboard and rules have data", count-len(missing))
	if t.Failed() {
		t.Logf("prometheus: %s\ndaemon: %s", &said, stderr)
	}
}
