package tuner_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"

	"trimtab/control"
	"trimtab/tuner"
	"trimtab/tuner/load"
	"trimtab/vts"
)

// fleet returns samples of g groups with n servers each, of their own or shared by all groups, with the noise that
// counting makes. The load of every other run of four samples is half as high again.
func fleet(g, n int, shared bool, rng *rand.Rand) func() vts.Sample {
	at, calls := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), 0
	return func() vts.Sample {
		at = at.Add(3 * time.Second)
		rate := 60.0
		if calls++; calls%8 >= 4 {
			rate = 90
		}
		s := vts.Sample{At: at, Interval: 3 * time.Second}
		for i := range g {
			group := vts.GroupSample{Name: fmt.Sprintf("group-%03d", i)}
			for j := range n {
				name := fmt.Sprintf("10.%d.%d.1:80", i, j)
				if shared {
					name = fmt.Sprintf("10.0.%d.1:80", j)
				}
				count := uint64(math.Max(0, rate+8*rng.NormFloat64()))
				mean := (10 + 5*float64(j%4)) * (1 + 0.05*rng.NormFloat64())
				p := vts.PeerSample{Server: name, Weight: 1, Known: true, Requests: count,
					ResponseMsec: uint64(float64(count) * mean)}
				p.Responses[1] = count
				p.BucketsMsec = []float64{1, 5, 10, 20, 50, 100, 1000}
				p.Buckets = []uint64{0, count / 10, count / 4, count / 2, count, count, count}
				group.Peers = append(group.Peers, p)
			}
			s.Groups = append(s.Groups, group)
		}
		return s
	}
}

func benchmarkStep(b *testing.B, groups, servers int, shared bool) {
	t, err := tuner.New(tuner.Config{Regimes: load.RegimeConfig{Observe: -1}})
	if err != nil {
		b.Fatal(err)
	}
	next := fleet(groups, servers, shared, rand.New(rand.NewPCG(1, 2)))
	samples := make([]vts.Sample, 8)
	for i := range samples {
		samples[i] = next()
	}
	current := control.InForce(samples[0])
	step := func(i int) {
		t.Observe(samples[i%len(samples)], current)
		if d := t.Choose(); len(d.Weights) > 0 {
			maps.Copy(current, d.Weights)
			t.Committed(control.Receipt{Want: d.Weights, Changed: true})
		}
	}
	for i := range 40 {
		step(i)
	}
	var after runtime.MemStats
	b.ReportAllocs()
	i, slowest, most, start := 0, time.Duration(0), time.Duration(0), cpuTime(b)
	for b.Loop() {
		began, used := time.Now(), cpuTime(b)
		step(i)
		slowest, most = max(slowest, time.Since(began)), max(most, cpuTime(b)-used)
		i++
	}
	b.ReportMetric(float64(cpuTime(b)-start)/1e6/float64(i), "cpu_ms")
	b.ReportMetric(float64(most)/1e6, "slowest_cpu_ms")
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(t)
	b.ReportMetric(float64(after.HeapAlloc)/(1<<20), "heap_MiB")
	b.ReportMetric(float64(slowest)/1e6, "slowest_ms")
}

// cpuTime is what the process has used of the processors: on a machine that others use too, it says more than the
// clock.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestFirstStepsOfALargePool: 100 groups share 100 servers that nothing is known of. All are known after a few steps.
func TestFirstStepsOfALargePool(t *testing.T) {
	p, err := tuner.New(tuner.Config{Regimes: load.RegimeConfig{Observe: -1}})
	if err != nil {
		t.Fatal(err)
	}
	next := fleet(100, 100, true, rand.New(rand.NewPCG(5, 6)))
	const steps = 4
	for range steps {
		s := next()
		p.Observe(s, control.InForce(s))
	}
	for _, sv := range p.Explain().Pools[0].Servers {
		if len(sv.CapacityPerSec) != 100 || sv.Slots < 1 {
			t.Errorf("%s: %d classes and %.1f slots are known after %d steps, want 100 and at least 1", sv.Server,
				len(sv.CapacityPerSec), sv.Slots, steps)
		}
	}
}

// The design asks for less than 50 ms and 64 MiB for 100 groups of 100 servers.
func BenchmarkStep100x100(b *testing.B)       { benchmarkStep(b, 100, 100, false) }
func BenchmarkStep100x100Shared(b *testing.B) { benchmarkStep(b, 100, 100, true) }
func BenchmarkStep1x1000(b *testing.B)        { benchmarkStep(b, 1, 1000, false) }
func BenchmarkStep3x3(b *testing.B)           { benchmarkStep(b, 3, 3, true) }
