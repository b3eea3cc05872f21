package deathstarbench

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// whole is a scenario without a fault in it; the tests break it line by line.
const whole = `name = "whole"
duration = "90s"
warmup = "10s"
control_interval = "2s"

[[server]]
name = "a"
slots = 2
service_cv = 0.5
service = { compose-post = "40ms", read-home-timeline = "15ms" }
network_delay = "1ms"
distance = { compose-post = "3ms" }
queue_limit = 7

[[server]]
name = "b"
slots = 1
service = { compose-post = "10ms", read-home-timeline = "5ms" }

[[upstream]]
name = "compose_backend"
workload = "compose-post"
servers = ["a", "b"]
method = "least_conn"
weights = [3, 1]
deadline = "60ms"
priority = 2

[[upstream]]
name = "home_read_backend"
workload = "read-home-timeline"
servers = ["b"]

[[load]]
workload = "compose-post"
arrival = "exp"
phases = [{ at = "0s", rate = 20 }, { at = "30s", rate = 40 }]

[[load]]
workload = "read-home-timeline"
arrival = "fixed"
phases = [{ at = "10s", rate = 30 }]

[[fault]]
server = "a"
kind = "slowdown"
factor = 3.0
at = "20s"
until = "40s"
`

func TestParseFillsInWhatIsLeftOut(t *testing.T) {
	s, err := Parse("dir/other.toml", []byte(strings.Replace(whole, "name = \"whole\"\n", "", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "other" {
		t.Errorf("name: got %q, want that of the file", s.Name)
	}
	b, home := s.Server("b"), s.Upstream(ReadHomeTimeline)
	if b.QueueLimit != DefaultQueueLimit || b.ServiceCV != 0 {
		t.Errorf("server b: got queue limit %d and cv %g, want %d and 0", b.QueueLimit, b.ServiceCV, DefaultQueueLimit)
	}
	if home.Method != RoundRobin || len(home.Weights) != 1 || home.Weights[0] != 1 || home.Priority != 1 ||
		home.Deadline != 0 {
		t.Errorf("home: got %+v, want round robin, weights 1, priority 1 and a learned deadline", home)
	}
	if got := s.Server("a").Delay(ComposePost); got != 4*time.Millisecond {
		t.Errorf("delay of a for composes: got %s, want network delay and distance, 4ms", got)
	}
	if got := s.Server("a").Delay(ReadHomeTimeline); got != time.Millisecond {
		t.Errorf("delay of a for home timelines: got %s, want the network delay, 1ms", got)
	}
	if s.Server("c") != nil || s.Upstream(ReadUserTimeline) != nil {
		t.Error("what is not there: want nil")
	}
}

func TestFaultWithoutUntilLastsToTheEnd(t *testing.T) {
	s, err := Parse("x.toml", []byte(strings.Replace(whole, "until = \"40s\"\n", "", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Faults[0].Until.Std(); got != 90*time.Second {
		t.Errorf("until: got %s, want the duration", got)
	}
}

func TestRateAtFollowsPhases(t *testing.T) {
	s, err := Parse("x.toml", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		workload string
		at       time.Duration
		want     float64
	}{
		{ComposePost, 0, 20},                       // the first phase
		{ComposePost, 30*time.Second - 1, 20},      // up to the second
		{ComposePost, 30 * time.Second, 40},        // which begins on time
		{ComposePost, time.Hour, 40},               // and lasts
		{ReadHomeTimeline, 9 * time.Second, 0},     // nothing before the first phase
		{ReadHomeTimeline, 10 * time.Second, 30},   // then its rate
		{ReadUserTimeline, 10 * time.Second, 0},    // a workload without load
		{ReadHomeTimeline, -1 * time.Second, 0},    // before the start
		{"compose", 10 * time.Second, 0},           // an unknown workload
		{ReadHomeTimeline, 1000 * time.Second, 30}, // after the end
	} {
		if got := s.RateAt(c.workload, c.at); got != c.want {
			t.Errorf("rate of %s at %s: got %g, want %g", c.workload, c.at, got, c.want)
		}
	}
}

// Each case replaces one text of the whole scenario and names the only fault that must be found.
func TestParseReportsFaults(t *testing.T) {
	for _, c := range []struct{ old, replacement, want string }{
		// a key that no table has
		{"warmup =", "warm_up =", `f.toml:3: warm_up: unknown key; known are`},
		// an unknown key in a table of a list
		{"queue_limit =", "queue_length =", `f.toml:13: server[0].queue_length: unknown key`},
		// an unknown key in an inline table
		{"rate = 20 }", "rate = 20, weight = 1 }", `f.toml:37: load[0].phases[0].weight: unknown key`},
		// a duration without a unit
		{`duration = "90s"`, `duration = "90"`, `f.toml:2: duration: "90": want a duration`},
		// a duration without quotes
		{`warmup = "10s"`, `warmup = 10`, `f.toml:3: warmup: 10: want a duration in quotes`},
		// a number in quotes
		{"slots = 2", `slots = "2"`, `f.toml:8: server[0].slots: 2: want a whole number`},
		// a fraction where a whole number is wanted
		{"slots = 2", `slots = 2.5`, `f.toml:8: server[0].slots: 2.5: want a whole number`},
		// not a number at all
		{"service_cv = 0.5", "service_cv = nan", `f.toml:9: server[0].service_cv: NaN: want a finite number`},
		// a name without quotes would be broken TOML; a number is a wrong type
		{`method = "least_conn"`, "method = 1", `f.toml:24: upstream[0].method: 1: want text in quotes`},
		// one name where a list is wanted
		{`servers = ["b"]`, `servers = "b"`, `f.toml:32: upstream[1].servers: want a list`},
		// one service time for all workloads
		{`service = { compose-post = "10ms", read-home-timeline = "5ms" }`, `service = "10ms"`,
			`f.toml:18: server[1].service: want a table`},
		// a scenario that never ends
		{`duration = "90s"`, `duration = "-90s"`, `duration: -1m30s: want more than 0`},
		// a warm-up as long as the run
		{`warmup = "10s"`, `warmup = "90s"`, `warmup: 1m30s: want at least 0 and less than the duration`},
		// a control interval that runs backwards
		{`control_interval = "2s"`, `control_interval = "-2s"`, `control_interval: -2s: want more than 0`},
		// a server without slots
		{"slots = 2", "slots = 0", `server[0].slots: 0: want at least 1`},
		// a negative coefficient of variation
		{"service_cv = 0.5", "service_cv = -0.5", `server[0].service_cv: -0.5: want at least 0`},
		// a queue limit below nothing
		{"queue_limit = 7", "queue_limit = -1", `server[0].queue_limit: -1: want at least 0`},
		// a network faster than light
		{`network_delay = "1ms"`, `network_delay = "-1ms"`, `server[0].network_delay: -1ms: want at least 0`},
		// a distance below nothing
		{`distance = { compose-post = "3ms" }`, `distance = { compose-post = "-3ms" }`,
			`server[0].distance.compose-post: -3ms: want at least 0`},
		// a distance for a workload that does not exist
		{`distance = { compose-post`, `distance = { composing`, `server[0].distance.composing: unknown workload`},
		// a service time for a workload that does not exist
		{`service = { compose-post = "40ms", `, `service = { compose-post = "40ms", login = "1ms", `,
			`server[0].service.login: unknown workload`},
		// a service that takes no time
		{`compose-post = "40ms"`, `compose-post = "0s"`, `server[0].service.compose-post: 0s: want more than 0`},
		// two servers of one name (and the groups then know only one)
		{`name = "b"`, `name = "a"`, `server[1].name: "a": another server has this name`},
		// a name that would break nginx.conf
		{`name = "compose_backend"`, `name = "compose backend;"`, `upstream[0].name: "compose backend;": want letters`},
		// a group without a name
		{`name = "compose_backend"`, `name = ""`, `upstream[0].name: missing`},
		// a group for no workload
		{"[[upstream]]\nname = \"compose_backend\"\nworkload = \"compose-post\"",
			"[[upstream]]\nname = \"compose_backend\"\nworkload = \"mixed\"",
			`upstream[0].workload: "mixed": want one of`},
		// two groups for one workload
		{`workload = "read-home-timeline"` + "\nservers", `workload = "compose-post"` + "\nservers",
			`upstream[1].workload: compose-post is already served by upstream "compose_backend"`},
		// a server that does not exist
		{`servers = ["b"]`, `servers = ["z"]`, `upstream[1].servers: unknown server "z"; known are a, b`},
		// a server twice
		{`servers = ["a", "b"]`, `servers = ["a", "a"]`, `upstream[0].servers: "a" stands twice`},
		// a group of nobody
		{`servers = ["b"]`, `servers = []`, `upstream[1].servers: missing`},
		// a server that has no service time for the group's workload
		{`compose-post = "10ms", `, ``, `upstream[0].servers: server "b" has no service time for compose-post`},
		// a method that open-source NGINX does not have
		{`"least_conn"`, `"least_time"`, `upstream[0].method: "least_time": want round_robin or least_conn`},
		// too few weights
		{`weights = [3, 1]`, `weights = [3]`, `upstream[0].weights: 1 weights for 2 servers`},
		// a weight that NGINX refuses
		{`weights = [3, 1]`, `weights = [3, 0]`, `upstream[0].weights: 0: want 1 to 100`},
		// a weight that makes NGINX allocate without end
		{`weights = [3, 1]`, `weights = [3, 101]`, `upstream[0].weights: 101: want 1 to 100`},
		// a deadline in the past
		{`deadline = "60ms"`, `deadline = "-60ms"`, `upstream[0].deadline: -60ms: want at least 0`},
		// a priority below nothing
		{`priority = 2`, `priority = -2`, `upstream[0].priority: -2: want more than 0`},
		// the load generator's mixture
		{"[[load]]\nworkload = \"compose-post\"", "[[load]]\nworkload = \"mixed\"",
			`load[0].workload: "mixed": write one load for each of`},
		// a load that no group serves
		{"[[load]]\nworkload = \"compose-post\"", "[[load]]\nworkload = \"read-user-timeline\"",
			`load[0].workload: read-user-timeline has no upstream`},
		// an arrival process that does not exist
		{`arrival = "exp"`, `arrival = "poisson"`, `load[0].arrival: "poisson": want fixed, exp, norm or zipf`},
		// a load without a rate
		{`phases = [{ at = "10s", rate = 30 }]`, `phases = []`, `load[1].phases: missing`},
		// a negative rate
		{`rate = 20 }`, `rate = -20 }`, `f.toml:37: load[0].phases[0].rate: -20: want at least 0 requests per second`},
		// phases out of order
		{`{ at = "30s", rate = 40 }`, `{ at = "0s", rate = 40 }`, `load[0].phases[1].at: 0s: phases overlap`},
		// a phase after the end
		{`{ at = "30s", rate = 40 }`, `{ at = "90s", rate = 40 }`,
			`load[0].phases[1].at: 1m30s: the run is over after 1m30s`},
		// a fault of nobody
		{"[[fault]]\nserver = \"a\"", "[[fault]]\nserver = \"z\"", `f.toml:45: fault[0].server: unknown server "z"`},
		// a kind of fault that does not exist
		{`kind = "slowdown"`, `kind = "slow"`,
			`fault[0].kind: "slow": want one of slowdown, capacity, error, down, network_delay, pause, hang, shed`},
		// a slowdown that says by how much in the wrong key
		{"factor = 3.0", "factor = 3.0\nslots = 2", `fault[0].slots: not used by kind "slowdown"`},
		// a slowdown to nothing
		{"factor = 3.0", "factor = 0", `fault[0].factor: 0: want more than 0`},
		// a capacity of nothing
		{"kind = \"slowdown\"\nfactor = 3.0", "kind = \"capacity\"\nslots = 0", `fault[0].slots: 0: want at least 1`},
		// a probability that is none
		{"kind = \"slowdown\"\nfactor = 3.0", "kind = \"error\"\nprobability = 1.5",
			`fault[0].probability: 1.5: want more than 0 and at most 1`},
		// a delay of nothing
		{"kind = \"slowdown\"\nfactor = 3.0", "kind = \"network_delay\"", `fault[0].delay: 0s: want more than 0`},
		// parameters of kinds that have none
		{"kind = \"slowdown\"\nfactor = 3.0", "kind = \"down\"\ndelay = \"1ms\"",
			`fault[0].delay: not used by kind "down"`},
		// a fault that ends before it begins
		{`until = "40s"`, `until = "20s"`, `fault[0].until: 20s: want more than at = 20s`},
		// two faults of one kind at once on one server
		{"[[fault]]", "[[fault]]\nserver = \"a\"\nkind = \"slowdown\"\nfactor = 2\nat = \"30s\"\n\n[[fault]]",
			`fault[1].at: overlaps fault[0], also slowdown of server "a"`},
		// no servers: all that asks for one is wrong too
		{"[[server]]", "[[serverx]]", `serverx: unknown key`},
	} {
		text := strings.Replace(whole, c.old, c.replacement, 1)
		if text == whole {
			t.Fatalf("the scenario has no %q", c.old)
		}
		_, err := Parse("f.toml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q for %q: got %v, want %s", c.replacement, c.old, err, c.want)
		}
	}
}

func TestParseReportsAllFaultsAtOnceInTheOrderOfTheFile(t *testing.T) {
	text := strings.NewReplacer(
		"warmup =", "warmp =", // unknown key
		"slots = 2", "slots = 1.5", // wrong type
		`["a", "b"]`, `["a", "z"]`, // unknown server
		"rate = 20 }", "rate = -1 }", // negative rate
		`{ at = "30s"`, `{ at = "0s"`, // overlapping phases
		"[[load]]\nworkload = \"read-home-timeline\"", "[[load]]\nworkload = \"read-user-timeline\"", // no upstream
	).Replace(whole)
	_, err := Parse("f.toml", []byte(text))
	if err == nil {
		t.Fatal("got no error")
	}
	lines := strings.Split(err.Error(), "\n")
	want := []string{"f.toml:3: warmp", "f.toml:8: server[0].slots: 1.5",
		`f.toml:23: upstream[0].servers: unknown server "z"`,
		"f.toml:37: load[0].phases[0].rate", "f.toml:37: load[0].phases[1].at", "f.toml:40: load[1].workload: " +
			"read-user-timeline has no upstream"}
	if len(lines) != len(want) {
		t.Fatalf("got %d faults, want %d:\n%v", len(lines), len(want), err)
	}
	for i := range want {
		if !strings.HasPrefix(lines[i], want[i]) {
			t.Errorf("fault %d: got %s, want %s", i, lines[i], want[i])
		}
	}
}

func TestParseNamesTheLineOfBrokenTOML(t *testing.T) {
	_, err := Parse("f.toml", []byte("name = \"x\"\nduration = 90s\n"))
	if err == nil || !strings.HasPrefix(err.Error(), "f.toml:2: ") {
		t.Errorf("got %v, want f.toml:2", err)
	}
}

func TestLoadTellsNamesFromPaths(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mine.toml")
	if err := os.WriteFile(path, []byte(whole), 0o644); err != nil {
		t.Fatal(err)
	}
	if s, err := Load(path); err != nil || s.Name != "whole" {
		t.Errorf("a path: got %v, %v", s, err)
	}
	if s, err := Load("identical"); err != nil || s.Name != "identical" {
		t.Errorf("a name: got %v, %v", s, err)
	}
	if _, err := Load("no-such-scenario"); !errors.Is(err, ErrNoScenario) || !strings.Contains(err.Error(),
		"capacity-1-2-4") {
		t.Errorf("an unknown name: got %v, want ErrNoScenario and the names that there are", err)
	}
	if _, err := Load("./no-such-scenario"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a path without a file: got %v, want os.ErrNotExist", err)
	}
}

func TestValidateAcceptsWhatParseMadeAndReportsWhatWasBrokenSince(t *testing.T) {
	s, err := Parse("f.toml", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil {
		t.Errorf("got %v, want nil", err)
	}
	s.Servers[0].Slots, s.Loads[0].Phases[0].Rate = 0, -1
	if err := s.Validate(); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("got %v, want two faults", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(whole)
	f.Add(shop)
	for _, name := range Names() {
		text, err := Source(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse("f.toml", []byte(text))
		if err != nil {
			return
		}
		if err := s.Validate(); err != nil {
			t.Errorf("Parse accepted what Validate refuses: %v", err)
		}
		printed := s.Format("")
		again, err := Parse("f.toml", printed)
		if err != nil || !bytes.Equal(again.Format(""), printed) {
			t.Errorf("what Format prints is read back as the same: got %v\n%s", err, printed)
		}
		for i := range s.Upstreams {
			for _, name := range s.Upstreams[i].Servers {
				if s.Server(name) == nil {
					t.Errorf("group %s names server %q, which does not exist", s.Upstreams[i].Name, name)
				}
			}
		}
	})
}
