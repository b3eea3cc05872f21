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
	needScript(b)
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

// fidelitySeconds is how long each rate is sent: enough gaps for the tests, and all kinds within three minutes.
func fidelitySeconds(rate float64) time.Duration {
	switch {
	case rate <= 200:
		return 30 * time.Second
	case rate <= 1000:
		return 10 * time.Second
	}
	return 4 * time.Second
}

func benchmarkFidelity(b *testing.B, kind arrival.Kind, rate float64) {
	if err := Realtime(); err != nil {
		b.Log("other processes disturb these figures: ", err)
	}
	r := startRecorder(b) // inherits the priority
	spec := arrival.Spec{Kind: kind}
	a, err := New(Config{Workloads: []Workload{{
		Name:     "recorder",
		Targeter: vegeta.NewStaticTargeter(vegeta.Target{Method: "GET", URL: r.url}),
		Bursts:   []Burst{{Arrival: spec, Rate: arrival.Constant(rate), Duration: fidelitySeconds(rate), Seed: 1}},
	}}})
	if err != nil {
		b.Fatal(err)
	}
	report, err := a.Run(b.Context())
	if err != nil || report.Errors > 0 {
		b.Fatalf("got %d errors, %v", report.Errors, err)
	}
	times := r.arrivals(b)
	law, _ := spec.Gaps(1)
	gaps := make([]float64, 0, len(times))
	var m moments
	for i := 1; i < len(times); i++ {
		gap := (times[i] - times[i-1]).Seconds() * rate
		gaps = append(gaps, gap)
		m.add(gap)
	}
	slices.Sort(gaps)
	exact, tolerant := arrival.Distance(gaps, law.CDF, 0), arrival.Distance(gaps, law.CDF, gapTolerance.Seconds()*rate)
	at := func(p float64) float64 { return gaps[int(p*float64(len(gaps)))] / rate * 1e6 }
	sent := report.Interarrival
	b.ReportMetric(float64(len(gaps)), "gaps")
	b.ReportMetric(100*(1/m.mean-1), "rate_error_%")
	b.ReportMetric(100*(1/sent.DrawnMean-1), "rate_drawn_error_%")
	b.ReportMetric(m.cv(), "cv")
	b.ReportMetric(sent.DrawnCV, "cv_drawn")
	b.ReportMetric(law.CV(), "cv_theory")
	b.ReportMetric(exact, "ks_d")
	b.ReportMetric(arrival.KolmogorovSmirnov(exact, len(gaps)), "ks_p_exact")
	b.ReportMetric(tolerant, "ks_d_tolerant")
	b.ReportMetric(arrival.KolmogorovSmirnov(tolerant, len(gaps)), "ks_p")
	b.ReportMetric(at(0.1), "p10_us")
	b.ReportMetric(at(0.5), "p50_us")
	b.ReportMetric(at(0.9), "p90_us")
	b.ReportMetric(1000*report.Lateness.P99, "lateness_p99_us")
	b.ReportMetric(0, "ns/op")
}
