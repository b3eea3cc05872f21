package pursuit_test

import (
	"strings"
	"testing"
	"time"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/objective"
	"trimtab/pursuit"
	"trimtab/vts"
)

// crowd is two servers of two slots that are asked for more than they serve, under a policy whose bound is 150 ms.
type crowd struct {
	t      *testing.T
	world  *sim.Sim
	policy *pursuit.Policy
}

func newCrowd(t *testing.T, service time.Duration, perSec float64) *crowd {
	t.Helper()
	sc := &deathstarbench.Scenario{Name: "crowd", Duration: deathstarbench.Duration(5 * time.Minute),
		ControlInterval: deathstarbench.Duration(time.Second),
		Loads: []deathstarbench.Traffic{{Workload: "read", Arrival: "norm",
			Phases: []deathstarbench.Phase{{Rate: perSec}}}}}
	app := deathstarbench.Upstream{Name: "app", Workload: "read"}
	for _, name := range []string{"one", "two"} {
		sc.Servers = append(sc.Servers, deathstarbench.Server{Name: name, Slots: 2, ServiceCV: 0.01,
			QueueLimit: deathstarbench.DefaultQueueLimit,
			Service:    map[string]deathstarbench.Duration{"read": deathstarbench.Duration(service)}})
		app.Servers = append(app.Servers, name)
	}
	sc.Upstreams = append(sc.Upstreams, app)
	o, err := objective.New(objective.Spec{Kind: objective.KindThroughput,
		Upstreams: map[string]objective.Terms{"app": {Bound: 150 * time.Millisecond, Importance: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := pursuit.New(pursuit.Config{Objective: o, Watch: 2 * time.Second, FixedWeights: true,
		Admission: map[string]control.AdmissionLimits{"app": {Most: 0.9, Step: 0.05}},
		Search:    pursuit.Options{Interval: time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	world, err := sim.New(sc, sim.Options{Seed: 1, Live: true})
	if err != nil {
		t.Fatal(err)
	}
	return &crowd{t, world, p}
}

// blind lets seconds go by without telemetry: everybody is let in.
func (c *crowd) blind(seconds int) {
	c.t.Helper()
	c.policy.Released()
	c.set(map[string]float64{"app": 0})
	for range seconds {
		c.step()
	}
}

// watch has the policy decide once a second, and says in how many of them a share was refused and the bound held.
func (c *crowd) watch(seconds int) (refused, held int) {
	c.t.Helper()
	p := c.policy
	for range seconds {
		s := c.step()
		p.Observe(s, control.InForce(s))
		d := p.Choose()
		c.set(p.Levels().With(d.Levels).Blocked)
		p.Committed(control.Receipt{Levels: d.Levels})
		if p.Levels().Blocked["app"] > 0 {
			refused++
		}
		if p.Explain().Objective.Services["app"].Held {
			held++
		}
	}
	return refused, held
}

func (c *crowd) step() vts.Sample {
	c.t.Helper()
	s, err := c.world.Step()
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

func (c *crowd) set(blocked map[string]float64) {
	c.t.Helper()
	if err := c.world.SetBlocked(blocked); err != nil {
		c.t.Fatal(err)
	}
}

// How long a request takes without waiting was never seen. Refusing begins all the same, and again after telemetry was
// gone.
func TestAnOverloadThatWasThereFirstIsRefused(t *testing.T) {
	c := newCrowd(t, 25*time.Millisecond, 250)
	for _, since := range []struct {
		name string
		away int // s without telemetry before
	}{
		{"since before the first interval", 3},
		{"after ten seconds without telemetry", 10},
	} {
		c.blind(since.away)
		c.watch(30)
		if refused, held := c.watch(60); refused < 54 || held < 45 {
			t.Errorf("%s: a share is refused in %d of 60 intervals and the bound held in %d: %s", since.name, refused, held,
				c.policy.Explain().Reason)
		}
	}
}

// What is refused to see how long requests take is let in again once that is longer than the bound.
func TestABoundBeyondReachIsFoundOut(t *testing.T) {
	c := newCrowd(t, 200*time.Millisecond, 30)
	c.blind(3)
	refused, _ := c.watch(60)
	if refused == 0 || refused > 20 {
		t.Errorf("a share was refused in %d of 60 intervals, want some", refused)
	}
	if refused, _ = c.watch(60); refused > 0 || !strings.Contains(c.policy.Explain().Reason, "at any load") {
		t.Errorf("a share was refused in %d of the 60 after them: %s", refused, c.policy.Explain().Reason)
	}
}
