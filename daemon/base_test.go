package daemon

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"trimtab/control"
	"trimtab/nginx"
	"trimtab/tuner"
	"trimtab/vts"
	"trimtab/weights"
)

func setOf(list ...int) map[string]weights.Setting {
	m := map[string]weights.Setting{}
	for i, n := range list {
		if w, err := weights.New(n); err == nil { // 0: not there
			m[fmt.Sprintf("s%d", i)] = weights.Setting{Weight: w}
		}
	}
	return m
}

func TestWhoseWeightsAreInForce(t *testing.T) {
	nobody := &tuner.Explanation{}
	operator := &tuner.Explanation{Pools: []tuner.PoolExplanation{{Bounds: []tuner.Bound{tuner.BoundOperator}}}}
	for _, c := range []struct {
		name            string
		now, base, ours map[string]weights.Setting
		start           bool
		explained       *tuner.Explanation // nil: a learner that explains nothing
		wantBase        map[string]weights.Setting
		wantOurs        bool
	}{
		{"never seen: the operator's", setOf(1, 2), nil, nil, false, nobody, setOf(1, 2), false},
		{"tuned: the operator's stay known", setOf(3, 5), setOf(1, 1), setOf(3, 5), false, nobody, setOf(1, 1), true},
		{"edited while the daemon runs: the new base", setOf(7, 5), setOf(1, 1), setOf(3, 5), false, operator,
			setOf(7, 5), false},
		{"another upstream was edited: not this one's base", setOf(3, 5), setOf(1, 1), setOf(3, 5), false, operator,
			setOf(1, 1), true},
		{"edited while the daemon was away", setOf(7, 5), setOf(1, 1), setOf(3, 5), true, nobody, setOf(7, 5), false},
		{"restarted on our weights", setOf(3, 5), setOf(1, 1), setOf(3, 5), true, nobody, setOf(1, 1), true},
		{"a server was removed: the base forgets it", setOf(3), setOf(1, 1), setOf(3, 5), false, nobody, setOf(1),
			true},
		{"a server was added while the daemon was away", setOf(3, 5, 9), setOf(1, 1), setOf(3, 5), true, nobody,
			setOf(1, 1, 9), true},
		{"a server was renamed", setOf(3, 0, 4), setOf(1, 1), setOf(3, 5), false, nobody, setOf(1, 0, 4), true},
		{"a server was added and another's weight edited", setOf(8, 5, 9), setOf(1, 1), setOf(3, 5), false, nobody,
			setOf(8, 5, 9), false},
		{"edited while a learner runs that explains nothing", setOf(7, 5), setOf(1, 1), setOf(3, 5), false, nil,
			setOf(7, 5), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, _, _ := testService(t, nil)
			d.based = !c.start
			d.state.Base, d.state.LastGood = weights.Set{}, weights.Set{}
			if c.base != nil {
				d.state.Base["app"] = c.base
			}
			if c.ours != nil {
				d.state.LastGood["app"] = c.ours
			}
			g := vts.GroupSample{Name: "app"}
			for server, s := range c.now {
				g.Peers = append(g.Peers, vts.PeerSample{Server: server, Weight: s.Weight.Int()})
			}
			d.account(d.session, &vts.Sample{Groups: []vts.GroupSample{g}}, control.Outcome{}, c.explained)
			if got := d.state.Base; !got.Equal(weights.Set{"app": c.wantBase}) {
				t.Errorf("the operator's: got %v, want %v", got, c.wantBase)
			}
			if _, ours := d.state.LastGood["app"]; ours != c.wantOurs {
				t.Errorf("ours: got %t, want %t", ours, c.wantOurs)
			}
		})
	}
}

func TestRendersOfAGenerator(t *testing.T) {
	operator := &tuner.Explanation{Pools: []tuner.PoolExplanation{{Bounds: []tuner.Bound{tuner.BoundOperator}}}}
	for _, c := range []struct {
		name, answer string
		now          weights.Group
		again        weights.Group
		wantOurs     bool
		alone        bool
	}{
		{"the operator's weights come back: a new base", renderNewBase, setOf(1, 1), nil, false, false},
		{"the same, kept", renderKeep, setOf(1, 1), setOf(3, 5), true, false},
		{"the same, held", renderHold, setOf(1, 1), nil, false, true},
		{"a server came with the operator's weights: what was learned is kept", renderNewBase, setOf(1, 1, 9),
			setOf(3, 5, 9), true, false},
		{"a server went with the operator's weights", renderHold, setOf(0, 1), setOf(0, 5), true, false},
		{"other weights are an edit, whatever is answered to renders", renderKeep, setOf(7, 1), nil, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, log, _ := testService(t, nil)
			d.session.cfg.Nginx.OnRender = c.answer
			g := vts.GroupSample{Name: "app"}
			for server, s := range c.now {
				g.Peers = append(g.Peers, vts.PeerSample{Server: server, Weight: s.Weight.Int()})
			}
			for range renderMany {
				d.based = true
				d.state.Base, d.state.LastGood = weights.Set{"app": setOf(1, 1)}, weights.Set{"app": setOf(3, 5)}
				d.account(d.session, &vts.Sample{Groups: []vts.GroupSample{g}}, control.Outcome{}, operator)
			}
			if _, ours := d.state.LastGood["app"]; ours != c.wantOurs {
				t.Errorf("ours: got %t, want %t", ours, c.wantOurs)
			}
			if got := d.renders.again["app"]; !maps.Equal(got, c.again) {
				t.Errorf("to put in force again: got %v, want %v", got, c.again)
			}
			if got := d.session.alone["app"]; got != c.alone {
				t.Errorf("left alone: got %t, want %t", got, c.alone)
			}
			want := 1
			if c.now["s0"] == setOf(7)["s0"] {
				want = 0
			}
			if n := strings.Count(log.String(), "again and again"); n != want {
				t.Errorf("said %d times, want %d: %s", n, want, log)
			}
		})
	}
}

func TestHoldAlsoHoldsTheRestoreAtTheEnd(t *testing.T) {
	d, log, _ := testService(t, nil)
	d.state.Base, d.state.LastGood = weights.Set{"app": setOf(1, 1)}, weights.Set{"app": setOf(3, 5)}
	d.pause(true)
	if err := d.putBack(t.Context()); err != nil || !strings.Contains(log.String(), "not restored") {
		t.Errorf("got %v, log %s", err, log)
	}
	if d.state.LastGood == nil {
		t.Error("the daemon forgot whose weights are in force")
	}
}

// At the end there is no next step: what passes by itself within the minute is waited for.
func TestRestoreWaitsForTheReloadBudget(t *testing.T) {
	for _, c := range []struct {
		name    string
		refused []time.Duration // RetryAfter of each refusal before the restore passes
		want    time.Duration   // when it is over
		ok      bool
	}{
		{"allowed at once", nil, 0, true},
		{"a second after the last reload, and then a reload of somebody else's",
			[]time.Duration{time.Second, 2 * time.Second}, 3 * time.Second, true},
		{"the burst is used up", []time.Duration{30 * time.Second}, 30 * time.Second, true},
		{"the breaker is open for longer than there is time", []time.Duration{10 * time.Minute}, 0, false},
		{"somebody has to act first", []time.Duration{0}, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				began, left := time.Now(), c.refused
				_, err := patiently(ctx, func() (control.Receipt, error) {
					if len(left) == 0 {
						return control.Receipt{Changed: true}, nil
					}
					refusal := &nginx.Refusal{RetryAfter: left[0]}
					left = left[1:]
					return control.Receipt{}, fmt.Errorf("weights not applied: %w", refusal)
				})
				if took := time.Since(began); (err == nil) != c.ok || took != c.want {
					t.Errorf("got %v after %s, want success %t after %s", err, took, c.ok, c.want)
				}
			})
		})
	}
}
