//go:build linux

package loadgen

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"trimtab/loadgen/arrival"
)

// cell is one arrival at one rate, sent in rounds of different seeds, 1 and up.
type cell struct {
	kind   arrival.Kind
	rate   float64
	rounds int
	each   time.Duration
}

// fidelityCells last as long as it takes for the standard error of the drawn rate (CV ÷ √n) to be below 1 %: at 200/s a
// minute, elsewhere well below.
func fidelityCells() (cells []cell) {
	for _, c := range []cell{
		{rate: 200, rounds: 1, each: 60 * time.Second},
		{rate: 1000, rounds: 4, each: 10 * time.Second},
		{rate: 5000, rounds: 10, each: 5 * time.Second},
	} {
		for _, c.kind = range arrival.Kinds() {
			cells = append(cells, c)
		}
	}
	return cells
}

// fidelityEnv asks for the measurement of TestMeasureFidelity.
const fidelityEnv = "TRIMTAB_MEASURE_FIDELITY"

// TestMeasureFidelity sends every arrival at three rates to a server in a process of its own, which records when
// requests reach it, while a witness tells when the machine itself stood still. It fails when the rate is off by more
// than 1 %, when the coefficient of variation is off by more than 5 % apart from the pauses of the machine, or when the
// law is rejected at 1 %; and when plain sleeps would pass as well.
func TestMeasureFidelity(t *testing.T) {
	if os.Getenv(fidelityEnv) == "" {
		t.Skip("measures for minutes: run scripts/bench-load.sh fidelity")
	}
	if err := Realtime(); err != nil {
		t.Log("other processes disturb these figures: ", err)
	}
	if awake, err := StayAwake(); err != nil {
		t.Log("processors that fall asleep disturb these figures: ", err)
	} else {
		defer awake.Close()
	}
	for _, kind := range arrival.Kinds() {
		t.Run("drawn/"+string(kind), func(t *testing.T) { judgeDrawn(t, kind) })
	}
	for _, c := range fidelityCells() {
		t.Run(fmt.Sprintf("%g/%s", c.rate, c.kind), func(t *testing.T) {
			var got fidelity
			for seed := range uint64(c.rounds) {
				got.add(t, c, seed+1, sendFaithfully)
			}
			t.Log(got.row(c))
			got.judge(t, c)
		})
	}
	for _, c := range fidelityCells() {
		if c.rate < 1000 {
			continue // where a millisecond matters little
		}
		t.Run(fmt.Sprintf("sleeping/%g/%s", c.rate, c.kind), func(t *testing.T) {
			c.each = 3 * time.Second
			var got fidelity
			got.add(t, c, 1, sendSleeping)
			t.Log(got.row(c))
			if p := slices.Max(got.p); p >= 0.01 {
				t.Errorf("gaps of time.Sleep: got p %.3f, want them rejected", p)
			}
		})
	}
}

// sendFaithfully sends one round with the generator and returns its report.
func sendFaithfully(t *testing.T, c cell, seed uint64, url string) *Report {
	a, err := New(Config{Workloads: []Workload{{
		Name:     "recorder",
		Targeter: vegeta.NewStaticTargeter(vegeta.Target{Method: "GET", URL: url}),
		Bursts: []Burst{{Arrival: arrival.Spec{Kind: c.kind}, Rate: arrival.Constant(c.rate), Duration: c.each,
			Seed: seed}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	report, err := a.Run(t.Context())
	if err != nil || report.Errors > 0 {
		t.Fatalf("got %d errors, %v", report.Errors, err)
	}
	return report
}

// sendSleeping sends the same arrivals with vegeta's attacker as it comes, which waits with time.Sleep.
func sendSleeping(t *testing.T, c cell, seed uint64, url string) *Report {
	process, err := arrival.New(c.kind, arrival.Constant(c.rate), seed)
	if err != nil {
		t.Fatal(err)
	}
	target := vegeta.NewStaticTargeter(vegeta.Target{Method: "GET", URL: url})
	for r := range vegeta.NewAttacker().Attack(target, process, c.each, "") {
		if r.Code != 200 {
			t.Fatal(r.Error)
		}
	}
	return nil
}

// fidelity is what became of a cell.
type fidelity struct {
	sent, drawn        moments   // gaps at the server and of the due times
	calmSent, calmDue  moments   // the same of the gaps during which the machine did not stand still
	theory             float64   // coefficient of variation of the law
	ratio              []float64 // of the coefficient of variation at the server to the drawn one, by round
	p, exact, reported []float64 // of the tests: at the server with and without tolerance, in the report; by round
	gaps               []float64 // at the server, in µs
	paused, passed     time.Duration
	longest            time.Duration
}

// add sends one round. Gaps are in units of the asked mean.
func (f *fidelity) add(t *testing.T, c cell, seed uint64, send func(*testing.T, cell, uint64, string) *Report) {
	w, r := startWitness(t), startRecorder(t) // inherit the priority
	report := send(t, c, seed, r.url)
	times, pauses := r.arrivals(t), w.pauses(t)
	law, due := drawnGaps(t, c, seed, len(times)-1)
	gaps := make([]float64, len(due))
	var sent, drawn moments
	next := 0
	for i := range gaps {
		from, to := times[i], times[i+1]
		gaps[i] = (to - from).Seconds() * c.rate
		f.gaps = append(f.gaps, (to-from).Seconds()*1e6)
		sent.add(gaps[i])
		drawn.add(due[i])
		f.sent.add(gaps[i])
		f.drawn.add(due[i])
		for next < len(pauses) && pauses[next].after() < from {
			next++
		}
		if next == len(pauses) || pauses[next].from > to {
			f.calmSent.add(gaps[i])
			f.calmDue.add(due[i])
		}
	}
	for _, p := range pauses {
		if p.to > times[0] && p.from < times[len(times)-1] {
			f.paused += p.to - p.from
			f.longest = max(f.longest, p.to-p.from)
		}
	}
	f.passed += times[len(times)-1] - times[0]
	f.theory = law.CV()
	f.ratio = append(f.ratio, ratio(sent, drawn))
	slices.Sort(gaps)
	p := func(tolerance float64) float64 {
		return arrival.KolmogorovSmirnov(arrival.Distance(gaps, law.CDF, tolerance), len(gaps))
	}
	f.p = append(f.p, p(toleranceOf(time.Duration(float64(time.Second)/c.rate)).Seconds()*c.rate))
	f.exact = append(f.exact, p(0))
	if report != nil {
		f.reported = append(f.reported, report.Interarrival.KSP)
	}
}

// after is when the requests that a pause held up have been caught up with.
func (p pause) after() time.Duration { return p.to + (p.to - p.from) }

// drawnGaps draws the n gaps of a round again.
func drawnGaps(t *testing.T, c cell, seed uint64, n int) (arrival.Gaps, []float64) {
	law, err := arrival.Spec{Kind: c.kind}.Gaps(seed)
	if err != nil {
		t.Fatal(err)
	}
	law.Next() // from the start to the first request
	due := make([]float64, n)
	for i := range due {
		due[i] = law.Next()
	}
	return law, due
}

// row is a line of the table in docs/lab/load.md.
func (f *fidelity) row(c cell) string {
	slices.Sort(f.gaps)
	at := func(p float64) float64 { return f.gaps[int(p*float64(len(f.gaps)))] }
	worst := func(x []float64) string {
		if len(x) == 0 {
			return "–"
		}
		return fmt.Sprintf("%.3f, %.3f", middle(x), slices.Min(x))
	}
	return "| " + strings.Join([]string{
		"`" + string(c.kind) + "`", fmt.Sprintf("%g", c.rate), fmt.Sprint(f.sent.n),
		fmt.Sprintf("%+.2f → %+.2f", 100*(1/f.drawn.mean-1), 100*(1/f.sent.mean-1)),
		fmt.Sprintf("%.3f", f.theory), fmt.Sprintf("%.3f", f.drawn.cv()), fmt.Sprintf("%.3f", f.sent.cv()),
		fmt.Sprintf("%+.1f", 100*off(middle(f.ratio), f.theory)),
		fmt.Sprintf("%+.1f", 100*off(ratio(f.calmSent, f.calmDue), f.theory)),
		worst(f.reported), worst(f.p), worst(f.exact),
		fmt.Sprintf("%.0f / %.0f / %.0f", at(0.1), at(0.5), at(0.9)),
		fmt.Sprintf("%.2f %%, %.1f ms", 100*f.paused.Seconds()/f.passed.Seconds(), f.longest.Seconds()*1e3),
	}, " | ") + " |"
}

func middle(x []float64) float64 { return medianOf(x, func(v float64) float64 { return v }) }

// ratio is the coefficient of variation of the gaps at the server, as a share of the drawn one, or itself where none is
// drawn.
func ratio(sent, drawn moments) float64 {
	if cv := drawn.cv(); cv > 1e-6 {
		return sent.cv() / cv
	}
	return sent.cv()
}

// off is how far such a ratio is from what it should be.
func off(ratio, theory float64) float64 {
	if theory > 0 {
		return ratio - 1
	}
	return ratio
}

// judgeDrawn compares ten million drawn gaps with their law: what chance does to the fewer gaps of a cell, most of all
// to the coefficient of variation of zipf, does not show in them.
func judgeDrawn(t *testing.T, kind arrival.Kind) {
	const n = 10_000_000
	law, err := arrival.Spec{Kind: kind}.Gaps(1)
	if err != nil {
		t.Fatal(err)
	}
	var drawn moments
	for range n {
		drawn.add(law.Next())
	}
	t.Logf("%s: %d gaps drawn: mean %+.3f %%, CV %.4f of %.4f", kind, n, 100*(drawn.mean-1), drawn.cv(), law.CV())
	if math.Abs(drawn.mean-1) > 0.01 || math.Abs(drawn.cv()-law.CV()) > 0.05*law.CV()+1e-9 {
		t.Errorf("got a mean of %.4f and a CV of %.4f, want 1 within 1 %% and %.4f within 5 %%", drawn.mean, drawn.cv(),
			law.CV())
	}
}

// judge compares a cell with the bounds. The coefficient of variation is that of the gaps during which the machine ran:
// what pauses do to the others is logged.
func (f *fidelity) judge(t *testing.T, c cell) {
	if e := 1/f.sent.mean - 1; math.Abs(e) > 0.01 {
		t.Errorf("got a rate %.2f %% off the asked one, want within 1 %%", 100*e)
	}
	if e := f.drawn.mean/f.sent.mean - 1; math.Abs(e) > 0.01 {
		t.Errorf("got a rate %.2f %% off the drawn one, want within 1 %%", 100*e)
	}
	bound := 0.05
	if f.theory == 0 { // 5 % of nothing is nothing
		bound = max(bound, resolution.Seconds()*c.rate)
	}
	for _, of := range []struct {
		what  string
		ratio float64
		log   func(string, ...any)
	}{
		{"apart from pauses", ratio(f.calmSent, f.calmDue), t.Errorf},
		{"median round", middle(f.ratio), t.Logf},
		{"all gaps", ratio(f.sent, f.drawn), t.Logf},
	} {
		if e := off(of.ratio, f.theory); math.Abs(e) > bound {
			of.log("%s: got a coefficient of variation %.1f %% off the drawn one, want within %.0f %%", of.what, 100*e,
				100*bound)
		}
	}
	if p := middle(f.reported); p < 0.01 {
		t.Errorf("by the report: got a median p of %.4f, want the law not rejected at 1 %%", p)
	}
	if p := middle(f.p); p < 0.01 {
		t.Logf("over all gaps at the server, pauses included, the median p is %.4f", p)
	}
}

// resolution is the standard deviation that fixed gaps may have at high rates.
const resolution = 20 * time.Microsecond
