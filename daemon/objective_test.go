package daemon

import (
	"strings"
	"testing"

	"trimtab/control"
	"trimtab/helper"
	"trimtab/pursuit"
	"trimtab/scaling"
	"trimtab/tuner"
	"trimtab/vts"
)

// pursuing is a configuration with an objective, four lines of it.
const pursuing = `
[objective]
kind = "throughput"
admission = "lua"
[[upstream]]
name = "one"
bound = "35ms"
max_blocked = 0.5
[[upstream]]
name = "two"
bound = "110ms"
importance = 5.0
`

func TestObjectivesInTheConfiguration(t *testing.T) {
	with := func(old, new string) string { return strings.Replace(pursuing, old, new, 1) }
	for _, c := range []struct {
		name, text string
		want       string // in the error; empty: none
	}{
		{"throughput with admission", pursuing, ""},
		{"an objective that nobody knows", with(`"throughput"`, `"joy"`), `objective.kind "joy"`},
		{"importance 0", with("importance = 5.0", "importance = 0.0"), "importance 0"},
		{"importance without end", with("importance = 5.0", "importance = inf"), "importance +Inf"},
		{"a knee before the bound", with(`bound = "35ms"`, "bound = \"35ms\"\nknee = \"20ms\""), "at least the bound"},
		{"a guarantee that promises nothing", with(`"throughput"`, `"guarantee"`), "promised something"},
		{"a delay bound without a bound", with(`"throughput"`, `"delay_bound"`) + "[[upstream]]\nname = \"three\"\n",
			"upstream three: the objective delay_bound wants a bound"},
		{"admission of another kind", with(`"lua"`, `"prayer"`), "objective.admission"},
		{"shares without admission", with("admission = \"lua\"\n", ""), "max_blocked wants objective.admission"},
		{"by rate without a zone", with(`"lua"`, `"rate"`), "limit_zone"},
		{"tardiness and admission contradict each other", with(`"throughput"`, `"tardiness"`),
			"admission of one contradicts the objective tardiness"},
		{"more than everything", with("max_blocked = 0.5", "max_blocked = 1.5"), "0 (off) to 1"},
		{"another status", with(`admission = "lua"`, "admission = \"lua\"\nstatus = 404"), "503 or 429"},
		{"wishes without an objective", with(`kind = "throughput"`, `kind = ""`), "wants [objective] kind"},
		{"with another learner", pursuing + "[tuner]\nlearner = \"grid\"\n", "tuner.learner"},
		{"scaling without a hook", pursuing + "[[scaling.server]]\nname = \"a\"\nmin = 1\nmax = 3\n",
			"want command or url"},
		{"scaling by a blind hook that does not say what there is", pursuing + "[scaling]\ncommand = " +
			"[\"/bin/true\"]\n[[scaling.server]]\nname = \"a\"\nmin = 1\nmax = 3\n", "want units"},
		{"scaling by a hook", pursuing + "[scaling]\ncommand = [\"/bin/true\"]\n[[scaling.server]]\nname = " +
			"\"a\"\nmin = 1\nmax = 3\nunits = 2\n", ""},
		{"scaling by two hooks", pursuing + "[scaling]\ncommand = [\"/bin/true\"]\nurl = \"http://x/\"\n",
			"one of them"},
		{"scaling by no URL", pursuing + "[scaling]\nurl = \"x\"\n", "scaling.url"},
		{"scaling from 3 to 2", pursuing + "[scaling]\ncommand = [\"/bin/true\"]\n[[scaling.server]]\nname = " +
			"\"a\"\nmin = 3\nmax = 2\nunits = 2\n", "3 to 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseConfig("trimtab.toml", c.text)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// With nothing configured everything is as it was.
func TestObjectivesAreOffUnlessSwitchedOn(t *testing.T) {
	cfg, err := ParseConfig("trimtab.toml", "")
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPolicy(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := p.(*tuner.Tuner); !ok {
		t.Errorf("got a %T, want the tuner", p)
	}
	s, err := newSession(cfg, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if s.admission != nil || s.scaler != nil || len(s.controls()) > 0 {
		t.Errorf("got admission %v and scaling %v, want none", s.admission, s.scaler)
	}
	if cfg, err = ParseConfig("trimtab.toml", pursuing); err != nil {
		t.Fatal(err)
	}
	if p, err = NewPolicy(cfg); err != nil {
		t.Fatal(err)
	}
	if _, ok := p.(*pursuit.Policy); !ok || tunerOf(p) == nil {
		t.Errorf("got a %T, want one that pursues the objective and can be kept", p)
	}
	limits := cfg.admissionLimits()
	if len(limits) != 1 || limits["one"] != (control.AdmissionLimits{Most: 0.5}) {
		t.Errorf("admission: got %v, want at most half of upstream one", limits)
	}
}

// What a rate refuses nobody counts: it is worked out while the rate binds, and nothing is made up when it does not.
func TestWhatARateRefusesIsWorkedOut(t *testing.T) {
	for _, c := range []struct {
		name             string
		blocked, offered float64 // when the rate was set
		carried          uint64  // in two seconds
		want             uint64
	}{
		{"nothing is refused", 0, 100, 150, 0},
		{"the rate binds: what is carried is its share", 0.4, 100, 120, 80},
		{"with what servers still had", 0.4, 100, 130, 70},
		{"clearly less is carried than the rate: nobody is refused", 0.4, 100, 90, 0},
		{"more is carried than was offered", 0.1, 100, 240, 0},
		{"everything may be refused", 1, 100, 0, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := &admission{blocked: map[string]float64{"u": c.blocked}, offered: map[string]float64{"u": c.offered}}
			s := &vts.Sample{Groups: []vts.GroupSample{{Name: "u",
				Peers: []vts.PeerSample{{Server: "a", Requests: c.carried}}}}}
			a.guess(s, 2)
			if got := s.Groups[0].Refused; got != c.want {
				t.Errorf("got %d refused, want %d", got, c.want)
			}
		})
	}
}

func TestAConfinedProcessHasTheRootDoWhatNeedsIt(t *testing.T) {
	byProgram := "[objective]\nkind = \"cost\"\n[[upstream]]\nname = \"one\"\nbound = \"35ms\"\n" +
		"[scaling]\ncommand = [\"/bin/true\"]\n[[scaling.server]]\nname = \"a\"\nmin = 1\nmax = 3\nunits = 2\n"
	for _, c := range []struct {
		name, text             string
		program, byURL, byRate bool
	}{
		{"rates in NGINX's files", strings.NewReplacer(`"lua"`, `"rate"`, "max_blocked = 0.5",
			"max_blocked = 0.5\nlimit_zone = \"z\"").Replace(pursuing),
			false, false, true},
		{"a program that scales", byProgram, true, false, false},
		{"a call that scales needs no root", strings.Replace(byProgram, `command = ["/bin/true"]`,
			`url = "http://127.0.0.1:9/{server}"`, 1), false, true, false},
		{"without an objective there is nothing", "", false, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := ParseConfig("trimtab.toml", c.text)
			if err != nil {
				t.Fatal(err)
			}
			s, err := newSession(cfg, nil, &helper.Client{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			_, asks := s.scaler.(askedScaler)
			_, calls := s.scaler.(*scaling.Scaler)
			if asks != c.program || calls != c.byURL || (s.admission != nil) != c.byRate {
				t.Errorf("scaler %T, admission %v", s.scaler, s.admission)
			}
			given := newRoot(cfg, nil).Controls
			if (given.Scaler != nil) != c.program ||
				(given.Zones["one"] == "z" && given.MostBlocked["one"] == 0.5) != c.byRate ||
				len(given.Zones) > 0 != c.byRate {
				t.Errorf("the root may use %+v", given)
			}
		})
	}
}
