package main

import (
	"bufio"
	"context"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"trimtab/daemon"
	"trimtab/localhttp"
	"trimtab/plain"
)

// unit checks the systemd unit against the configuration.
func (x *examination) unit(ctx context.Context, path string, cfg *daemon.Config) {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		x.skip(areaUnit, "systemd", "it does not run here")
		return
	}
	text, err := exec.CommandContext(ctx, "systemctl", "cat", "trimtab.service").Output()
	if err != nil {
		x.skip(areaUnit, "unit", "there is no trimtab.service")
		return
	}
	unit := string(text)
	if !strings.Contains(unit, "--config "+path) {
		x.warn(areaUnit, "unit", "trimtab doctor --config with the unit's, or systemctl edit trimtab", "trimtab.service runs another configuration than %s", path)
	} else {
		x.ok(areaUnit, "unit", "trimtab.service runs this configuration")
	}
	if cfg.User != daemon.DefaultUser && !strings.Contains(unit, "User="+cfg.User) {
		x.fail(areaUnit, "user", "systemctl edit trimtab: User="+cfg.User, "user = %q here, another one in the unit", cfg.User)
	}
	if x.loaded != nil && cfg.Actuator.Kind == "reload" {
		for _, u := range x.loaded.Upstreams {
			if dir := filepath.Dir(u.File.Real); !mayWrite(unit, dir) {
				x.fail(areaUnit, "files", "systemctl edit trimtab: [Service] ReadWritePaths="+dir, "the unit may not write to %s", dir)
			}
		}
	}
	state, _ := exec.CommandContext(ctx, "systemctl", "is-active", "trimtab.service").Output()
	switch s := strings.TrimSpace(string(state)); s {
	case "active":
		x.ok(areaUnit, "running", "active")
	case "failed":
		x.fail(areaUnit, "running", "journalctl -u trimtab -n 50", "failed")
	default:
		x.warn(areaUnit, "running", "systemctl enable --now trimtab", "%s", s)
	}
}

// mayWrite reports whether a unit's text lets its process write to the folder.
func mayWrite(unit, dir string) bool {
	if !strings.Contains(unit, "ProtectSystem=strict") {
		return true
	}
	for line := range strings.Lines(unit) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "ReadWritePaths=")
		if !ok {
			continue
		}
		for path := range strings.FieldsSeq(rest) {
			path = strings.TrimLeft(path, "-+")
			if dir == path || strings.HasPrefix(dir, strings.TrimSuffix(path, "/")+"/") {
				return true
			}
		}
	}
	return false
}

// daemon asks the running daemon whether it is ready.
func (x *examination) daemon(ctx context.Context, cfg *daemon.Config) {
	if cfg.Listen == "" {
		x.skip(areaDaemon, "ready", "listen = \"\": it cannot be asked")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	client, base := localhttp.Client(cfg.Listen)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/readyz", nil)
	if err != nil {
		x.skip(areaDaemon, "ready", "%v", err)
		return
	}
	resp, err := client.Do(req)
	if err != nil {
		x.skip(areaDaemon, "ready", "no daemon answers at %s", cfg.Listen)
		return
	}
	defer resp.Body.Close()
	first, _ := bufio.NewReader(io.LimitReader(resp.Body, 4096)).ReadString('\n')
	if first = strings.TrimSpace(first); resp.StatusCode == http.StatusOK {
		x.ok(areaDaemon, "ready", "the daemon at %s is: %s", cfg.Listen, first)
	} else {
		x.fail(areaDaemon, "ready", "trimtab explain says why", "the daemon at %s is not: %s", cfg.Listen, first)
	}
}

// otherVariables are those of the environment that begin like ours and are of tests and scripts.
var otherVariables = []string{"TRIMTAB_NGINX", "TRIMTAB_NGINX_MODULES", "TRIMTAB_MATRIX", "TRIMTAB_SUITE"}

// knownVariables are those of all keys and flags.
func knownVariables() []string {
	known := slices.Collect(maps.Keys(daemon.Variables()))
	eachCommand(newRoot(&env{stdout: io.Discard, stderr: io.Discard}), func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, variableOf(cmd, f)) })
	})
	return append(known, otherVariables...)
}

// unknownVariables are those of the environment that have no effect.
func unknownVariables() map[string]bool {
	known, out := knownVariables(), map[string]bool{}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if strings.HasPrefix(name, "TRIMTAB_") && !slices.Contains(known, name) {
			out[name] = true
		}
	}
	return out
}

func nearVariable(name string) string { return plain.DidYouMean(name, knownVariables()) }
