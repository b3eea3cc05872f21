package arena

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/vts"
	"trimtab/weights"
)

// stumbling panics at its third observation.
type stumbling struct {
	control.Fixed
	seen int
}

func (s *stumbling) Observe(vts.Sample, weights.Set) {
	if s.seen++; s.seen == 3 {
		var none []int
		_ = none[s.seen]
	}
}

func TestAPanicIsTheErrorOfItsCell(t *testing.T) {
	sc, err := deathstarbench.Load("identical")
	if err != nil {
		t.Fatal(err)
	}
	policies, err := ParsePolicies("equal,bad,start", map[string]NewPolicy{
		"equal": Choosers(nil)["equal"], "start": Choosers(nil)["start"],
		"bad": func(context.Context, Case) (control.Policy, error) { return &stumbling{}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	var rows []Row
	var failures []*CellError
	c := Config{Scenarios: []*deathstarbench.Scenario{sc}, Policies: policies, Seeds: []uint64{7, 8},
		OnRow: func(r Row, _ *Trace) error { rows = append(rows, r); return nil }}
	const named = "scenario identical, policy bad, seed 7: the policy after 9s: internal fault: panic at "
	if err := Play(t.Context(), c); err == nil || !strings.Contains(err.Error(), named) {
		t.Errorf("nobody is told of failures: got %v, want them as the error", err)
	}
	rows = nil
	c.OnFailure = func(e *CellError) { failures = append(failures, e) }
	if err := Play(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 4 || len(failures) != 2 {
		t.Fatalf("got %d rows and %d failures, want 4 of the others and 2", len(rows), len(failures))
	}
	for _, f := range failures {
		var p *control.Panic
		if !errors.As(f, &p) || !strings.Contains(p.Place, "worlds_test.go:") || len(p.Stack) == 0 ||
			!strings.Contains(p.Error(), "index out of range [3]") {
			t.Errorf("got %v, want the panic with its place", f)
		}
	}
}

func cellRow(scenario, policy string, seed uint64, p99 float64, reloads int) Row {
	return Row{
		Scenario: scenario, Policy: policy, Seed: seed, LatencyMS: Latency{P99: p99}, Reloads: reloads,
		DurationSec: 360,
		ErrorRatio:  float64(reloads) / 100,
	}
}

func TestCompareWorlds(t *testing.T) {
	rows := []Row{
		cellRow("w1", "base", 1, 100, 0), cellRow("w1", "base", 2, 400, 0),
		cellRow("w1", "new", 1, 50, 1), cellRow("w1", "new", 2, 100, 3),
		cellRow("w2", "base", 1, 10, 0), cellRow("w2", "base", 2, 20, 0),
		cellRow("w2", "new", 2, 60, 2),                                   // seed 1 failed
		cellRow("w3", "base", 1, 10, 0), cellRow("w3", "base", 2, 10, 0), // both failed
		cellRow("w4", "base", 1, 100, 0), cellRow("w4", "new", 1, 103, 0),
	}
	for i := range rows { // in w2 the new one has half of the tardiness, elsewhere as much
		rows[i].ARTPerRequest = 0.099
		if rows[i].Scenario == "w2" && rows[i].Policy == "new" {
			rows[i].ARTPerRequest = 0.049
		}
	}
	failures := []*CellError{
		{Scenario: "w2", Policy: "new", Seed: 1}, {Scenario: "w3", Policy: "new", Seed: 1},
		{Scenario: "w3", Policy: "new", Seed: 2},
	}
	got := CompareWorlds(rows, failures, []string{"base", "new"}, []string{"base", "new"})
	if len(got) != 2 || got[0].Policy+" "+got[0].Baseline != "new base" ||
		got[1].Policy+" "+got[1].Baseline != "base new" {
		t.Fatalf("every policy against every baseline but itself: got %+v", got)
	}
	c := got[0]
	// Worlds: √(0.5·0.25) = 0.3536, 3, 1.03.
	if want := math.Cbrt(math.Sqrt(0.125) * 3 * 1.03); math.Abs(c.P99Ratio.Mean-want) > 1e-9 || c.P99Ratio.N != 3 {
		t.Errorf("each world counts once: got %v, want %.4f over 3", c.P99Ratio, want)
	}
	if c.P99Ratio.Low < 0.35 || c.P99Ratio.Low > 1 || c.P99Ratio.High < 1.03 || c.P99Ratio.High > 3.001 {
		t.Errorf("the interval lies within the extremes: got %v", c.P99Ratio)
	}
	if want := math.Cbrt(0.5); math.Abs(c.ARTRatio-want) > 1e-9 {
		t.Errorf("tardiness over worlds: got %v, want %.4f", c.ARTRatio, want)
	}
	for i, want := range []float64{2.0 / 3, 1.0 / 3, 1.0 / 3} {
		if math.Abs(c.Above[i]-want) > 1e-9 {
			t.Errorf("share above %g: got %g, want %g", Thresholds()[i], c.Above[i], want)
		}
	}
	if c.Cells != 4 || c.Failed != 3 || c.ChangesPerHour != 15 {
		t.Errorf("got %d cells, %d failed, %g changes per hour; want 4, 3, 15", c.Cells, c.Failed, c.ChangesPerHour)
	}
	if len(c.Worlds) != 3 || c.Worlds[0].World != "w2" || c.Worlds[0].Seeds != 1 || c.Worlds[2].World != "w1" {
		t.Fatalf("the worst first: got %+v", c.Worlds)
	}
	if w := c.Worlds[2]; math.Abs(w.BaselineP99MS-200) > 1e-9 || math.Abs(w.Errors-0.02) > 1e-12 ||
		w.BaselineErrors != 0 {
		t.Errorf("means over seeds: got %+v, want a baseline of 200 ms, 2 %% errors and none", w)
	}
	if want := (0.02 + 0.02 + 0) / 3; math.Abs(c.Errors-want) > 1e-12 || c.BaselineErrors != 0 {
		t.Errorf("errors over worlds: got %g and %g, want %g and 0", c.Errors, c.BaselineErrors, want)
	}
	if inverse := got[1].P99Ratio.Mean * c.P99Ratio.Mean; math.Abs(inverse-1) > 1e-9 {
		t.Errorf("the other way round is the inverse: got %g", inverse)
	}

	report := &WorldsReport{Comparisons: got, About: map[string]string{"w2": "made of wood"}, Worst: 2}
	for _, c := range []struct {
		name  string
		write func(*bytes.Buffer) error
		line  string
	}{
		{"text", func(b *bytes.Buffer) error {
			return report.WriteText(b)
		}, "3.000 0.500 60.0 20.0 2.00 % 0 w2 made of wood"},
		{"markdown", func(b *bytes.Buffer) error { return report.WriteMarkdown(b) },
			"| 3.000 | 0.500 | 60.0 | 20.0 | 2.00 % | 0 | w2 | made of wood |"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := c.write(&b); err != nil {
				t.Fatal(err)
			}
			text := strings.Join(strings.Fields(b.String()), " ")
			if !strings.Contains(text, c.line) || strings.Contains(text, "70.7") ||
				strings.Count(text, "above 1.02") != 2 {
				t.Errorf("want two tables, the two worst worlds and %q: got\n%s", c.line, b.String())
			}
		})
	}
	empty := CompareWorlds(nil, failures, []string{"base", "new"}, []string{"base"})
	if len(empty) != 1 || empty[0].P99Ratio.N != 0 || empty[0].Failed != 3 {
		t.Fatalf("when all failed: got %+v", empty)
	}
	var b bytes.Buffer
	if err := (&WorldsReport{Comparisons: empty, Worst: 3}).WriteText(&b); err != nil ||
		!strings.Contains(b.String(), "–") {
		t.Errorf("when all failed: got %v, %q", err, b.String())
	}
}

func TestBootstrapAgreesWithTheNormalInterval(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const n, sigma = 400, 0.8
	x := make([]float64, n)
	for i := range x {
		x[i] = 1.5 * math.Exp(sigma*rng.NormFloat64())
	}
	e := bootstrap(x, 1)
	want := 2 * 1.96 * sigma / math.Sqrt(n) // width of the interval of the logarithm
	if width := math.Log(e.High / e.Low); math.Abs(width/want-1) > 0.1 || e.Low > 1.5 || e.High < 1.5 {
		t.Errorf("got %v, of width %.3f, want about %.3f around 1.5", e, width, want)
	}
	if again := bootstrap(x, 1); again != e {
		t.Errorf("the same seed gives the same: got %v and %v", e, again)
	}
	if one := bootstrap([]float64{2}, 1); math.Abs(one.Low-2) > 1e-12 || math.Abs(one.High-2) > 1e-12 || one.N != 1 {
		t.Errorf("one value: got %v", one)
	}
}
