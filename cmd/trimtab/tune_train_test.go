package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trimtab/daemon"
)

// Training leaves a state behind that a daemon takes over: regimes, tables, servers.
func TestTrain(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "nginx.conf")
	var b strings.Builder
	b.WriteString("http {\n")
	for _, u := range []string{"compose_backend", "home_read_backend", "user_read_backend"} {
		fmt.Fprintf(&b, "upstream %s { server 127.0.0.1:9001; server 127.0.0.1:9002; server 127.0.0.1:9003; }\n", u)
	}
	b.WriteString("}\n")
	config := filepath.Join(dir, "trimtab.toml")
	for path, text := range map[string]string{
		conf:   b.String(),
		config: fmt.Sprintf("state_dir = %q\n[nginx]\nconfig = %q\n", filepath.Join(dir, "state"), conf),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stdout, stderr := new(buffer), new(buffer)
	if code := run(t.Context(), []string{"tune", "--config", config, "--train-sim", "regimes"}, stdout,
		stderr); code != 0 || !strings.Contains(stdout.String(), "intervals simulated") {
		t.Fatalf("code %d: %s%s", code, stdout, stderr)
	}
	st, err := daemon.NewStore(filepath.Join(dir, "state", "tuner.db"), nil).Read()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003"} {
		if !strings.Contains(string(st.Snapshot), address) {
			t.Errorf("got %s, want something of the server %s", st.Snapshot, address)
		}
	}
	stderr = new(buffer)
	if code := run(t.Context(), []string{"tune", "--config", config, "--train", conf}, stdout,
		stderr); code != exitConfig {
		t.Errorf("--train with a file that holds no statistics: code %d: %s, want %d", code, stderr, exitConfig)
	}
}
