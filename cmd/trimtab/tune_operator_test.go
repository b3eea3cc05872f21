package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
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
	added := strings.Contains(string(text), "server 127.0.0.1:9 down;") || strings.Contains(string(text),
		"server 127.0.0.1:9 weight=1 down;")
	if !strings.Contains(string(text), a+" weight=97;") || !added {
		t.Errorf("--on-exit restore: got %s, want the operator's weight 97 and the new server: %s", text, log)
	}
}
