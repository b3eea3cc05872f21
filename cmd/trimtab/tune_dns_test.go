package main

import (
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"trimtab/nginx/dns"
	"trimtab/nginx/instance"
)

// needDNS skips the test where NGINX takes no weights by DNS.
func needDNS(t *testing.T) {
	t.Helper()
	needNGINX(t)
	path, err := instance.Binary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if old, err := tooOld(t.Context(), path); err != nil || old != "" {
		t.Skip(old, err)
	}
}

// kept is where the state is: once a daemon of two processes has run, in the folder of its worker.
func (b *bed) kept() string {
	path := filepath.Join(b.dir, "state", "worker", "dns.json")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	return filepath.Join(b.dir, "state", "dns.json")
}

// dns runs trimtab nginx dns VERB against the bed.
func (b *bed) dns(t *testing.T, verb string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	all := append([]string{"nginx", "dns", verb, "--listen", b.resolver, "--state", b.kept()}, args...)
	if verb == "install" || verb == "reset" {
		all = append(all, "-c", b.Config, "--nginx", b.Binary, "--prefix", b.Dir, "--state-dir", filepath.Join(b.Dir,
			"nginx-state"))
	}
	return command(t.Context(), all...)
}

// answered are the weights of the servers that DNS answers with, in their order.
func (b *bed) answered(t *testing.T) []int {
	t.Helper()
	st, err := dns.Store{Path: b.kept()}.Read()
	if err != nil {
		t.Fatal(err)
	}
	var w []int
	for _, o := range st.Upstreams["app"].Servers {
		w = append(w, o.Weight)
	}
	return w
}

// posts sends POSTs over kept connections until stop is called, which returns how many there were and what failed
// first.
func (b *bed) posts(t *testing.T) (stop func() (int, error)) {
	t.Helper()
	var mu sync.Mutex
	sent, first := 0, error(nil)
	done := make(chan struct{})
	var clients sync.WaitGroup
	for range 6 {
		clients.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				resp, err := http.Post(b.front, "text/plain", strings.NewReader("x"))
				if err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					if resp.StatusCode != 200 {
						err = errors.New(resp.Status)
					}
				}
				mu.Lock()
				if sent++; first == nil {
					first = err
				}
				mu.Unlock()
			}
		})
	}
	stop = sync.OnceValues(func() (int, error) { close(done); clients.Wait(); return sent, first })
	t.Cleanup(func() { _, _ = stop() })
	return stop
}

// The whole way: installed by the command, tuned by the daemon, killed without notice, started again, and taken out.
func TestE2EWeightsByDNS(t *testing.T) {
	b := newBed(t, bedPlan{kind: "dns", bare: true, upstream: "keepalive 8;", daemon: "[tuner]\nlearner = \"l3\"\n",
		http:    "proxy_http_version 1.1; proxy_set_header Connection \"\";",
		servers: []http.Handler{after(30 * time.Millisecond), after(3 * time.Millisecond)}})
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	if code, out, errs := b.dns(t, "install"); code != 0 || !strings.Contains(out, "nginx -t accepts this") ||
		!strings.Contains(out, "Nothing was written") {
		t.Fatalf("install: code %d: %s%s", code, out, errs)
	}
	if code, out, errs := b.dns(t, "install", "--write"); code != 0 || !strings.Contains(out, "Written, and in force") {
		t.Fatalf("install --write: code %d: %s%s", code, out, errs)
	}
	// A reload may cut an idle connection, which is not what this is about: the load runs between the two.
	stop := b.posts(t)
	daemon := func() *exec.Cmd {
		cmd := exec.Command(path, "tune", "--config", b.config)
		log, err := os.OpenFile(filepath.Join(b.Dir, "daemon.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = log
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	said := func() string { text, _ := os.ReadFile(filepath.Join(b.Dir, "daemon.log")); return string(text) }
	first := daemon()
	defer func() { _ = first.Process.Kill() }()
	await(t, "the faster server to get more", func() bool { w := b.answered(t); return w[1] > w[0] })
	await(t, "NGINX to show it", func() bool {
		code, out, _ := b.dns(t, "show", "--status", b.page)
		return code == 0 && !strings.Contains(out, "not ")
	})

	ended := func() bool { return true }
	if os.Geteuid() == 0 { // two processes, and it is the other one that answers
		ended = gone(workerOf(t, first))
	}
	_ = first.Process.Signal(syscall.SIGKILL)
	_ = first.Wait()
	await(t, "the end of the worker", ended)
	learned := b.answered(t)
	if code, out, _ := b.dns(t, "show"); code != 0 || !strings.Contains(out, "not answered") {
		t.Errorf("show while nobody answers: code %d: %s", code, out)
	}
	if code, _, errs := b.dns(t, "set", "--upstream", "app", "--weight", b.servers[0]+"=7"); code != exitRefused {
		t.Errorf("set while nobody answers: code %d: %s, want %d", code, errs, exitRefused)
	}
	if now := b.answered(t); !slices.Equal(now, learned) {
		t.Errorf("after kill -9: got %v, want the weights to stay %v", now, learned)
	}

	second := daemon()
	defer func() { _ = second.Process.Kill() }()
	await(t, "the daemon to answer again", func() bool {
		code, out, _ := b.dns(t, "show", "--status", b.page)
		return code == 0 && !strings.Contains(out, "not ")
	})
	if now := b.answered(t); now[1] <= now[0] {
		t.Errorf("after the restart: got %v, want the weights to go on from %v: %s", now, learned, said())
	}
	_ = second.Process.Signal(syscall.SIGTERM)
	if err := second.Wait(); err != nil {
		t.Errorf("stopped: %v: %s", err, said())
	}
	if sent, err := stop(); err != nil || sent == 0 {
		t.Errorf("%d requests, the first that was lost: %v", sent, err)
	}
	if code, out, errs := b.dns(t, "reset", "--lines"); code != 0 {
		t.Fatalf("reset --lines: code %d: %s%s", code, out, errs)
	}
	if now, err := os.ReadFile(b.Config); err != nil || string(now) != b.conf {
		t.Errorf("the way back: got %v\n%s", err, now)
	}
	if strings.Contains(said(), "level=ERROR") {
		t.Errorf("the daemon logged errors: %s", said())
	}
}

func TestDNSInstallOnAnOldNGINX(t *testing.T) {
	fake := filepath.Join(t.TempDir(), "nginx")
	if err := os.WriteFile(fake, []byte("#!/bin/sh\necho 'nginx version: nginx/1.26.3' >&2\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	stdout, stderr := new(buffer), new(buffer)
	code := run(t.Context(), []string{"nginx", "dns", "install", "--nginx", fake, "-c", "/nonexistent"}, stdout, stderr)
	if code != exitRefused || !strings.Contains(stderr.String(), "1.27.3") || !strings.Contains(stderr.String(),
		"live install") {
		t.Errorf("got code %d: %s, want to be told the version that is needed and what works", code, stderr)
	}
}
