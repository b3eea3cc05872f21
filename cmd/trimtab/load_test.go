package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"trimtab/loadgen"
)

// loadTestServer answers everything and counts paths.
func loadTestServer(t *testing.T) (url string, count func(path string) int) {
	t.Helper()
	var mu sync.Mutex
	paths := map[string]int{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		paths[r.URL.Path]++
		mu.Unlock()
	}))
	t.Cleanup(srv.Close)
	return srv.URL, func(path string) int {
		mu.Lock()
		defer mu.Unlock()
		return paths[path]
	}
}

// command runs trimtab and returns its exit code and output.
func command(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs buffer
	code = run(ctx, args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestLoadWritesEveryOutput(t *testing.T) {
	url, count := loadTestServer(t)
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	code, stdout, stderr := command(t.Context(), "load", "--target", url+"/page", "--rate", "100", "--arrival", "norm",
		"--duration", "1500ms", "--seed", "7",
		"--lateness-bound", "1m", "--json", "--report", path("r.json"), "--html", path("r.html"), "--png",
		path("r.png"), "--ndjson", path("s.ndjson"), "--results", path("r.gob"))
	if code != exitOK {
		t.Fatalf("got exit code %d: %s", code, stderr)
	}
	conforms(t, "trimtab load", stdout)
	seconds, err := os.ReadFile(path("s.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	conforms(t, "load --ndjson", string(seconds))
	saved, err := os.ReadFile(path("r.json"))
	if err != nil || string(saved) != stdout {
		t.Errorf("got report %s and on stdout %s, %v, want one JSON object in both", saved, stdout, err)
	}
	var report loadgen.Report
	if err := json.Unmarshal(saved, &report); err != nil {
		t.Fatal(err)
	}
	if n := count("/page"); int(report.Requests) != n || n < 100 || report.Errors != 0 || report.Seed != 7 ||
		report.Arrival != "norm" {
		t.Errorf("got %d requests, %d at the server, %d errors, seed %d, arrival %s", report.Requests, n, report.Errors,
			report.Seed, report.Arrival)
	}
	picture, err := os.Open(path("r.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer picture.Close()
	if _, err := png.Decode(picture); err != nil {
		t.Error(err)
	}
	page, err := os.ReadFile(path("r.html"))
	if err != nil || !bytes.Contains(page, []byte(`id="data"`)) || bytes.Contains(page, []byte("src=\"http")) {
		t.Errorf("got a page of %d bytes without plots, %v", len(page), err)
	}
	perSecond, err := os.ReadFile(path("s.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	var sum uint64
	for line := range strings.Lines(string(perSecond)) {
		var s loadgen.Second
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatal(err)
		}
		sum += s.Total.Requests
	}
	results, err := os.Open(path("r.gob"))
	if err != nil {
		t.Fatal(err)
	}
	defer results.Close()
	decode, n := vegeta.NewDecoder(results), uint64(0)
	for r := (vegeta.Result{}); decode(&r) == nil; r = (vegeta.Result{}) {
		n++
	}
	if sum != report.Requests || n != report.Requests {
		t.Errorf("got %d requests by second and %d results, want %d", sum, n, report.Requests)
	}
}

func TestLoadDrawsSavesAndRepeatsSchedules(t *testing.T) {
	url, count := loadTestServer(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "drawn.toml")
	code, stdout, stderr := command(t.Context(), "load", "--target", url, "--schedule", "random", "--total", "1s",
		"--random-rate", "50:100",
		"--random-duration", "200ms:400ms", "--random-back-off", "50ms:100ms", "--seed", "11", "--schedule-out", file,
		"--lateness-bound", "1m", "--json")
	if code != exitOK {
		t.Fatalf("got exit code %d: %s", code, stderr)
	}
	var first, second loadgen.Report
	if err := json.Unmarshal([]byte(stdout), &first); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"compose-post", "read-home-timeline", "read-user-timeline",
		"schedule saved to " + file} {
		if !strings.Contains(stderr, want) {
			t.Errorf("got no %q in\n%s", want, stderr)
		}
	}
	if count("/wrk2-api/post/compose") == 0 || count("/wrk2-api/home-timeline/read") == 0 ||
		count("/wrk2-api/user-timeline/read") == 0 {
		t.Error("got a workload that sent nothing")
	}
	code, stdout, stderr = command(t.Context(), "load", "--target", url, "--schedule", file, "--lateness-bound", "1m",
		"--json")
	if err := json.Unmarshal([]byte(stdout), &second); err != nil || code != exitOK {
		t.Fatalf("got exit code %d, %v: %s", code, err, stderr)
	}
	if first.Requests == 0 || first.Requests != second.Requests || first.Dropped != 0 || second.Seed != 11 ||
		len(first.Workloads) != 3 {
		t.Errorf("got %d requests and then %d, seed %d, want the same twice with seed 11", first.Requests,
			second.Requests, second.Seed)
	}
}

func TestLoadInterruptedStillReports(t *testing.T) {
	url, count := loadTestServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for deadline := time.Now().Add(time.Minute); count("/") < 10 && time.Now().Before(deadline); {
			<-time.After(time.Millisecond)
		}
		cancel()
	}()
	file := filepath.Join(t.TempDir(), "r.json")
	code, stdout, stderr := command(ctx, "load", "--target", url, "--rate", "200", "--duration", "1h", "--report", file)
	if code != exitInterrupted || !strings.Contains(stdout, "INTERRUPTED after") ||
		!strings.Contains(stderr, "interrupted") {
		t.Errorf("got exit code %d, stdout %s, stderr %s, want %d and a report", code, stdout, stderr, exitInterrupted)
	}
	if data, err := os.ReadFile(file); err != nil || !json.Valid(data) {
		t.Errorf("got report %q, %v, want JSON", data, err)
	}
}

func TestLoadSendsFilesOfTargets(t *testing.T) {
	url, count := loadTestServer(t)
	file := filepath.Join(t.TempDir(), "targets.txt")
	if err := os.WriteFile(file, fmt.Appendf(nil, "GET %s/a\n\nPOST %s/b\n", url, url), 0o644); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := command(t.Context(), "load", "--targets", file, "--steps", "0s=100,100ms=200", "--arrival",
		"fixed", "--duration", "200ms", "--lateness-bound", "1m")
	if code != exitOK || count("/a") != 15 || count("/b") != 15 || !strings.Contains(stdout, "fixed at 150/s") {
		t.Errorf("got exit code %d, %d and %d requests: %s %s, want 15 each", code, count("/a"), count("/b"), stdout,
			stderr)
	}
}

func TestLoadRefusesWrongUsage(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.toml")
	if err := os.WriteFile(broken, []byte("burst = 1"), 0o644); err != nil {
		t.Fatal(err)
	}
	ok := []string{"--target", "http://127.0.0.1:1", "--rate", "10", "--duration", "1s"}
	with := func(args ...string) []string { return append(append([]string{}, ok...), args...) }
	for what, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no target":               {[]string{"--rate", "1", "--duration", "1s"}, exitUsage, "target"},
		"a target that is no URL": {with("--target", "localhost:80"), exitUsage, "target"},
		"a rate of 0":             {with("--rate", "0"), exitUsage, "--rate"},
		"a negative rate":         {with("--rate", "-3"), exitUsage, "--rate"},
		"two rates":               {with("--ramp", "0s=1,1s=2"), exitUsage, "exactly one"},
		"a ramp that is none": {[]string{"--target", "http://h", "--ramp", "fast", "--duration", "1s"},
			exitUsage, "--ramp"},
		"a sine that is none": {[]string{"--target", "http://h", "--sine", "1,2", "--duration", "1s"},
			exitUsage, "--sine"},
		"no duration":                     {[]string{"--target", "http://h", "--rate", "1"}, exitUsage, "--duration"},
		"an unknown arrival":              {with("--arrival", "uniform"), exitUsage, "uniform"},
		"two arrivals without a schedule": {with("--arrival", "exp,fixed"), exitUsage, "--arrival"},
		"an unknown workload":             {with("--workload", "login"), exitUsage, "login"},
		"a CV beyond the highest":         {with("--arrival", "norm", "--cv", "2"), exitUsage, "cv 2"},
		"a header without a colon":        {with("--header", "X"), exitUsage, "--header"},
		"a header with a line break":      {with("--header", "X: a\r\nY: b"), exitUsage, "--header"},
		"a certificate without a key":     {with("--cert", "c.pem"), exitUsage, "--key"},
		"a schedule and a rate":           {with("--schedule", "random"), exitUsage, "--schedule"},
		"a total without a schedule":      {with("--total", "1h"), exitUsage, "--total"},
		"a range the wrong way": {[]string{"--target", "http://h", "--schedule", "random", "--random-rate",
			"5:1"}, exitUsage, "rate 5 to 1"},
		"an argument": {with("more"), exitUsage, "more"},
		"a schedule that does not exist": {[]string{"--target", "http://h", "--schedule",
			filepath.Join(dir, "none")}, exitConfig, "none"},
		"a schedule that is broken": {[]string{"--target", "http://h", "--schedule", broken}, exitConfig,
			"broken.toml"},
		"a file of targets that is missing": {[]string{"--targets", filepath.Join(dir, "none"), "--rate", "1",
			"--duration", "1s"}, exitConfig, "none"},
		"roots that are missing":          {with("--root-ca", filepath.Join(dir, "none")), exitConfig, "none"},
		"roots that are no certificates":  {with("--root-ca", broken), exitConfig, "no PEM"},
		"a report that cannot be written": {with("--report", filepath.Join(dir, "no", "r.json")), exitConfig, "r.json"},
	} {
		code, stdout, stderr := command(t.Context(), append([]string{"load"}, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.says) || stdout != "" || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: got exit code %d, stdout %q, stderr %q, want %d and one line with %q", what, code, stdout,
				stderr, c.code, c.says)
		}
	}
}

// A load of which nothing was answered is a failure: a script must not take its latencies for those of a server.
func TestLoadCountsAServerThatRefuses(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	code, stdout, stderr := command(t.Context(), "load", srv.URL, "--rate", "100/1s", "--duration", "200ms",
		"--arrival", "fixed", "--lateness-bound", "1m")
	if code != exitFailure || !strings.Contains(stdout, "20 × refused") ||
		!strings.Contains(stderr, "all 20 requests failed, for instance: ") {
		t.Errorf("got exit code %d, %s and %s, want 20 refused", code, stdout, stderr)
	}
}
