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

// A few 4xx may be chance, and are held against nobody. Once it is certain that they are the server's own, those that
// came before count as well, so that a server that is sent little is not known later than it need be; whether or not a
// server is added meanwhile, or the tuner is begun anew.
func TestWhatAServerFailedBeforeItWasCertain(t *testing.T) {
	for _, c := range []struct {
		name    string
		added   bool
		restart bool
	}{
		{"nothing else happens", false, false},
		{"a server is added", true, false},
		{"the tuner is restarted", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newTuner(t, nil)
			rows := [][3]float64{{110, 20}, {110, 20}, {60, 20}}
			errors := func(requests, clientErrors uint64) float64 {
				rows[2][0] = float64(requests)
				s := synthetic([]int{1, 1, 1, 1}, rows...)
				third := &s.Groups[0].Peers[2].Responses
				third[1], third[3] = requests-clientErrors, clientErrors
				decide(p, s)
				return p.Explain().Pools[0].Servers[2].Errors
			}
			for range 12 {
				errors(60, 0)
			}
			if got := errors(12, 4); got != 0 {
				t.Errorf("four of the last requests: got a share of %.3f that is its own, want 0: it may be chance", got)
			}
			if c.added {
				rows = append(rows, [3]float64{110, 20})
			}
			if c.restart {
				s, err := p.Snapshot()
				if err != nil {
					t.Fatal(err)
				}
				p = restored(t, s, newTuner(t, nil))
			}
			// 2 of 8, and 4 of 12 of which a quarter is forgotten, with the eight requests without a failure that are
			// believed
			if got := errors(8, 2); got < 0.17 || got > 0.23 {
				t.Errorf("two more: got a share of %.3f that is its own, want 0.20: all six count", got)
			}
			if got := errors(8, 0); got > 0.13 {
				t.Errorf("none more: got a share of %.3f that is its own, want 0.11: the six count once", got)
			}
		})
	}
}
