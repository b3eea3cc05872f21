package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"trimtab/vts"
)

// fakePage serves a status page whose counters rise with every poll until it is told to stand still.
func fakePage(t *testing.T) (url string, still *atomic.Bool) {
	t.Helper()
	still = new(atomic.Bool)
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		k := n.Load()
		if !still.Load() {
			k = n.Add(1)
		}
		fmt.Fprintf(w, `{"loadMsec":1,"nowMsec":%d,"connections":{"requests":%d},"upstreamZones":{"app":[{"server":"a:1","requestCounter":%[2]d,"inBytes":0,"outBytes":0,"responses":{"2xx":%[2]d},"requestMsecCounter":0,"responseMsecCounter":0,"weight":1}]}}`,
			time.Now().UnixMilli(), k)
	}))
	t.Cleanup(server.Close)
	return server.URL, still
}

// statuses counts the statuses in a file that must be readable to its end.
func statuses(t *testing.T, path string) int {
	t.Helper()
	f, err := vts.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for n := 0; ; n++ {
		if _, err := f.Next(); err == io.EOF {
			return n
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestE2ECollectLeavesAReadableFileWhenKilled(t *testing.T) {
	url, _ := fakePage(t)
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"s.ndjson", "s.ndjson.zst"} {
		path := filepath.Join(t.TempDir(), name)
		cmd := exec.Command(program, "collect", "--status", url, "--out", path, "--interval", "5ms")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		before := 0
		await(t, "some statuses", func() bool {
			if _, err := os.Stat(path); err == nil {
				before = statuses(t, path) // while it is being written, too
			}
			return before >= 5
		})
		if err := cmd.Process.Kill(); err != nil { // SIGKILL
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if n := statuses(t, path); n < before {
			t.Errorf("%s: got %d statuses after SIGKILL, want the %d from before it at least", name, n, before)
		}
	}
}

func TestE2ECollectEnds(t *testing.T) {
	url, still := fakePage(t)
	summary := func(sentence string, wantCode int, ended string, args ...string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "s.ndjson")
		code, stdout, stderr := trimtab(t, append([]string{"collect", "--status", url, "--out", path, "--interval",
			"10ms", "--json"}, args...)...)
		var got struct {
			Ended    string `json:"ended"`
			Statuses int    `json:"statuses"`
			Requests int    `json:"requests"`
		}
		if code != wantCode || json.Unmarshal([]byte(stdout), &got) != nil || got.Ended != ended || got.Requests == 0 {
			t.Errorf("%s: got exit code %d, %s%s; want %d and ended by %q", sentence, code, stdout, stderr, wantCode,
				ended)
			return
		}
		conforms(t, "trimtab collect", stdout)
		if n := statuses(t, path); n != got.Statuses {
			t.Errorf("%s: got %d statuses in the file, the summary says %d", sentence, n, got.Statuses)
		}
	}
	summary("after a time", exitOK, "duration", "--duration", "500ms")
	other := exec.Command("sleep", "0.7")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = other.Wait() }()
	summary("with a process", exitOK, "process ended", "--until-pid", fmt.Sprint(other.Process.Pid))
	time.AfterFunc(500*time.Millisecond, func() { still.Store(true) })
	summary("when the load ends", exitOK, "load ended", "--until-idle", "300ms")
}

func TestCollectSaysWhatIsWrong(t *testing.T) {
	url, _ := fakePage(t)
	dir := t.TempDir()
	there := filepath.Join(dir, "there.ndjson")
	if err := os.WriteFile(there, []byte("{}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	fresh := filepath.Join(dir, "new.ndjson")
	for _, c := range []struct {
		sentence string
		args     []string
		code     int
		says     string
	}{
		{"no file named", []string{"--status", url}, exitUsage, "out"},
		{"a URL that is none", []string{"--status", "lb", "--out", fresh}, exitUsage, "http://"},
		{"a page that never answers", []string{"--status", "http://127.0.0.1:1/", "--out", fresh, "--wait", "200ms"},
			exitTelemetry, "no status within"},
		{"a file that exists", []string{"--status", url, "--out", there}, exitConfig, "exists"},
		{"a folder that does not", []string{"--status", url, "--out", filepath.Join(dir, "x", "y")}, exitConfig,
			"no such file"},
		{"a process that does not", []string{"--status", url, "--out", fresh, "--until-pid", "99999999"}, exitTelemetry,
			"process 99999999"},
		{"an interval of nothing", []string{"--status", url, "--out", fresh, "--interval", "1us"}, exitUsage,
			"interval"},
		{"a policy nobody knows", []string{"--status", url, "--out", fresh, "--fsync", "often"}, exitUsage, "fsync"},
		{"a header without a colon", []string{"--status", url, "--out", fresh, "--header", "x"}, exitUsage, "header"},
	} {
		code, _, stderr := trimtab(t, append([]string{"collect"}, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: got exit code %d and %q, want %d and %q in it", c.sentence, code, stderr, c.code, c.says)
		}
		if _, err := os.Stat(fresh); err == nil {
			t.Errorf("%s: left a file without a status behind", c.sentence)
			os.Remove(fresh)
		}
	}
}

// What machines say is recorded beside the status, and the mixture of regimes takes it as features.
func TestCollectRecordsMachines(t *testing.T) {
	url, _ := fakePage(t)
	var n atomic.Int64
	machine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		k := n.Add(1)
		fmt.Fprintf(w, "node_cpu_seconds_total{mode=\"idle\"} %d\nnode_cpu_seconds_total{mode=\"user\"} %d\n", k, 3*k)
	}))
	defer machine.Close()
	path := filepath.Join(t.TempDir(), "s.ndjson")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan int, 1)
	var errs bytes.Buffer
	go func() {
		ended <- run(ctx, []string{"collect", "--status", url, "--out", path, "--interval", "50ms", "--host",
			"a:1=" + machine.URL, "--host", "b:1=http://127.0.0.1:1/metrics"}, io.Discard, &errs)
	}()
	await(t, "five statuses with the processor of a:1 three quarters busy, and nothing of b:1", func() bool {
		text, err := os.ReadFile(path)
		return err == nil && strings.Count(string(text), `"hosts":[{"server":"a:1","cpu":0.75}]`) >= 5
	})
	cancel()
	if code := <-ended; code != exitOK {
		t.Fatalf("collect: got code %d: %s", code, errs.String())
	}
	code, stdout, stderr := runCapture("cluster", path, "--features", "load+hosts", "--window", "0", "--k", "1", "--json")
	if code != exitOK || !strings.Contains(stdout, `"d":13`) { // six of the load, seven of one machine
		t.Errorf("cluster: got code %d, %s%s, want 13 features: 6 of load, 7 of the machine", code, stdout, stderr)
	}
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"a machine without an address", []string{"collect", "--out", path + "2", "--host", "a:1"}, "want SERVER=URL"},
		{"an address that is none", []string{"collect", "--out", path + "3", "--host", "a:1=file:///x"}, "--host"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if code, _, stderr := runCapture(c.args...); code != exitUsage || !strings.Contains(stderr, c.want) {
				t.Errorf("got code %d, %s, want %d with %q", code, stderr, exitUsage, c.want)
			}
		})
	}
}
