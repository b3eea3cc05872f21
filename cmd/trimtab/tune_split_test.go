package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// needRoot skips a test of what only root does.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root runs the daemon as two processes")
	}
}

// workerOf is the process that a daemon has started for what needs no root.
func workerOf(t *testing.T, daemon *exec.Cmd) int {
	t.Helper()
	pid := 0
	await(t, "the worker", func() bool {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", daemon.Process.Pid))
		for _, list := range lists {
			text, _ := os.ReadFile(list)
			for _, word := range strings.Fields(string(text)) {
				line, _ := os.ReadFile("/proc/" + word + "/cmdline")
				if strings.HasPrefix(string(line), "trimtab\x00tune\x00") {
					pid, _ = strconv.Atoi(word)
				}
			}
		}
		return pid != 0
	})
	return pid
}

// processStatus are the fields of /proc/PID/status.
func processStatus(t *testing.T, pid int) map[string]string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		fields[name] = strings.Join(strings.Fields(value), " ")
	}
	return fields
}

// gone reports whether a process has ended.
func gone(pid int) func() bool {
	return func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
}

// On a real NGINX whose configuration only root may read, weights change although nobody who is root reads the network.
func TestE2EDaemonReadsTheNetworkAsNobody(t *testing.T) {
	needRoot(t)
	b := startBed(t)
	b.pace = "300ms 100ms 3s"
	b.configure("")
	if err := os.Chmod(b.NGINX.Config, 0o600); err != nil {
		t.Fatal(err)
	}
	b.load()
	before := b.weights()
	cmd, log := b.process("tune", "--config", b.config)
	worker := workerOf(t, cmd)
	await(t, "a change", b.counted("trimtab_changes_total"))
	if now := b.weights(); fmt.Sprint(now) == fmt.Sprint(before) {
		t.Errorf("weights are %v as before: %s", now, log)
	}
	if info, err := os.Stat(b.NGINX.Config); err != nil || info.Mode().Perm() != 0o600 ||
		info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("the configuration: got %v, %v, want it root's and 0600 as before", info, err)
	}
	status := processStatus(t, worker)
	ids := strings.Fields(status["Uid"])
	if len(ids) != 4 || ids[0] == "0" || ids[1] != ids[0] || ids[2] != ids[0] || ids[3] != ids[0] {
		t.Fatalf("users of the worker: got %q, want one that is not root", status["Uid"])
	}
	for field, want := range map[string]string{"NoNewPrivs": "1", "Seccomp": "2", "CapEff": "0000000000000000",
		"CapPrm": "0000000000000000",
		"Groups": ids[0]} {
		if status[field] != want {
			t.Errorf("%s of the worker: got %q, want %q", field, status[field], want)
		}
	}
	uid, err := strconv.Atoi(ids[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{b.NGINX.Config, b.config, filepath.Join(b.dir, "state", "nginx")} {
		cat := exec.Command("/bin/cat", path)
		cat.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
		if err := cat.Run(); err == nil {
			t.Errorf("the worker's user reads %s", path)
		}
	}
	// Who looks into the worker finds it closed: it can neither be dumped nor, by others of its user, traced.
	look := exec.Command("/bin/ls", fmt.Sprintf("/proc/%d/fd/", worker))
	look.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	if err := look.Run(); err == nil {
		t.Error("another process of the worker's user sees its descriptors")
	}

	t.Run("the worker is killed: the daemon ends, and says so", func(t *testing.T) {
		if err := syscall.Kill(worker, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != exitFailure ||
			!strings.Contains(log.String(), "the worker was ended") {
			t.Errorf("got %v: %s", err, log)
		}
	})
	t.Run("what needs root is killed: the worker ends", func(t *testing.T) {
		cmd, _ := b.process("tune", "--config", b.config)
		worker := workerOf(t, cmd)
		await(t, "steps", b.counted("trimtab_steps_total"))
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		await(t, "the end of the worker", gone(worker))
	})
	t.Run("--single-process takes the state back and goes on", func(t *testing.T) {
		cmd, log := b.process("tune", "--config", b.config, "--single-process")
		await(t, "steps", b.counted("trimtab_steps_total"))
		if ids := processStatus(t, cmd.Process.Pid)["Uid"]; ids != "0 0 0 0" {
			t.Errorf("got users %q", ids)
		}
		info, err := os.Stat(filepath.Join(b.dir, "state", "worker", "tuner.db"))
		if err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
			t.Errorf("the state: got %v, %v, want it root's: %s", info, err, log)
		}
		b.signal(cmd, syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("ended: %v: %s", err, log)
		}
	})
}

// A user of a name is taken; root is not.
func TestE2EDaemonRunsAsWhomItIsTold(t *testing.T) {
	needRoot(t)
	b := startBed(t)
	b.pace = "300ms 100ms 3s"
	b.configure("user = \"nobody\"\non_exit = \"restore\"")
	b.load()
	before := b.weights()
	cmd, log := b.process("tune", "--config", b.config)
	if ids := processStatus(t, workerOf(t, cmd))["Uid"]; !strings.HasPrefix(ids, "65534 ") {
		t.Errorf("got users %q, want 65534", ids)
	}
	await(t, "a change", b.counted("trimtab_changes_total"))
	b.signal(cmd, syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended: %v: %s", err, log)
	}
	if now := b.weights(); fmt.Sprint(now) != fmt.Sprint(before) {
		t.Errorf("restored %v, want %v: %s", now, before, log)
	}
	b.configure("user = \"no-such-user-here\"")
	errs := new(buffer)
	if code := run(t.Context(), []string{"tune", "--config", b.config}, errs, errs); code != exitConfig ||
		!strings.Contains(errs.String(), "useradd --system") {
		t.Errorf("a user that does not exist: got code %d: %s, want the command that makes it", code, errs)
	}
	b.configure("user = \"root\"")
	if code := run(t.Context(), []string{"tune", "--config", b.config}, errs, errs); code != exitConfig ||
		!strings.Contains(errs.String(), "not root") {
		t.Errorf("root: got code %d: %s", code, errs)
	}
}

// SIGTERM ends the daemon within five seconds whatever it is waiting for, and the weights are what they were.
func TestE2EDaemonEndsWithinFiveSeconds(t *testing.T) {
	ends := func(t *testing.T, b *tunedBed, cmd *exec.Cmd, log *buffer, before []int) {
		t.Helper()
		b.signal(cmd, syscall.SIGTERM)
		began := time.Now()
		if err := cmd.Wait(); err != nil || time.Since(began) > 5*time.Second {
			t.Errorf("ended after %s: %v: %s", time.Since(began), err, log)
		}
		if now := b.weights(); fmt.Sprint(now) != fmt.Sprint(before) {
			t.Errorf("weights are %v, want %v: %s", now, before, log)
		}
	}
	t.Run("nginx -t hangs", func(t *testing.T) {
		b := startBed(t)
		real := b.NGINX.Binary
		b.NGINX.Binary = filepath.Join(b.dir, "nginx")
		script := fmt.Sprintf("#!/bin/sh\ncase \"$*\" in *-t*) touch %s.hangs; exec sleep 600;; esac\nexec %s \"$@\"\n",
			b.NGINX.Binary, real)
		if err := os.WriteFile(b.NGINX.Binary, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		b.pace = "300ms 100ms 3s"
		b.configure("")
		b.load()
		before := b.weights()
		cmd, log := b.process("tune", "--config", b.config)
		await(t, "nginx -t", func() bool { _, err := os.Stat(b.NGINX.Binary + ".hangs"); return err == nil })
		ends(t, b, cmd, log, before)
	})
	t.Run("the status page does not answer", func(t *testing.T) {
		b := startBed(t)
		hang := make(chan struct{})
		page := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-hang:
			case <-r.Context().Done():
			}
		}))
		defer page.Close()
		defer close(hang)
		b.StatusURL, b.proxied = page.URL, true
		b.configure("")
		before := b.weights()
		cmd, log := b.process("tune", "--config", b.config)
		await(t, "the daemon", func() bool { code, _ := b.get("/readyz"); return code != 0 })
		ends(t, b, cmd, log, before)
	})
	t.Run("the status page does not answer any more once NGINX has been told: taken back", func(t *testing.T) {
		b := startBed(t)
		original, err := os.ReadFile(b.NGINX.Config)
		if err != nil {
			t.Fatal(err)
		}
		inner := &pageProxy{target: b.StatusURL}
		hang, once := make(chan struct{}), make(chan struct{}, 1)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if now, err := os.ReadFile(b.NGINX.Config); err == nil && string(now) != string(original) {
				select {
				case once <- struct{}{}:
				default:
				}
				select {
				case <-hang:
				case <-r.Context().Done():
				}
				return
			}
			inner.ServeHTTP(w, r)
		}))
		defer server.Close()
		defer close(hang)
		b.StatusURL, b.proxied = server.URL, true
		b.pace = "300ms 100ms 3s"
		b.configure("")
		b.load()
		before := b.weights()
		cmd, log := b.process("tune", "--config", b.config)
		select {
		case <-once:
		case <-time.After(time.Minute):
			t.Fatal("waited two minutes for a change")
		}
		ends(t, b, cmd, log, before)
	})
}

// What the page's buttons and orders for an experiment do passes between the two processes.
func TestE2EDaemonOfTwoProcessesIsHeldByThePageAndProves(t *testing.T) {
	needRoot(t)
	b := startBed(t)
	b.pace = "300ms 100ms 3s"
	token := filepath.Join(b.dir, "page.token")
	if err := os.WriteFile(token, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.configure(fmt.Sprintf("page_token_file = %q\n", token))
	b.load()
	cmd, log := b.process("tune", "--config", b.config)
	worker := workerOf(t, cmd)
	await(t, "a change", b.counted("trimtab_changes_total"))
	hold := filepath.Join(b.dir, "state", "hold")
	press := func(token, body string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+b.listen+"/page/hold",
			strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if code := press("s3cret", `{"hold":true}`); code != http.StatusNoContent {
		t.Fatalf("hold: code %d: %s", code, log)
	}
	if info, err := os.Stat(hold); err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("the hold file: got %v, %v, want root's", info, err)
	}
	await(t, "that changes are held", b.explained("hold file: "+hold))
	if code := press("s3cret", `{"hold":false}`); code != http.StatusNoContent {
		t.Errorf("go on: code %d: %s", code, log)
	}
	if _, err := os.Stat(hold); err == nil {
		t.Error("the hold file is still there")
	}
	if code := press("guessed", `{"hold":true}`); code != http.StatusUnauthorized {
		t.Errorf("another token: code %d", code)
	}

	code, stdout, errs := command(t.Context(), "prove", "--config", b.config, "--start", "--block", "4s", "--wash-out",
		"1s", "--measure", "mean")
	if code != exitOK {
		t.Fatalf("--start: code %d: %s%s", code, stdout, errs)
	}
	await(t, "the experiment", func() bool { code, _ := b.get("/prove"); return code == http.StatusOK })
	info, err := os.Stat(b.kept("prove.json"))
	if ids := strings.Fields(processStatus(t, worker)["Uid"]); err != nil ||
		fmt.Sprint(info.Sys().(*syscall.Stat_t).Uid) != ids[0] {
		t.Errorf("the experiment's file: got %v, %v, want the worker's", info, err)
	}
	if code, stdout, errs := command(t.Context(), "prove", "--config", b.config, "--stop"); code != exitOK {
		t.Errorf("--stop: code %d: %s%s", code, stdout, errs)
	}
	await(t, "its end", func() bool { return strings.Contains(log.String(), "stopped or released by order") })
}
