package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"trimtab/tuner"
)

// edit changes nginx.conf as a person does, and reloads.
func (b *tunedBed) edit(change func(string) string) {
	b.t.Helper()
	text, err := os.ReadFile(b.NGINX.Config)
	if err != nil {
		b.t.Fatal(err)
	}
	b.write(b.NGINX.Config, []byte(change(string(text))))
	if err := syscall.Kill(b.NGINX.PID, syscall.SIGHUP); err != nil {
		b.t.Fatal(err)
	}
}

func TestE2EDaemonOperatorWins(t *testing.T) {
	b := startBed(t)
	b.pace = "300ms 100ms 3s"
	b.configure("")
	b.load()
	_, log, stop := start(t, "tune", "--config", b.config, "--on-exit", "restore")
	await(t, "the first change", b.counted("trimtab_changes_total"))
	a := b.Backends.Addr("a")
	set := func(text string) string {
		lines := strings.SplitAfter(text, "\n")
		for i, line := range lines {
			if strings.Contains(line, "server "+a) {
				fields := strings.Fields(strings.TrimSuffix(strings.TrimSpace(line), ";"))
				lines[i] = fmt.Sprintf("%s %s weight=97;\n", fields[0], fields[1])
			}
		}
		return strings.Join(lines, "")
	}
	b.edit(set)
	await(t, "the operator's edit to be seen", b.counted("trimtab_operator_edits_total"))
	// A server more, which is marked down: steps go on.
	b.edit(func(text string) string {
		return strings.Replace(text, "server "+a, "server 127.0.0.1:9 down;\nserver "+a, 1)
	})
	await(t, "the new server on the metrics page", func() bool {
		return b.metric(`trimtab_down{server="127.0.0.1:9",upstream="compose_backend"}`) == "1"
	})
	steps := b.metric("trimtab_steps_total")
	await(t, "steps to go on", func() bool { return b.metric("trimtab_steps_total") != steps })
	if code := stop(); code != 0 {
		t.Errorf("stopped: code %d: %s", code, log)
	}
	text, err := os.ReadFile(b.NGINX.Config)
	if err != nil {
		t.Fatal(err)
	}
	// A change in between writes the weight that the new server had anyway.
	added := strings.Contains(string(text), "server 127.0.0.1:9 down;") || strings.Contains(string(text), "server 127.0.0.1:9 weight=1 down;")
	if !strings.Contains(string(text), a+" weight=97;") || !added {
		t.Errorf("--on-exit restore: got %s, want the operator's weight 97 and the new server: %s", text, log)
	}
}

func TestStateThatCannotBeWrittenIsSurvived(t *testing.T) {
	cfg := defaultDaemonConfig()
	cfg.StateDir = t.TempDir()
	log := new(buffer)
	d, err := newService(cfg, slog.New(slog.NewTextHandler(log, nil)), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	d.store = tuner.NewStore("/proc/trimtab/tuner.db", nil) // where nobody can make a folder
	for range 3 {
		d.save(d.current())
	}
	if n := testutil.ToFloat64(d.own.saveFailures); n != 3 {
		t.Errorf("got %v failures, want 3", n)
	}
	if n := strings.Count(log.String(), "state cannot be written"); n != 1 {
		t.Errorf("logged %d times, want once: %s", n, log)
	}
	d.store = tuner.NewStore(filepath.Join(cfg.StateDir, "tuner.db"), nil)
	d.save(d.current())
	if !strings.Contains(log.String(), "state is written again") {
		t.Errorf("log: %s, want the recovery", log)
	}
}
