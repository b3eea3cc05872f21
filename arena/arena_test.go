package arena

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/weights"
)

// small returns a scenario of two servers, the second twice as strong, that equal weights overload.
func small(t testing.TB) *deathstarbench.Scenario {
	t.Helper()
	sc, err := deathstarbench.Parse("small.toml", []byte(`
name = "small"
duration = "40s"
warmup = "4s"
control_interval = "2s"
[[server]]
name = "a"
slots = 1
service_cv = 0.5
service = { compose-post = "20ms" }
[[server]]
name = "b"
slots = 2
service_cv = 0.5
service = { compose-post = "20ms" }
[[upstream]]
name = "g"
workload = "compose-post"
servers = ["a", "b"]
deadline = "60ms"
[[load]]
workload = "compose-post"
arrival = "exp"
phases = [{ at = "0s", rate = 105 }]
`))
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

func parse(t testing.TB, list string, more map[string]NewPolicy) []Policy {
	t.Helper()
	choosers := Choosers(NewOracleCache(""))
	for name, p := range more {
		choosers[name] = p
	}
	p, err := ParsePolicies(list, choosers)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func play(t testing.TB, c Config) (rows []Row, traces []*Trace) {
	t.Helper()
	c.OnRow = func(r Row, tr *Trace) error {
		rows, traces = append(rows, r), append(traces, tr)
		return nil
	}
	if err := Play(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return rows, traces
}

func TestPlay(t *testing.T) {
	rows, traces := play(t, Config{Scenarios: []*deathstarbench.Scenario{small(t)}, Seeds: []uint64{1, 2, 3},
		Policies: parse(t, "equal,l3,oracle,capacity,least_time", nil)})
	if len(rows) != 15 || len(traces) != 15 {
		t.Fatalf("rows of 5 policies and 3 seeds: got %d, %d traces", len(rows), len(traces))
	}
	SortRows(rows, []string{"small"}, nil)
	by := map[string][]Row{}
	for i, r := range rows {
		by[r.Policy] = append(by[r.Policy], r)
		if r.Requests < 3000 || r.Intervals != 20 || len(traces[i].Points) != 20 || r.World != "sim" ||
			r.DurationSec != 40 {
			t.Errorf("%s seed %d: got %d requests, %d intervals", r.Policy, r.Seed, r.Requests, r.Intervals)
		}
		if (r.RegretVsOracle == nil) != (r.Policy == "least_time") {
			t.Errorf("%s has regret against the oracle of its own method only: got %v", r.Policy, r.RegretVsOracle)
		}
		sum := 0.0
		for _, share := range r.Groups[0].Shares {
			sum += share
		}
		if math.Abs(sum-1) > 1e-9 {
			t.Errorf("%s: shares add up to 1: got %v", r.Policy, sum)
		}
	}
	for i := range 3 {
		if n := by["equal"][i].Requests; by["l3"][i].Requests != n || by["oracle"][i].Requests != n {
			t.Errorf("the policies of a block see the same arrivals: got %d and %d", n, by["l3"][i].Requests)
		}
		if by["oracle"][i].LatencyMS.P99*3 > by["equal"][i].LatencyMS.P99 {
			t.Errorf("the oracle avoids the overload: got p99 %v and %v ms", by["oracle"][i].LatencyMS.P99,
				by["equal"][i].LatencyMS.P99)
		}
		if *by["oracle"][i].RegretVsOracle != 0 || *by["equal"][i].RegretVsOracle <= 0 {
			t.Errorf("regret: got %v for the oracle, %v for equal weights", *by["oracle"][i].RegretVsOracle,
				*by["equal"][i].RegretVsOracle)
		}
		if n := by["capacity"][i].IntervalsTo90Pct; n == nil || *n > 2 {
			t.Errorf("weights by capacity close the gap at once: got %v", n)
		}
		if by["equal"][i].IntervalsTo90Pct != nil {
			t.Errorf("equal weights never close their own gap: got %v", *by["equal"][i].IntervalsTo90Pct)
		}
		if by["l3"][i].Reloads == 0 || by["capacity"][i].Reloads != 0 {
			t.Errorf("reloads: got %d for l3, %d for fixed weights", by["l3"][i].Reloads, by["capacity"][i].Reloads)
		}
	}
}

func TestPlayRepeats(t *testing.T) {
	c := Config{Scenarios: []*deathstarbench.Scenario{small(t)}, Seeds: []uint64{7, 8, 9, 10},
		Policies: parse(t, "random,least_conn/l3", nil)}
	sorted := func(parallel int) []Row {
		c.Parallel = parallel
		rows, _ := play(t, c)
		SortRows(rows, []string{"small"}, []string{"random", "least_conn/l3"})
		return rows
	}
	a, b := sorted(1), sorted(4)
	for i := range a {
		if a[i].LatencyMS != b[i].LatencyMS || a[i].Reloads != b[i].Reloads || a[i].Seed != b[i].Seed {
			t.Errorf("row %d does not depend on how many run at once: got %+v and %+v", i, a[i].LatencyMS,
				b[i].LatencyMS)
		}
	}
}

// always makes a policy that wants the same weights in every interval.
func always(w weights.Set) NewPolicy {
	return func(context.Context, Case) (control.Policy, error) {
		return &hold{control.Fixed{Decision: control.Decision{Weights: w}}}, nil
	}
}

func TestBadDecisionsNameTheirCell(t *testing.T) {
	one := weights.Setting{}
	for about, w := range map[string]weights.Set{
		"an empty vector":           {"g": {}},
		"a vector that is too long": {"g": {"a": one, "b": one, "c": one}},
		"one that is too short":     {"g": {"a": one}},
		"an unknown group":          {"h": {"a": one}},
		"no live server":            {"g": {"a": {Down: true}, "b": {Down: true}}},
	} {
		finished := 0
		err := Play(t.Context(), Config{Scenarios: []*deathstarbench.Scenario{small(t)}, Seeds: []uint64{3},
			Policies: parse(t, "bad,capacity", map[string]NewPolicy{"bad": always(w)}),
			OnRow:    func(Row, *Trace) error { finished++; return nil }})
		if err == nil || !strings.Contains(err.Error(), "scenario small, policy bad, seed 3") {
			t.Errorf("%s: got %v, want an error that names the cell", about, err)
		}
		if finished != 1 {
			t.Errorf("%s: the other cell is played: got %d rows", about, finished)
		}
	}
}

func TestInterruptKeepsFinishedRows(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	finished := 0
	err := Play(ctx, Config{Scenarios: []*deathstarbench.Scenario{small(t)}, Seeds: []uint64{1, 2, 3, 4}, Parallel: 1,
		Policies: parse(t, "equal,capacity", nil),
		OnRow: func(Row, *Trace) error {
			if finished++; finished == 3 {
				cancel()
			}
			return nil
		}})
	cell := (*CellError)(nil)
	if finished != 3 || !errors.Is(err, context.Canceled) || !errors.As(err, &cell) || cell.Seed != 2 {
		t.Errorf("got %d rows and %v, want 3 and the cell with seed 2", finished, err)
	}
}

func TestFullDiskEndsTheArena(t *testing.T) {
	full := errors.New("no space left on device")
	finished := atomic.Int32{}
	err := Play(t.Context(), Config{Scenarios: []*deathstarbench.Scenario{small(t)}, Seeds: []uint64{1, 2, 3},
		Parallel: 1, Policies: parse(t, "equal", nil),
		OnRow: func(Row, *Trace) error {
			if finished.Add(1) == 2 {
				return full
			}
			return nil
		}})
	cell := (*CellError)(nil)
	if !errors.Is(err, full) || !errors.As(err, &cell) || cell.Seed != 2 || finished.Load() != 2 {
		t.Errorf("got %v after %d rows, want the cell with seed 2", err, finished.Load())
	}
}

func TestImpossibleScenarios(t *testing.T) {
	zero := small(t)
	zero.Loads[0].Phases[0].Rate = 0
	nobody := small(t)
	nobody.Upstreams[0].Servers, nobody.Upstreams[0].Weights = nil, nil
	dead := small(t)
	for _, s := range dead.Servers {
		dead.Faults = append(dead.Faults, deathstarbench.Fault{Server: s.Name, Kind: deathstarbench.Down,
			Until: dead.Duration})
	}
	for about, sc := range map[string]*deathstarbench.Scenario{"every rate is 0": zero, "servers": nobody} {
		err := Play(t.Context(), Config{Scenarios: []*deathstarbench.Scenario{sc}, Seeds: []uint64{1},
			Policies: parse(t, "equal", nil)})
		if err == nil || !strings.Contains(err.Error(), about) {
			t.Errorf("got %v, want an error about %q", err, about)
		}
	}
	rows, _ := play(t, Config{Scenarios: []*deathstarbench.Scenario{dead}, Seeds: []uint64{1},
		Policies: parse(t, "l3", nil)})
	if rows[0].ErrorRatio != 1 || rows[0].ARTPerRequest != 10 {
		t.Errorf("with all servers down every request fails: got error ratio %v, ART %v", rows[0].ErrorRatio,
			rows[0].ARTPerRequest)
	}
}

func TestParsePolicies(t *testing.T) {
	p := parse(t, "equal, least_conn/l3 ,least_time", nil)
	if len(p) != 3 || p[1].Method != "least_conn" || p[1].Chooser != "l3" || p[2].Method != "least_time" ||
		p[2].Chooser != "equal" {
		t.Errorf("got %+v", p)
	}
	for _, bad := range []string{"", "best", "fair/equal", "equal,equal", "least_conn/", "equal,,l3"} {
		if _, err := ParsePolicies(bad, Choosers(nil)); err == nil {
			t.Errorf("%q: got no error", bad)
		}
	}
	if o := order(parse(t, "l3,equal,oracle,capacity", nil)); o[0].Chooser != "oracle" || o[1].Chooser != "equal" ||
		o[2].Chooser != "l3" {
		t.Errorf("what others are measured against comes first: got %v", o)
	}
}

func TestLearnedDeadlines(t *testing.T) {
	sc := small(t)
	sc.Upstreams[0].Deadline, sc.Upstreams[0].Priority = 0, 2
	d, err := Deadlines(sc)
	if err != nil {
		t.Fatal(err)
	}
	// Service of mean 20 ms and deviation 10 ms, 70 % busy: d = μ + 1.5 σ of the latencies is about 26 + 1.5·15 ms.
	if got := d["g"]; got < 38*time.Millisecond || got > 65*time.Millisecond {
		t.Errorf("learned deadline: got %v", got)
	}
	if again, _ := Deadlines(sc); again["g"] != d["g"] {
		t.Errorf("it is the same each time: got %v and %v", d["g"], again["g"])
	}
}
