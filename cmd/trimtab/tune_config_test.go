package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"trimtab/tuner"
)

// The example documents every field: with its default, or the default of the package that it goes to.
func TestExampleConfigurationIsComplete(t *testing.T) {
	text, err := os.ReadFile("../../scripts/trimtab.toml")
	if err != nil {
		t.Fatal(err)
	}
	example, err := parseDaemonConfig("trimtab.toml", string(text))
	if err != nil {
		t.Fatal(err)
	}
	var missing []string
	var walk func(prefix string, v, d reflect.Value)
	walk = func(prefix string, v, d reflect.Value) {
		for i := range v.NumField() {
			name := v.Type().Field(i).Tag.Get("toml")
			if name == "" {
				continue
			}
			switch f := v.Field(i); {
			case f.Kind() == reflect.Struct:
				if !regexp.MustCompile(`(?m)^\[` + name + `\] *( #.*)?$`).Match(text) {
					missing = append(missing, "["+name+"]")
				}
				walk(name+".", f, d.Field(i))
			case f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct:
				for j := range f.Type().Elem().NumField() {
					key := f.Type().Elem().Field(j).Tag.Get("toml")
					if !regexp.MustCompile(`(?m)^# ` + key + ` = `).Match(text) {
						missing = append(missing, name+"."+key)
					}
				}
			default:
				line := regexp.MustCompile(`(?m)^` + name + ` = .*`).Find(text)
				if line == nil || !strings.Contains(string(line), "#") && f.Kind() != reflect.Map {
					missing = append(missing, prefix+name+" with a comment")
				}
				if prefix != "tuner." && prefix != "regimes." && f.Kind() != reflect.Map && f.Kind() != reflect.Slice && f.Interface() != d.Field(i).Interface() {
					t.Errorf("%s%s: the example has %v, the default is %v", prefix, name, f.Interface(), d.Field(i).Interface())
				}
			}
		}
	}
	walk("", reflect.ValueOf(*example), reflect.ValueOf(*defaultDaemonConfig()))
	if len(missing) > 0 {
		t.Errorf("scripts/trimtab.toml does not document %s", strings.Join(missing, ", "))
	}
}

func TestConfigurationIsStrict(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"an empty file means the defaults", "", ""},
		{"an unknown key", "intervall = \"3s\"", "unknown key intervall"},
		{"an unknown key in a section, with its line", "[tuner]\nheadrom = 2.0", "trimtab.toml:2: unknown key tuner.headrom"},
		{"a number where a text is wanted, with its line", "log_level = 3", "trimtab.toml:1: log_level: "},
		{"a value out of range in a section, with its line", "[status]\n\nmax_mib = 0", "trimtab.toml:3: status.max_mib 0"},
		{"a value that the tuner refuses, with its line", "[tuner]\ngamma = 0.0\nheadroom = 0.5", "trimtab.toml:3: tuner.headroom 0.5"},
		{"text that is no TOML, with its line", "interval = \"3s\"\nlisten =", "trimtab.toml:2"},
		{"a time without a unit", "interval = \"3\"", "3s or 30m"},
		{"a negative time", "observe_first = \"-1s\"", "negative"},
		{"an interval out of range", "interval = \"1ms\"\n[status]\npoll = \"1ms\"", "100ms to 1h"},
		{"polls rarer than decisions", "[status]\npoll = \"1m\"", "status.poll"},
		{"metrics for everybody", "listen = \"0.0.0.0:9146\"", "loopback"},
		{"a relative state folder", "state_dir = \"state\"", "absolute"},
		{"an unknown actuator", "[actuator]\nkind = \"magic\"", "dns, live or reload"},
		{"a control call on another machine", "[actuator]\nkind = \"live\"\naddress = \"10.0.0.1:9147\"", "loopback"},
		{"an upstream named twice", "[[upstream]]\nname = \"a\"\n[[upstream]]\nname = \"a\"", "twice"},
		{"an upstream that is not to be tuned", "[nginx]\nupstreams = [\"a\"]\n[[upstream]]\nname = \"b\"", "not among"},
		{"a priority below 1", "[[upstream]]\nname = \"a\"\npriority = 0.5", "priority"},
		{"a model file that is not there", "[regimes]\nmodel = \"/nonexistent\"", "regimes.model"},
		{"a password file that is not there", "[status]\nuser = \"u\"\npassword_file = \"/nonexistent\"", "password"},
		{"several faults at once, all reported", "on_exit = \"x\"\nlog_level = \"loud\"\n[tuner]\ngamma = 2.0", "gamma"},
	} {
		_, err := parseDaemonConfig("trimtab.toml", c.text)
		if c.want == "" && err == nil {
			continue
		}
		if err == nil || c.want == "" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func FuzzDaemonConfig(f *testing.F) {
	f.Add("interval = \"3s\"\n[tuner]\neject = true\n[[upstream]]\nname = \"a\"\ndeadline = \"60ms\"\n")
	f.Add("[status]\nheaders = { Host = \"x\" }\n")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "_file") || strings.Contains(text, "ca") || strings.Contains(text, "model") {
			t.Skip() // those name files, which may be devices
		}
		c, err := parseDaemonConfig("trimtab.toml", text)
		if err == nil && (c.Interval <= 0 || c.StateDir == "") {
			t.Errorf("accepted %q as %+v", text, c)
		}
	})
}

func TestSystemdAcceptsTheUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	text, err := os.ReadFile("../../scripts/trimtab.service")
	if err != nil {
		t.Fatal(err)
	}
	// verify wants the program to be there.
	unit := strings.ReplaceAll(string(text), "/usr/local/bin/trimtab", "/bin/true")
	path := filepath.Join(t.TempDir(), "trimtab.service")
	if err := os.WriteFile(path, []byte(unit), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), analyze, "verify", path).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze verify: %v: %s", err, out)
	}
}

// The unit has room for what the daemon does with the configuration that is installed beside it.
func TestUnitFitsTheDefaults(t *testing.T) {
	text, err := os.ReadFile("../../scripts/trimtab.service")
	if err != nil {
		t.Fatal(err)
	}
	setting := func(name string) string {
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(line, name+"="); ok {
				return strings.TrimSpace(value)
			}
		}
		t.Fatalf("the unit has no %s", name)
		return ""
	}
	cfg := defaultDaemonConfig()
	limit, err := time.ParseDuration(setting("WatchdogSec") + "s")
	if want := patience(cfg.longestStep()); err != nil || limit < want {
		t.Errorf("WatchdogSec: got %s, %v, want at least %s, that the daemon need not ask for more", limit, err, want)
	}
	writable := strings.Fields(strings.ReplaceAll(setting("ReadWritePaths"), " -", " "))
	for _, dir := range []string{cfg.StateDir, filepath.Dir(cfg.Nginx.Config)} {
		if !slices.Contains(writable, dir) {
			t.Errorf("ReadWritePaths: got %v, want %s among them", writable, dir)
		}
	}
	if got := setting("StateDirectory"); "/var/lib/"+got != cfg.StateDir {
		t.Errorf("StateDirectory: got %s, want the one of state_dir %s", got, cfg.StateDir)
	}
}

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
	if code := run(t.Context(), []string{"tune", "--config", config, "--train-sim", "regimes"}, stdout, stderr); code != 0 || !strings.Contains(stdout.String(), "intervals simulated") {
		t.Fatalf("code %d: %s%s", code, stdout, stderr)
	}
	st, err := tuner.NewStore(filepath.Join(dir, "state", "tuner.db"), nil).Read()
	if err != nil {
		t.Fatal(err)
	}
	if len(st.Snapshot.Pools) == 0 || len(st.Snapshot.Servers) != 3 || st.Snapshot.Servers[0].Address != "127.0.0.1:9001" && st.Snapshot.Servers[1].Address != "127.0.0.1:9001" && st.Snapshot.Servers[2].Address != "127.0.0.1:9001" {
		t.Errorf("got %+v, want tables and the three servers by their addresses", st.Snapshot.Servers)
	}
	stderr = new(buffer)
	if code := run(t.Context(), []string{"tune", "--config", config, "--train", conf}, stdout, stderr); code != exitConfig {
		t.Errorf("--train with a file that holds no statistics: code %d: %s, want %d", code, stderr, exitConfig)
	}
}
