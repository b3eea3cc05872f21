package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"trimtab/daemon"
)

// Every flag and every key has one variable, and no two have the same one, unless they mean the same.
func TestVariablesAreUnique(t *testing.T) {
	seen := map[string]string{
		"TRIMTAB_NGINX": "of the tests", "TRIMTAB_NGINX_MODULES": "of the tests", "TRIMTAB_MATRIX": "of a script",
	}
	for name, key := range daemon.Variables() {
		if seen[name] != "" {
			t.Errorf("%s is %s and key %s", name, seen[name], key)
		}
		seen[name] = "key " + key
	}
	n := 0
	eachCommand(newRoot(&env{stdout: io.Discard, stderr: io.Discard}), func(cmd *cobra.Command) {
		if !cmd.Runnable() {
			return
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			name, flag := variableOf(cmd, f), cmd.CommandPath()+" --"+f.Name
			// A command and a table of the same name mean the same by the same word: the plan of an experiment, the
			// servers of a fleet.
			shared := seen[name] == "key "+cmd.Name()+"."+strings.ReplaceAll(f.Name, "-", "_")
			if n++; seen[name] != "" && !shared {
				t.Errorf("%s is %s and %s", name, seen[name], flag)
			}
			seen[name] = flag
		})
	})
	if n < 100 {
		t.Errorf("got %d flags, want those of all commands", n)
	}
}

func TestRateFlag(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       float64
		fails      bool
	}{
		{"a number is per second", "50", 50, false},
		{"as vegeta writes it", "50/1s", 50, false},
		{"without the one", "50/s", 50, false},
		{"per minute", "3000/1m", 50, false},
		{"per half a second", "25/500ms", 50, false},
		{"a part", "0.5", 0.5, false},
		{"no number", "many", 0, true},
		{"no time", "50/", 0, true},
		{"per nothing", "50/0s", 0, true},
		{"a time that is none", "50/year", 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r rateFlag
			err := r.Set(c.text)
			if (err != nil) != c.fails || float64(r) != c.want {
				t.Errorf("Set(%q): got %g, %v, want %g, failing: %t", c.text, r, err, c.want, c.fails)
			}
		})
	}
}

// What is given goes before the variable, and the variable before the default.
func TestVariableOfAFlag(t *testing.T) {
	t.Setenv("TRIMTAB_LOAD_DURATION", "never")
	code, _, stderr := command(t.Context(), "load", "http://127.0.0.1:1", "--rate", "1")
	if want := `trimtab: TRIMTAB_LOAD_DURATION="never"`; code != exitUsage || !strings.HasPrefix(stderr, want) {
		t.Errorf("got code %d and %q, want %d and %q", code, stderr, exitUsage, want)
	}
	code, _, stderr = command(t.Context(), "load", "http://127.0.0.1:1", "--rate", "1", "--duration", "0s")
	if want := "trimtab: --duration 0s: want more than 0"; code != exitUsage || !strings.HasPrefix(stderr, want) {
		t.Errorf("got code %d and %q, want %d and %q", code, stderr, exitUsage, want)
	}
}

func TestValuesAreCompleted(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "nginx.conf")
	text := "events {}\nhttp { upstream app { server 127.0.0.1:1; server 127.0.0.1:2; } upstream api { server 127.0.0.1:3; server b:80; } }\n"
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "trimtab.toml")
	if err := os.WriteFile(config, []byte(fmt.Sprintf("[nginx]\nconfig = %q\n", conf)), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		words []string
		want  string // among the values; several are joined by blanks
	}{
		{"scenarios", []string{"run", "--scenario", ""}, "capacity-1-2-4"},
		{"scenarios as arguments", []string{"scenario", "show", ""}, "daily-sine"},
		{"policies", []string{"run", "--policy", "tu"}, "tuned"},
		{"workloads", []string{"load", "--workload", ""}, "compose-post mixed url"},
		{"arrival laws", []string{"load", "--arrival", ""}, "fixed exp norm zipf"},
		{"upstreams of an NGINX configuration", []string{"nginx", "set", "-c", conf, "--upstream", ""}, "app api"},
		{"servers of an upstream, with their sign", []string{"nginx", "set", "-c", conf, "--upstream", "app", "--weight", ""}, "127.0.0.1:1= 127.0.0.1:2="},
		{"upstreams of the daemon's configuration", []string{"drain", "--config", config, "--upstream", ""}, "app api"},
		{"servers of an upstream", []string{"drain", "--config", config, "--upstream", "api", "--server", ""}, "127.0.0.1:3 b:80"},
		{"ways of changing weights", []string{"init", "--actuator", ""}, "auto reload live dns"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := command(t.Context(), append([]string{"__complete"}, c.words...)...)
			lines := strings.Split(stdout, "\n")
			for _, want := range strings.Fields(c.want) {
				if code != exitOK || !slices.Contains(lines, want) {
					t.Errorf("got code %d, %q and %s, want %q", code, lines, stderr, want)
				}
			}
			if c.name == "servers of an upstream" && slices.Contains(lines, "127.0.0.1:1") {
				t.Errorf("got %q, want only those of the upstream", lines)
			}
		})
	}
}
