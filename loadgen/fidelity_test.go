//go:build linux

package loadgen

import (
	"fmt"
	"slices"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"trimtab/loadgen/arrival"
)

// BenchmarkFidelity sends every arrival at three rates to a server in a process of its own that records when requests
// arrive, and reports the rate, the coefficient of variation and the Kolmogorov–Smirnov test of what arrived.
func BenchmarkFidelity(b *testing.B) {
	for _, kind := range arrival.Kinds() {
		for _, rate := range []float64{200, 1000, 5000} {
			b.Run(fmt.Sprintf("%s/%g", kind, rate), func(b *testing.B) {
				for b.Loop() {
					benchmarkFidelity(b, kind, rate)
				}
			})
		}
	}
}

func benchmarkFidelity(b *testing.B, kind arrival.Kind, rate float64) {
	r := startRecorder(b)
	duration := time.Duration(5000 / rate * float64(time.Second))
	spec := arrival.Spec{Kind: kind}
	a, err := New(Config{Workloads: []Workload{{
		Name:     "recorder",
		Targeter: vegeta.NewStaticTargeter(vegeta.Target{Method: "GET", URL: r.url}),
		Bursts:   []Burst{{Arrival: spec, Rate: arrival.Constant(rate), Duration: duration, Seed: 1}},
	}}})
	if err != nil {
		b.Fatal(err)
	}
	report, err := a.Run(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	times := r.arrivals(b)
	law, _ := spec.Gaps(1)
	gaps := make([]float64, 0, len(times))
	for i := 1; i < len(times); i++ {
		gaps = append(gaps, (times[i]-times[i-1]).Seconds()*rate)
	}
	var m moments
	for _, g := range gaps {
		m.add(g)
	}
	mean, cv := m.mean, m.cv()
	slices.Sort(gaps)
	for _, us := range []float64{0, 10, 20, 50, 100, 200} {
		d := arrival.Distance(gaps, law.CDF, us*1e-6*rate)
		b.Logf("%s %g n=%d tol=%gus d=%.4f p=%.4f", kind, rate, len(gaps), us, d, arrival.KolmogorovSmirnov(d, len(gaps)))
	}
	b.Logf("sender: %+v lateness %+v", report.Workloads[0].Bursts[0].Interarrival, report.Lateness)
	q := func(p float64) float64 { return gaps[int(p*float64(len(gaps)))] / rate * 1e6 }
	b.ReportMetric(100*(1/mean-1), "rate_error_%")
	b.ReportMetric(cv, "cv")
	b.ReportMetric(law.CV(), "cv_theory")
	b.ReportMetric(q(0.1), "p10_µs")
	b.ReportMetric(q(0.5), "p50_µs")
	b.ReportMetric(q(0.9), "p90_µs")
}
