package sim

import (
	"math"
	"testing"

	"trimtab/deathstarbench"
)

// The utilisation law: a machine's processors are busy for arrival rate × service time ÷ slots.
func TestMachinesSayHowBusyTheyAre(t *testing.T) {
	sc, err := deathstarbench.Load("capacity-1-2-4-40")
	if err != nil {
		t.Fatal(err)
	}
	for i := range sc.Upstreams {
		sc.Upstreams[i].Weights = []int{1, 2, 4} // by capacity: all are as busy
	}
	s, err := New(sc, Options{Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	mean, pressure, n := map[string]float64{}, 0.0, 0.0
	for !s.Done() {
		sample, err := s.Step()
		if err != nil {
			t.Fatal(err)
		}
		if len(sample.Hosts) != 3 {
			t.Fatalf("machines: got %+v, want three", sample.Hosts)
		}
		for _, h := range sample.Hosts {
			mean[h.Server] += h.CPU
			pressure = max(pressure, h.CPUPressure)
			if h.Memory != -1 || h.CPU < 0 || h.CPU > 1 || h.CPUPressure < 0 || h.CPUPressure > 1 {
				t.Fatalf("a machine: got %+v, want shares, and memory unknown", h)
			}
		}
		n++
	}
	for name, sum := range mean {
		if got := sum / n; math.Abs(got-0.4) > 0.04 {
			t.Errorf("processor of %s: got %.3f busy, want about 0.40", name, got)
		}
	}
	if pressure == 0 {
		t.Error("no request ever waited: got no pressure")
	}
}
