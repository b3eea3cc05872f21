package arena

import (
	"bytes"
	"context"
	"math"
	"strings"
	"testing"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/deathstarbench/worlds"
)

// Two worlds are played as they are, with something changed that does nothing, and crippled.
func TestAblationSeesWhatIsCrippled(t *testing.T) {
	choosers := Choosers(nil)
	same, worse := choosers["capacity"], choosers["equal"]
	policies := []Policy{
		{Name: "as it is", New: same}, {Name: "same", New: same}, {Name: "crippled", New: worse},
		{Name: "lc", Method: "least_conn", New: same}, {Name: "lc same", Method: "least_conn", New: same},
		{Name: "lc crippled", Method: "least_conn", New: worse},
		{Name: "bad", New: func(context.Context, Case) (control.Policy, error) { return &stumbling{}, nil }},
	}
	changes := []Change{
		{Part: "Idle", To: "off", Pairs: []Pair{{"same", "as it is"}, {"lc same", "lc"}}},
		{Part: "Needed", To: "off", Pairs: []Pair{{"crippled", "as it is"}, {"lc crippled", "lc"}}},
		{Part: "Fatal", To: "off", Pairs: []Pair{{"bad", "as it is"}, {"gone", "lc"}}},
	}
	scenarios, kinds := []*deathstarbench.Scenario{}, map[string][]string{}
	for _, seed := range []uint64{7, 8} {
		w := worlds.Random(seed)
		scenarios = append(scenarios, w.Scenario)
		kinds[w.Scenario.Name] = worlds.Kinds(w.About)
	}
	var rows []Row
	var failures []*CellError
	err := Play(t.Context(), Config{
		Scenarios: scenarios, Policies: policies, Seeds: []uint64{1, 2},
		OnRow:     func(r Row, _ *Trace) error { rows = append(rows, r); return nil },
		OnFailure: func(e *CellError) { failures = append(failures, e) },
	})
	if err != nil {
		t.Fatal(err)
	}
	got := Ablate(rows, failures, changes, kinds)
	idle, needed, fatal := got[0], got[1], got[2]
	none := map[string]Estimate{"p99": idle.P99, "ART": idle.ART, "reloads": idle.Reloads, "by pair": idle.ByPair[1]}
	for name, e := range none {
		if e.Mean != 1 || e.N != 2 {
			t.Errorf("the same arrivals and weights: got %s %v, want 1 over 2 worlds", name, e)
		}
	}
	if !idle.Dispensable() || needed.Dispensable() || fatal.Dispensable() {
		t.Errorf("dispensable: got %t, %t, %t, want the idle part alone",
			idle.Dispensable(), needed.Dispensable(), fatal.Dispensable())
	}
	if !(needed.P99.Mean > 1.1) || !(needed.ART.Mean > 1.1) || !(needed.ByPair[0].Mean > needed.ByPair[1].Mean) {
		t.Errorf("equal weights instead of capacity's: got p99 %v, ART %v, by pair %v; want worse, most in round robin",
			needed.P99, needed.ART, needed.ByPair)
	}
	if mean := math.Sqrt(needed.ByPair[0].Mean * needed.ByPair[1].Mean); math.Abs(mean/needed.P99.Mean-1) > 1e-9 {
		t.Errorf("got %v over all, want the geometric mean %.4f of the pairs", needed.P99, mean)
	}
	if fatal.Failed != 4 || fatal.P99.N != 0 {
		t.Errorf("got %d failed cells and %v, want 4 and nothing to tell", fatal.Failed, fatal.P99)
	}
}

// ablationRows are worlds of a kind each, p99 changed by the factors.
func ablationRows(kinds map[string][]string, kind string, factors ...float64) (rows []Row) {
	for _, factor := range factors {
		name := kind + string(rune('a'+len(kinds)))
		kinds[name] = []string{kind}
		rows = append(rows, cellRow(name, "base", 1, 100, 1), cellRow(name, "new", 1, 100*factor, 3))
	}
	return rows
}

func TestAblationNamesTheKindOfWorldWhereAChangeMatters(t *testing.T) {
	for _, c := range []struct {
		name        string
		gc, none    []float64
		kind        string
		sure, spare bool
	}{
		{"one kind suffers surely",
			[]float64{1.5, 1.52, 1.51, 1.49}, []float64{1, 1.01, 0.99, 1, 0.4, 0.4}, "fault=gc", true, false},
		{"a large effect that may be chance", []float64{1.9, 0.9, 1.2}, []float64{1, 1.01, 0.99}, "fault=gc", false,
			false},
		{"nothing", []float64{1, 1, 1}, []float64{1, 1, 1}, "", false, true},
		{"two worlds are no kind", []float64{9, 9}, []float64{0.9, 0.95, 0.99}, "fault=none", false, false},
		{"better without", []float64{0.7, 0.71, 0.72}, []float64{0.99, 1, 1.01}, "fault=gc", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			kinds := map[string][]string{}
			rows := append(ablationRows(kinds, "fault=gc", c.gc...), ablationRows(kinds, "fault=none", c.none...)...)
			e := Ablate(rows, nil, []Change{{Part: "P", To: "off", Pairs: []Pair{{"new", "base"}}}}, kinds)[0]
			most, ok := e.Most()
			if most.Kind != c.kind || ok != (c.kind != "") || most.Sure != c.sure || e.Dispensable() != c.spare {
				t.Errorf("got %+v, dispensable %t; want %q, sure %t, dispensable %t",
					most, e.Dispensable(), c.kind, c.sure, c.spare)
			}
			if e.Reloads.Mean != 2 {
				t.Errorf("got %v, want (3+1)/(1+1) reloads", e.Reloads)
			}
		})
	}
}

func TestAblationTable(t *testing.T) {
	kinds := map[string][]string{}
	rows := ablationRows(kinds, "fault=gc", 2, 2, 2)
	changes := []Change{
		{Part: "MinGain", To: "×2: 0.06", Pairs: []Pair{{"new", "base"}}},
		{Part: "DeadBand", To: "off", Pairs: []Pair{{"lost", "base"}}},
	}
	report := &AblationReport{Effects: Ablate(rows, nil, changes, kinds)}
	for _, c := range []struct {
		name  string
		write func(*bytes.Buffer) error
		lines []string
	}{
		{"text", func(b *bytes.Buffer) error { return report.WriteText(b) }, []string{
			"changed to p99, base p99, all 95 %",
			"MinGain ×2: 0.06 2.000 2.000 2.000 to 2.000 1.000 2.000 0 fault=gc, base: 2.000 (3 worlds)",
			"DeadBand off – – – – – 0 –", "no kind of world: none.",
		}},
		{"markdown", func(b *bytes.Buffer) error { return report.WriteMarkdown(b) }, []string{
			"| changed | to | p99, `base` | p99, all |", "|---|---|---:|---:|---:|---:|---:|---:|---|",
			"| MinGain | ×2: 0.06 | 2.000 | 2.000 | 2.000 to 2.000 |",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := c.write(&b); err != nil {
				t.Fatal(err)
			}
			text := strings.Join(strings.Fields(b.String()), " ")
			for _, line := range c.lines {
				if !strings.Contains(text, line) {
					t.Errorf("want %q: got\n%s", line, b.String())
				}
			}
		})
	}
}
