//go:build linux

package loadgen

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"trimtab/loadgen/arrival"
)

// BenchmarkTiming sends fixed arrivals at rising rates to a server in a process of its own that records when requests
// arrive, and reports the gaps there and the processor time that sending took; stock vegeta once, for comparison.
func BenchmarkTiming(b *testing.B) {
	needScript(b)
	ours := func(rate float64) func(*testing.B, string) {
		return func(b *testing.B, url string) {
			a, err := New(Config{Workloads: []Workload{{
				Name: "recorder", Targeter: vegeta.NewStaticTargeter(vegeta.Target{Method: "GET", URL: url}),
				Bursts: []Burst{{Arrival: arrival.Spec{Kind: arrival.Fixed}, Rate: arrival.Constant(rate),
					Duration: timingRound, Seed: 1}},
			}}})
			if err != nil {
				b.Fatal(err)
			}
			if r, err := a.Run(b.Context()); err != nil || r.Errors > 0 {
				b.Fatalf("got %d errors, %v", r.Errors, err)
			}
		}
	}
	stock := func(b *testing.B, url string) {
		target := vegeta.NewStaticTargeter(vegeta.Target{Method: "GET", URL: url})
		for r := range vegeta.NewAttacker().Attack(target, vegeta.Rate{Freq: 2000, Per: time.Second}, timingRound, "") {
			if r.Code != 200 {
				b.Fatal(r.Error)
			}
		}
	}
	b.Run("stock/2000", func(b *testing.B) { benchmarkTiming(b, 2000, stock) })
	for _, rate := range []float64{500, 1000, 2000, 5000, 10_000, 20_000, 40_000} {
		b.Run(fmt.Sprintf("ours/%g", rate), func(b *testing.B) { benchmarkTiming(b, rate, ours(rate)) })
	}
}

const timingRound = 3 * time.Second

func benchmarkTiming(b *testing.B, rate float64, send func(*testing.B, string)) {
	if err := Realtime(); err != nil {
		b.Log("other processes disturb these figures: ", err)
	}
	var rows [][]float64
	for b.Loop() {
		r := startRecorder(b)
		cpu := processorTime()
		send(b, r.url)
		cpu = processorTime() - cpu
		times := r.arrivals(b)
		gaps := make([]float64, 0, len(times))
		for i := 1; i < len(times); i++ {
			gaps = append(gaps, (times[i]-times[i-1]).Seconds()*1e6)
		}
		slices.Sort(gaps)
		at := func(p float64) float64 { return gaps[int(p*float64(len(gaps)))] }
		rows = append(rows, []float64{1e6 / rate, at(0.1), at(0.5), at(0.9),
			100 * cpu.Seconds() / timingRound.Seconds()})
	}
	for i, unit := range []string{"asked_us", "p10_us", "p50_us", "p90_us", "CPU_%"} {
		b.ReportMetric(medianOf(rows, func(row []float64) float64 { return row[i] }), unit)
	}
	b.ReportMetric(0, "ns/op")
}

// processorTime is what this process has used so far.
func processorTime() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
