package rival

import (
	"math"
	"testing"
	"time"

	"trimtab/control"
	"trimtab/vts"
	"trimtab/weights"
)

// sampleOf builds a sample of one group "g" whose servers s0, s1… have the given requests, mean response and errors.
func sampleOf(rows ...[3]float64) vts.Sample {
	g := vts.GroupSample{Name: "g"}
	for i, r := range rows {
		p := vts.PeerSample{Server: string(rune('a' + i)), Weight: 1, Known: r[0] > 0,
			Requests: uint64(r[0]), ResponseMsec: uint64(r[0] * r[1])}
		p.Responses[4] = uint64(r[2])
		p.Responses[1] = uint64(r[0] - r[2])
		g.Peers = append(g.Peers, p)
	}
	return vts.Sample{Interval: 3 * time.Second, Groups: []vts.GroupSample{g}}
}

func weightsOf(n ...int) weights.Set {
	m := make(weights.Group)
	for i, v := range n {
		w, err := weights.New(v)
		if err != nil {
			panic("rival: " + err.Error())
		}
		m[string(rune('a'+i))] = weights.Setting{Weight: w}
	}
	return weights.Set{"g": m}
}

// step lets a policy observe an interval and choose.
func step(p control.Policy, s vts.Sample, inForce weights.Set) control.Decision {
	p.Observe(s, inForce)
	return p.Choose()
}

func TestEqual(t *testing.T) {
	s := sampleOf([3]float64{10, 5, 0}, [3]float64{10, 5, 0})
	if d := step(NewEqual(), s, weightsOf(3, 1)); !d.Weights.Equal(weightsOf(1, 1)) {
		t.Errorf("uneven weights become equal: got %v", d.Weights)
	}
	if d := step(NewEqual(), s, weightsOf(1, 1)); len(d.Weights) != 0 {
		t.Errorf("equal weights are held: got %v", d.Weights)
	}
}

func TestL3Weight(t *testing.T) {
	for _, c := range []struct {
		about             string
		response, success float64
		want              float64
	}{
		{"20 ms without errors: 100/(1.02²·0.02)", 0.02, 1, 100 / (1.02 * 1.02 * 0.02)},
		{"half of the answers wrong: 600 ms more", 0.001, 0.5, 100 / (1.001 * 1.001 * 0.601)},
		{"a minute of latency floors at 1", 60, 1, 1},
		{"0 ms counts half a millisecond", 0, 1, 100 / (1.0005 * 1.0005 * 0.0005)},
	} {
		if got := l3Weight(c.response, c.success, 0.6); math.Abs(got-c.want) > 1e-9*c.want {
			t.Errorf("%s: got %v, want %v", c.about, got, c.want)
		}
	}
}

func TestL3(t *testing.T) {
	for _, c := range []struct {
		about  string
		sample vts.Sample
		start  weights.Set
		want   weights.Set
	}{
		{"half the latency gets about double the weight (1.01²·0.01 : 1.02²·0.02)",
			sampleOf([3]float64{100, 10, 0}, [3]float64{100, 20, 0}), weightsOf(1, 1), weightsOf(2, 1)},
		{"the same latency is held", sampleOf([3]float64{100, 10, 0}, [3]float64{100, 10, 0}), weightsOf(1, 1), nil},
		{"a server without requests gets a try", sampleOf([3]float64{100, 10, 0}, [3]float64{0, 0, 0}),
			weightsOf(100, 1), weightsOf(1, 1)},
		{"no requests at all: hold", sampleOf([3]float64{0, 0, 0}, [3]float64{0, 0, 0}), weightsOf(5, 1), nil},
	} {
		l, err := NewL3(L3Config{})
		if err != nil {
			t.Fatal(err)
		}
		if d := step(l, c.sample, c.start); !d.Weights.Equal(c.want) {
			t.Errorf("%s: got %v, want %v", c.about, d.Weights, c.want)
		}
	}
	if _, err := NewL3(L3Config{DeadBand: 2}); err == nil {
		t.Error("a dead band of 2 is refused: got no error")
	}
}

func TestRandomRepeatsWithItsSeed(t *testing.T) {
	s := sampleOf([3]float64{1, 1, 0}, [3]float64{1, 1, 0}, [3]float64{1, 1, 0})
	a, b := NewRandom(7), NewRandom(7)
	seen := make(map[string]bool)
	for range 50 {
		x, y := step(a, s, nil), step(b, s, nil)
		if !x.Weights.Equal(y.Weights) {
			t.Fatalf("same seed: got %v and %v", x.Weights, y.Weights)
		}
		seen[x.Weights["g"]["a"].Weight.String()+x.Weights["g"]["b"].Weight.String()+x.Weights["g"]["c"].Weight.String()] = true
	}
	if len(seen) < 10 {
		t.Errorf("50 draws of 25 distinct vectors: got %d different ones", len(seen))
	}
}
