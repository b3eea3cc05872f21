package fleet

import (
	"testing"
	"time"

	"trimtab/control"
	"trimtab/weights"
)

// master is a central policy that teaches what it plans now.
type master struct{ wish }

func (m *master) PlanFor(float64) weights.Set { return m.Decision.Weights }

func TestWhenAStudentIsMadeAnew(t *testing.T) {
	t.Parallel()
	const interval = 3 * time.Second
	for _, c := range []struct {
		name   string
		change func(m *master, load, ms *uint64) // after ten minutes
		why    string                            // empty: none is made
	}{
		{"nothing has changed", func(*master, *uint64, *uint64) {}, ""},
		{"answers take a tenth longer", func(_ *master, _, ms *uint64) { *ms = 22 }, ""},
		{"answers take twice as long", func(_ *master, _, ms *uint64) { *ms = 40 }, "rewards have fallen"},
		{"the load has doubled", func(_ *master, load, _ *uint64) { *load = 120 }, "the load has moved"},
		{"requests are to go elsewhere", func(m *master, _, _ *uint64) { m.Decision.Weights = pair(1, 3) },
			"the plan has changed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			policy := &master{wish{control.Fixed{Decision: control.Decision{Weights: pair(3, 1)}}}}
			centre, err := NewCentre(CentreConfig{Policy: policy, Epoch: 1})
			if err != nil {
				t.Fatal(err)
			}
			at, seq, load, ms := noon, uint64(0), uint64(60), uint64(20)
			play := func(steps int) {
				for range steps {
					at, seq = at.Add(interval), seq+1
					for _, name := range []string{"one", "two", "three"} {
						s := sampleOf(name, seq, at, load, load/3)
						s.Groups[0].Weights = []int{3, 1}
						if centre.plan.Weights.Equal(pair(1, 3)) {
							s.Groups[0].Weights = []int{1, 3}
						}
						for i, n := range s.Groups[0].Requests {
							s.Groups[0].ResponseMS[i], s.Groups[0].RequestMS[i] = n*ms, n*ms
						}
						if q := centre.Receive(s, at); q != nil {
							t.Fatal(q)
						}
					}
					centre.Step(at)
				}
			}
			play(int(10 * time.Minute / interval))
			first := centre.Student()
			if got := centre.PolicyLine(); first == nil || got.Stable != first.Version || got.Taught != "the first" {
				t.Fatalf("after ten minutes: student %v, policy %+v: want the first one at all nodes", first, got)
			}
			c.change(policy, &load, &ms)
			play(int(5 * time.Minute / interval))
			got := centre.Student()
			if (got.Version > first.Version) != (c.why != "") {
				t.Errorf("got version %d after %d", got.Version, first.Version)
			}
			if why := centre.PolicyLine().Taught; c.why != "" && why != c.why {
				t.Errorf("made because %q, want %q", why, c.why)
			}
		})
	}
}

func TestStudentDecidesWithoutAllocating(t *testing.T) {
	s := &Student{Version: 1, Groups: []string{"u"}}
	for i := range lessons() {
		s.Rows = append(s.Rows, Lesson{RatePerSec: []float64{float64(10 * (i + 1))}, Weights: pair(1, i+1)})
	}
	v, _ := Sum(partsOf(sampleOf("n", 1, noon, 100, 100)), noon, 3*time.Second)
	if n := testing.AllocsPerRun(100, func() { s.Decide(&v, 0.1) }); n > 0 {
		t.Errorf("%v allocations for a decision, want none", n)
	}
}
