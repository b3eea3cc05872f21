package tuner_test

import "testing"

// A server is left next to nothing when it fails what its peers do not, and when that is no chance.
func TestWhoIsLeftNextToNothing(t *testing.T) {
	good := [3]float64{300, 20, 0}
	for _, c := range []struct {
		name      string
		third     [3]float64 // requests, ms and failures of the third server
		peers     [3]float64 // and of the others, which have no failures before
		intervals int
		shunned   bool
	}{
		{"half of the answers fail, for one interval", [3]float64{300, 20, 150}, good, 1, true},
		{"half of the answers fail, since a third of the interval", [3]float64{300, 20, 50}, good, 1, true},
		{"one of twenty fails", [3]float64{300, 20, 15}, good, 5, false},
		{"two of two fail", [3]float64{2, 20, 2}, [3]float64{4, 20, 0}, 1, false},
		{"two of six fail", [3]float64{6, 20, 2}, good, 1, false},
		{"half of the answers of all fail", [3]float64{300, 20, 150}, [3]float64{300, 20, 150}, 4, false},
		{"a slow server among peers that all fail alike", [3]float64{300, 90, 120}, [3]float64{300, 20, 120}, 4, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newTuner(t, nil)
			current := []int{50, 50, 50}
			for range 10 {
				before := [3]float64{c.peers[0], c.peers[1], 0}
				decide(p, synthetic(current, before, before, [3]float64{c.peers[0], c.third[1], 0}))
			}
			for range c.intervals {
				s := synthetic(current, c.peers, c.peers, c.third)
				if d := decide(p, s); len(d.Weights) > 0 {
					current = commit(p, s, d.Weights)
				}
			}
			share := float64(current[2]) / float64(current[0]+current[1]+current[2])
			if got := share <= 0.02; got != c.shunned {
				t.Errorf("got weights %v (%s), want the third next to nothing %t", current, p.Explain().Reason,
					c.shunned)
			}
		})
	}
}
