package daemon

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"trimtab/objective"
	"trimtab/tuner/params"
)

// The example documents every field: with its default, or the default of the package that it goes to.
func TestExampleConfigurationIsComplete(t *testing.T) {
	text, err := os.ReadFile("../scripts/trimtab.toml")
	if err != nil {
		t.Fatal(err)
	}
	example, err := ParseConfig("trimtab.toml", string(text))
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
				for _, field := range reflect.VisibleFields(f.Type().Elem()) {
					key := field.Tag.Get("toml")
					if field.Anonymous {
						continue
					}
					if list := field.Type; list.Kind() == reflect.Slice && list.Elem().Kind() == reflect.Struct {
						if !strings.Contains(string(text), "# [["+name+"."+key+"]]") {
							missing = append(missing, "[["+name+"."+key+"]]")
						}
						walkKeys(list.Elem(), name+"."+key, text, &missing)
						continue
					}
					if !regexp.MustCompile(`(?m)^# ` + key + ` = `).Match(text) {
						missing = append(missing, name+"."+key)
					}
				}
			default:
				line := regexp.MustCompile(`(?m)^` + name + ` = .*`).Find(text)
				if line == nil || !strings.Contains(string(line), "#") && f.Kind() != reflect.Map {
					missing = append(missing, prefix+name+" with a comment")
				}
				if prefix != "tuner." && prefix != "regimes." && f.Kind() != reflect.Map && f.Kind() != reflect.Slice &&
					f.Interface() != d.Field(i).Interface() {
					t.Errorf("%s%s: the example has %v, the default is %v", prefix, name, f.Interface(),
						d.Field(i).Interface())
				}
			}
		}
	}
	walk("", reflect.ValueOf(*example), reflect.ValueOf(*Defaults()))
	if len(missing) > 0 {
		t.Errorf("scripts/trimtab.toml does not document %s", strings.Join(missing, ", "))
	}
}

// walkKeys collects the keys of a block that the text does not show as comments.
func walkKeys(block reflect.Type, name string, text []byte, missing *[]string) {
	for i := range block.NumField() {
		key := block.Field(i).Tag.Get("toml")
		if !regexp.MustCompile(`(?m)^# ` + key + ` = `).Match(text) {
			*missing = append(*missing, name+"."+key)
		}
	}
}

// What the example says of the tuner is what the tuner does.
func TestExampleConfigurationHasTheTunersDefaults(t *testing.T) {
	text, err := os.ReadFile("../scripts/trimtab.toml")
	if err != nil {
		t.Fatal(err)
	}
	example, err := ParseConfig("trimtab.toml", string(text))
	if err != nil {
		t.Fatal(err)
	}
	p := params.Default()
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"headroom", example.Tuner.Headroom, p.Headroom},
		{"dead_band", example.Tuner.DeadBand, p.DeadBand},
		{"min_gain", example.Tuner.MinGain, p.MinGain},
		{"change_burst", float64(example.Tuner.Burst), p.BurstChanges},
		{"per_minute", float64(example.Tuner.PerMinute), 60 / p.RefillSec},
		{"error_tardiness", example.Tuner.ErrorTardiness, objective.DefaultErrorTardiness},
	} {
		if c.got != c.want {
			t.Errorf("tuner.%s: the example has %v, the default is %v", c.name, c.got, c.want)
		}
	}
}

func TestConfigurationIsStrict(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"an empty file means the defaults", "", ""},
		{"an unknown key", "intervall = \"3s\"", "unknown key intervall"},
		{"an unknown key in a section, with its line", "[tuner]\nheadrom = 2.0", "trimtab.toml:2: unknown key " +
			"tuner.headrom"},
		{"a number where a text is wanted, with its line", "log_level = 3", "trimtab.toml:1: log_level: "},
		{"a value out of range in a section, with its line", "[status]\n\nmax_mib = 0",
			"trimtab.toml:3: status.max_mib 0"},
		{"a value that the tuner refuses, with its line", "[tuner]\nmin_gain = 0.0\nheadroom = 0.5",
			"trimtab.toml:3: tuner.headroom 0.5"},
		{"tardiness without end, with its line", "[tuner]\nerror_tardiness = inf",
			"trimtab.toml:2: tuner.error_tardiness +Inf"},
		{"a gain without end", "[tuner]\nmin_gain = inf", "tuner.min_gain +Inf"},
		{"a retired key outside its section", "explore = 0.05", "unknown key explore"},
		{"a number that is none", "[tuner]\nheadroom = nan", "tuner.headroom NaN"},
		{"a negative number without end", "[tuner]\ndead_band = -inf", "tuner.dead_band -Inf"},
		{"a number whose square is none", "[tuner]\nerror_tardiness = 1e308", "tuner.error_tardiness 1e+308"},
		{"an odd number of the regimes", "[regimes]\ncertain = nan", "regimes.certain NaN"},
		{"an odd number of an upstream", "[[upstream]]\nname = \"a\"\npriority = inf",
			"trimtab.toml:3: upstream.priority +Inf"},
		{"a share above everything", "[[upstream]]\nname = \"a\"\nmax_share = 1.5", "min_share, max_share: a share " +
			"of 0 to 1.5"},
		{"limits upside down", "[[upstream]]\nname = \"a\"\nmin_share = 0.5\nmax_share = 0.2", "no share is both"},
		{"a pin and a limit of one server", "[[upstream]]\nname = \"a\"\n[[upstream.server]]\naddress = \"b\"\npin = " +
			"0.1\nmin_share = 0.2", "pin is a share already"},
		{"a server twice", "[[upstream]]\nname = \"a\"\n[[upstream.server]]\naddress = " +
			"\"b\"\n[[upstream.server]]\naddress = \"b\"", "server b is there twice"},
		{"pins of more than everything", "[[upstream]]\nname = \"a\"\n[[upstream.server]]\naddress = \"b\"\npin = " +
			"0.6\n[[upstream.server]]\naddress = \"c\"\npin = 0.6", "add up to 120 %"},
		{"limits that the learner does not keep", "[tuner]\nlearner = \"l3\"\n[[upstream]]\nname = " +
			"\"a\"\nmax_share = 0.5", "kept by tuner.learner"},
		{"an unknown key of a server", "[[upstream]]\nname = \"a\"\n[[upstream.server]]\naddress = \"b\"\nweigth = 1",
			"unknown key upstream.server.weigth"},
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
		{"an upstream that is not to be tuned", "[nginx]\nupstreams = [\"a\"]\n[[upstream]]\nname = \"b\"",
			"not among"},
		{"a priority below 1", "[[upstream]]\nname = \"a\"\npriority = 0.5", "priority"},
		{"a model file that is not there", "[regimes]\nmodel = \"/nonexistent\"", "regimes.model"},
		{"a password file that is not there", "[status]\nuser = \"u\"\npassword_file = \"/nonexistent\"", "password"},
		{"several faults at once, all reported", "on_exit = \"x\"\nlog_level = \"loud\"\n[tuner]\nmin_gain = 2.0",
			"min_gain"},
	} {
		_, err := ParseConfig("trimtab.toml", c.text)
		if c.want == "" && err == nil {
			continue
		}
		if err == nil || c.want == "" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestRetiredKeysAreWarnedOf(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"none is set", "[tuner]\nheadroom = 1.2", nil},
		{"one, with its line", "[tuner]\n\nexplore = 0.05",
			[]string{"trimtab.toml:3: tuner.explore has no effect any more: remove it"}},
		{"a value that it never could have had", "[tuner]\ngamma = \"x\"",
			[]string{"trimtab.toml:2: tuner.gamma has no effect any more: remove it"}},
		{"one of another table", "[objective]\nmiss_price = 0.05",
			[]string{"trimtab.toml:2: objective.miss_price has no effect any more: remove it"}},
		{"several, in the order of the file", "[tuner]\nmin_requests = 50\nburst_window = \"2m\"\nexplore = " +
			"0.05\ngamma = 0", []string{
			"trimtab.toml:2: tuner.min_requests has no effect any more: remove it",
			"trimtab.toml:3: tuner.burst_window has no effect any more: remove it",
			"trimtab.toml:4: tuner.explore has no effect any more: remove it",
			"trimtab.toml:5: tuner.gamma has no effect any more: remove it",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := ParseConfig("trimtab.toml", c.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := cfg.Warnings(); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestRetiredKeysAreLoggedOnce(t *testing.T) {
	d, log, _ := testService(t, func(cfg *Config) {
		own, err := ParseConfig("trimtab.toml", "[tuner]\nexplore = 0.05\n")
		if err != nil {
			t.Fatal(err)
		}
		cfg.warnings = own.warnings
	})
	d.followMethods(d.session)
	const want = "trimtab.toml:2: tuner.explore has no effect any more: remove it"
	if got := strings.Count(log.String(), want); got != 1 || !strings.Contains(log.String(), "level=WARN") {
		t.Errorf("logged %d times, want once as a warning: %s", got, log)
	}
}

func FuzzDaemonConfig(f *testing.F) {
	f.Add("interval = \"3s\"\n[tuner]\neject = true\n[[upstream]]\nname = \"a\"\ndeadline = \"60ms\"\n")
	f.Add("[status]\nheaders = { Host = \"x\" }\n")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "_file") || strings.Contains(text, "ca") || strings.Contains(text, "model") {
			t.Skip() // those name files, which may be devices
		}
		c, err := ParseConfig("trimtab.toml", text)
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
	text, err := os.ReadFile("../scripts/trimtab.service")
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
	text, err := os.ReadFile("../scripts/trimtab.service")
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
	cfg := Defaults()
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
	if user := setting("User"); user != cfg.User {
		t.Errorf("User: got %s, want that of the worker, %s", user, cfg.User)
	}
	// What is root's must not be the user's, as StateDirectory= and RuntimeDirectory= would be.
	for _, name := range []string{"StateDirectory", "RuntimeDirectory"} {
		if strings.Contains(string(text), "\n"+name+"=") {
			t.Errorf("the unit has %s=", name)
		}
	}
	for _, line := range []string{"ExecStartPre=+/bin/mkdir -p -m 0700 " + cfg.StateDir,
		"ExecStart=!/usr/local/bin/trimtab tune", "NoNewPrivileges=yes"} {
		if !strings.Contains(string(text), "\n"+line) {
			t.Errorf("the unit has no %s", line)
		}
	}
}

// Whatever is wrong is said at once, each with its line, and what was meant.
func TestConfigurationSaysAllFaultsAtOnce(t *testing.T) {
	_, err := ParseConfig("t.toml", "interval = 3\nlog_level = 7\nheadroom = 2.0\n[tuner]\nheadrom = 2.0\nmin_gain = "+
		"-1.0\nburst = \"x\"\n[status]\nproxied = 1\nmax_mib = 0\n")
	want := []string{
		`t.toml:1: interval "3": want a time such as 3s or 30m`,
		"t.toml:2: log_level: got a whole number, want a text in quotes",
		"t.toml:3: unknown key headroom (did you mean tuner.headroom?)",
		"t.toml:5: unknown key tuner.headrom (did you mean tuner.headroom?)",
		"t.toml:6: tuner.min_gain -1: want 0 (default) to below 1",
		"t.toml:7: tuner.burst: got a text, want a whole number",
		"t.toml:9: status.proxied: got a whole number, want true or false",
		"t.toml:10: status.max_mib 0: want 1 to 1024",
	}
	if err == nil || err.Error() != strings.Join(want, "\n") {
		t.Errorf("got\n%v\nwant\n%s", err, strings.Join(want, "\n"))
	}
}

// A key by its old name counts, and a warning names the new one; both at once are a fault.
func TestRenamedKeysStillCount(t *testing.T) {
	text := "[tuner]\nburst = 3\n[nginx]\nupstreams = [\"a\"]\n[actuator]\nburst = 4\nevery = \"1m\"\ninterval " +
		"= \"9s\"\n"
	c, err := ParseConfig("t.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	if c.Tuner.Burst != 3 || c.Actuator.Burst != 4 || c.Actuator.Every != Span(time.Minute) ||
		c.Actuator.Interval != Span(9*time.Second) ||
		!slices.Equal(c.Nginx.Upstreams, []string{"a"}) {
		t.Errorf("got %d, %d, %v, %v, %q, want what stands under the old names", c.Tuner.Burst, c.Actuator.Burst,
			c.Actuator.Every, c.Actuator.Interval, c.Nginx.Upstreams)
	}
	if want := "t.toml:2: tuner.burst is now called tuner.change_burst"; len(c.Warnings()) != 5 ||
		!slices.Contains(c.Warnings(), want) {
		t.Errorf("got warnings %q, want five, one of them %q", c.Warnings(), want)
	}
	if _, err := ParseConfig("t.toml", "[tuner]\nburst = 3\nchange_burst = 4\n"); err == nil ||
		!strings.Contains(err.Error(), "t.toml:2: both tuner.burst and tuner.change_burst") {
		t.Errorf("got %v, want a fault that names both", err)
	}
}

func TestVariablesSetKeys(t *testing.T) {
	t.Setenv("TRIMTAB_INTERVAL", "5s")
	t.Setenv("TRIMTAB_STATUS_MAX_MIB", "3")
	t.Setenv("TRIMTAB_STATUS_HEADERS", "Host=a.b,X-Y=z")
	t.Setenv("TRIMTAB_NGINX_ONLY", "a,b")
	t.Setenv("TRIMTAB_TUNER_EJECT", "true")
	t.Setenv("TRIMTAB_TUNER_HEADROOM", "1.5")
	c, err := ParseConfig("t.toml", "interval = \"4s\"\n")
	if err != nil {
		t.Fatal(err)
	}
	if time.Duration(c.Interval) != 5*time.Second || c.Status.MaxMiB != 3 || c.Status.Headers["X-Y"] != "z" ||
		len(c.Nginx.Upstreams) != 2 || c.Tuner.Eject != ejectAlways || c.Tuner.Headroom != 1.5 {
		t.Errorf("got %+v, want what the variables say", c)
	}
	t.Setenv("TRIMTAB_STATUS_MAX_MIB", "many")
	if _, err := ParseConfig("t.toml", ""); err == nil ||
		err.Error() != `TRIMTAB_STATUS_MAX_MIB="many": want a whole number` {
		t.Errorf("got %v, want an error that names the variable", err)
	}
	t.Setenv("TRIMTAB_STATUS_MAX_MIB", "0")
	if _, err := ParseConfig("t.toml", ""); err == nil || err.Error() != "TRIMTAB_STATUS_MAX_MIB: status.max_mib 0: "+
		"want 1 to 1024" {
		t.Errorf("got %v, want the fault to name the variable", err)
	}
}
