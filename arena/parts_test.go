package arena

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trimtab/deathstarbench"
	"trimtab/vts"
	"trimtab/weights"
)

func TestEstimates(t *testing.T) {
	// t(0.975; 4) = 2.776; s of 1…5 is 1.5811.
	e := estimate([]float64{1, 2, 3, 4, 5})
	if half := 2.7764 * 1.58114 / math.Sqrt(5); e.Mean != 3 || math.Abs(e.High-3-half) > 1e-3 ||
		math.Abs(3-e.Low-half) > 1e-3 {
		t.Errorf("interval of 1…5: got %+v, want 3 ± %.4f", e, half)
	}
	if e := estimate([]float64{4}); e.Low != 4 || e.High != 4 {
		t.Errorf("one value has no interval: got %+v", e)
	}
	if r := ratio([]float64{2, 8}, []float64{1, 2}); math.Abs(r.Mean-math.Sqrt(8)) > 1e-12 || r.N != 2 {
		t.Errorf("geometric mean of 2 and 4: got %+v", r)
	}
	if r := ratio([]float64{0}, []float64{1}); r.N != 0 {
		t.Errorf("nothing positive, no ratio: got %+v", r)
	}
}

func TestSummariseComparesTheSameSeeds(t *testing.T) {
	row := func(policy string, seed uint64, p99 float64) Row {
		return Row{Scenario: "s", World: "sim", Policy: policy, Seed: seed, LatencyMS: Latency{P99: p99}}
	}
	s := Summarise([]Row{row("x", 2, 30), row("base", 1, 10), row("x", 1, 20), row("base", 2, 15), row("x", 3, 1000)},
		"base")
	if len(s) != 2 || s[0].Policy != "x" || s[0].Seeds != 3 || s[0].P99Ratio.N != 2 ||
		math.Abs(s[0].P99Ratio.Mean-2) > 1e-12 {
		t.Errorf("20/10 and 30/15 are twice the baseline, seed 3 has no partner: got %+v", s[0])
	}
	if s[0].Regret.N != 0 || s[0].Closed != 0 {
		t.Errorf("no oracle, no regret: got %+v", s[0])
	}
}

func TestSortPolicies(t *testing.T) {
	names := []string{"least_time", "least_conn/tuned", "oracle", "tuned", "least_conn", "mine", "equal"}
	SortPolicies(names)
	if got := strings.Join(names, " "); got != "equal tuned oracle mine least_conn least_conn/tuned least_time" {
		t.Errorf("got %s", got)
	}
}

func TestPhases(t *testing.T) {
	sc := small(t)
	sc.Loads[0].Phases = append(sc.Loads[0].Phases, deathstarbench.Phase{At: deathstarbench.Duration(20 * time.Second),
		Rate: 20})
	sc.Faults = []deathstarbench.Fault{{Server: "a", Kind: deathstarbench.Slowdown, Factor: 2,
		At: deathstarbench.Duration(10 * time.Second), Until: deathstarbench.Duration(30 * time.Second)}}
	p := Phases(sc)
	want := []struct {
		from, to time.Duration
		rate     float64
		faults   int
	}{{0, 10, 105, 0}, {10, 20, 105, 1}, {20, 30, 20, 1}, {30, 40, 20, 0}}
	for i, w := range want {
		if i >= len(p) || p[i].From != w.from*time.Second || p[i].To != w.to*time.Second || p[i].Rates[0] != w.rate ||
			len(p[i].Faults) != w.faults {
			t.Fatalf("phase %d: got %+v, want %+v", i, p, w)
		}
	}
	if p[0].like(p[1]) || p[0].like(p[3]) || !p[0].like(p[0]) {
		t.Error("phases are alike when rates are near and faults the same")
	}
}

func TestOracleSwitchesWithThePhase(t *testing.T) {
	a := weights.Set{"g": settingsOf([]string{"a", "b"}, weights.Quantise([]float64{1, 2}))}
	b := weights.Set{"g": settingsOf([]string{"a", "b"}, weights.Quantise([]float64{3, 1}))}
	o := &Oracle{phases: []Phase{{From: 0}, {From: 10 * time.Second}}, weights: []weights.Set{a, b},
		interval: 2 * time.Second}
	at := time.Unix(1000, 0)
	step := func(after time.Duration, now weights.Set) weights.Set {
		o.Observe(vts.Sample{At: at.Add(after), Interval: 2 * time.Second}, now)
		return o.Choose().Weights
	}
	if w := step(2*time.Second, a); len(w) != 0 {
		t.Errorf("within the first phase it holds: got %v", w)
	}
	if w := step(8*time.Second, a); len(w) != 0 {
		t.Errorf("the interval 8–10 s still belongs to the first phase: got %v", w)
	}
	if w := step(10*time.Second, a); !w.Equal(b) {
		t.Errorf("the interval 10–12 s belongs to the second: got %v", w)
	}
}

func TestOracleCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	sc := small(t)
	c := Case{Scenario: sc, Deadlines: map[string]time.Duration{"g": 60 * time.Millisecond}}
	first, err := NewOracle(t.Context(), c, NewOracleCache(dir))
	if err != nil {
		t.Fatal(err)
	}
	w := first.weights[0]["g"]
	if r := float64(w["b"].Weight.Int()) / float64(w["a"].Weight.Int()); r < 1.4 || r > 4 {
		t.Errorf("the server of twice the capacity gets about twice the weight: got %v", numbers(first.weights[0]))
	}
	files, err := filepath.Glob(filepath.Join(dir, "oracle-*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("one phase, one file: got %v, %v", files, err)
	}
	// What the file says is taken; what cannot be is found again.
	for _, v := range []struct {
		text string
		want bool
	}{{`{"g":{"a":7,"b":9}}`, true}, {`{"g":{"a":0,"b":9}}`, false}, {`{"g":{"a":7}}`, false}, {`{`, false}} {
		if err := os.WriteFile(files[0], []byte(v.text), 0o644); err != nil {
			t.Fatal(err)
		}
		again, err := NewOracle(t.Context(), c, NewOracleCache(dir))
		if err != nil {
			t.Fatal(err)
		}
		if got := again.weights[0]["g"]["a"].Weight.Int() == 7; got != v.want {
			t.Errorf("cached %s: got %v", v.text, numbers(again.weights[0]))
		}
	}
	c.Method = "least_conn"
	if _, err := NewOracle(t.Context(), c, NewOracleCache(dir)); err != nil {
		t.Fatal(err)
	}
	if files, _ = filepath.Glob(filepath.Join(dir, "oracle-*.json")); len(files) != 2 {
		t.Errorf("another method, another file: got %v", files)
	}
}

func TestRegionAwareSpillsOver(t *testing.T) {
	sc := small(t)
	sc.Servers[1].NetworkDelay = deathstarbench.Duration(30 * time.Millisecond)
	share := func(rate float64) float64 {
		sc.Loads[0].Phases[0].Rate = rate
		w := NewRegionAware(sc, 0.8).Initial()["g"]
		return float64(w["a"].Weight.Int()) / float64(w["a"].Weight.Int()+w["b"].Weight.Int())
	}
	// a takes 40/s at 80 %, b 80/s; beyond 120/s by capacity, 1:2.
	for _, c := range []struct{ rate, want float64 }{{20, 0.99}, {80, 0.5}, {110, 40.0 / 110}, {240, 1.0 / 3}} {
		if got := share(c.rate); math.Abs(got-c.want) > 0.02 {
			t.Errorf("share of the near server at %v/s: got %.3f, want %.3f", c.rate, got, c.want)
		}
	}
}

func TestRewriteMarkdown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.md")
	if err := os.WriteFile(path, []byte("# A\n<!-- arena:begin -->\nold\n<!-- arena:end -->\nend\n"),
		0o640); err != nil {
		t.Fatal(err)
	}
	if err := RewriteMarkdown(path, "arena", []byte("new\n")); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(path)
	if string(text) != "# A\n<!-- arena:begin -->\n\nnew\n\n<!-- arena:end -->\nend\n" {
		t.Errorf("got %q", text)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o640 {
		t.Errorf("the mode stays: got %v", info.Mode())
	}
	if err := os.WriteFile(path, []byte("no marks"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := RewriteMarkdown(path, "arena", []byte("x")); err == nil {
		t.Error("a file without marks is refused: got no error")
	}
}

func TestProseOfDocumentsIsBroken(t *testing.T) {
	word := strings.Repeat("µ", 58)
	if got, want := MarkdownProse(word+" "+word+" "+word), word+" "+word+"\n"+word; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTablesAndPage(t *testing.T) {
	sc := small(t)
	sc.Faults = []deathstarbench.Fault{{Server: "b", Kind: deathstarbench.Slowdown, Factor: 2,
		At: deathstarbench.Duration(10 * time.Second), Until: deathstarbench.Duration(20 * time.Second)}}
	names := []string{"equal", "l3", "oracle"}
	rows, traces := play(t, Config{Scenarios: []*deathstarbench.Scenario{sc}, Seeds: []uint64{1, 2},
		Policies: parse(t, strings.Join(names, ","), nil)})
	SortRows(rows, []string{"small"}, names)
	var table, markdown bytes.Buffer
	s := Summarise(rows, "equal")
	if err := WriteTable(&table, s, "equal"); err != nil {
		t.Fatal(err)
	}
	if err := WriteMarkdown(&markdown, s, "equal"); err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if !strings.Contains(table.String(), n) || !strings.Contains(markdown.String(), "| "+n+" |") {
			t.Errorf("%s is in both tables: got\n%s\n%s", n, table.String(), markdown.String())
		}
	}
	dir := t.TempDir()
	p := Page{Title: "Test <arena>", Baseline: "equal", Scenarios: []*deathstarbench.Scenario{sc}, Policies: names,
		Rows: rows, Traces: traces}
	page, plots, err := p.Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	// percentiles, ART, convergence, regret, and weights of l3 and the oracle.
	if len(plots) != 6 || bytes.Count(text, []byte("<svg")) != 6 {
		t.Errorf("plots: got %v, %d drawings in the page", plots, bytes.Count(text, []byte("<svg")))
	}
	if !bytes.Contains(text, []byte("Test &lt;arena&gt;")) || bytes.Contains(text, []byte("src=")) ||
		bytes.Contains(text, []byte(`href="http`)) {
		t.Error("the page is escaped and refers to nothing outside")
	}
	for _, png := range plots {
		if b, err := os.ReadFile(png); err != nil || !bytes.HasPrefix(b, []byte("\x89PNG")) {
			t.Errorf("%s is a PNG: got %v", png, err)
		}
	}
}
