package daemon

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"trimtab/control"
	"trimtab/helper"
	"trimtab/nginx"
	"trimtab/prove"
	"trimtab/vts"
	"trimtab/weights"
)

// playedNGINX is an upstream "app" of two servers whose weights can be set, with the page that shows what follows: the
// more of the requests the second server gets, the faster they all are.
type playedNGINX struct {
	mu      sync.Mutex
	page    steadyPage
	weights weights.Set
	sums    [2]vts.Peer
	last    time.Time
}

func newPlayed() *playedNGINX {
	return &playedNGINX{page: steadyPage{began: time.Now()}, last: time.Now(),
		weights: weights.Set{"app": {"127.0.0.1:9001": {Weight: weights.Clamp(1)},
			"127.0.0.1:9002": {Weight: weights.Clamp(1)}}}}
}

func (p *playedNGINX) Status(context.Context) (vts.Status, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	ms := uint64(now.Sub(p.last).Milliseconds())
	p.last = now
	st := vts.Status{At: now, NowMsec: now.UnixMilli(), LoadMsec: p.page.began.UnixMilli(), NginxVer: "1.22.1",
		Upstreams: []vts.Upstream{{Name: "app"}}}
	ratio := uint64(p.weights["app"]["127.0.0.1:9002"].Weight.Int()) /
		uint64(p.weights["app"]["127.0.0.1:9001"].Weight.Int())
	for i, server := range []string{"127.0.0.1:9001", "127.0.0.1:9002"} {
		sum := &p.sums[i]
		sum.Requests += ms / 10
		sum.Responses[1] += ms / 10
		sum.ResponseMsec += ms / 10 * (20 + 20/ratio + ms%3)
		sum.RequestMsec = sum.ResponseMsec
		peer := *sum
		peer.Server, peer.Weight = server, p.weights["app"][server].Weight.Int()
		st.Upstreams[0].Peers = append(st.Upstreams[0].Peers, peer)
	}
	return st, nil
}

func (p *playedNGINX) set(w weights.Set) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for group, servers := range w.Clone() {
		p.weights[group] = servers
	}
}

func (p *playedNGINX) second() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.weights["app"]["127.0.0.1:9002"].Weight.Int()
}

// provingHand sets the weights of a playedNGINX.
type provingHand struct{ nginx *playedNGINX }

func (h provingHand) put(_ context.Context, w weights.Set, _ nginx.Settings) (control.Receipt, error) {
	h.nginx.set(w)
	return control.Receipt{Changed: true, At: time.Now()}, nil
}
func (h provingHand) order(context.Context, nginx.Settings) (nginx.Receipt, error) {
	return nginx.Receipt{}, nil
}
func (provingHand) plan(weights.Set) (string, error)                { return "", nil }
func (h provingHand) InForce(context.Context) (weights.Set, error)  { return h.nginx.weights, nil }
func (h provingHand) standing(context.Context) (weights.Set, error) { return h.nginx.weights, nil }
func (provingHand) overlay(context.Context, *vts.Sample) error      { return nil }
func (provingHand) mayTune(*helper.Upstream) string                 { return "" }
func (provingHand) obstacle() string                                { return "" }

// wants is a policy that wants the second server to have three times the weight.
type wants struct{ made bool }

func (*wants) Observe(vts.Sample, weights.Set) {}
func (w *wants) Choose() control.Decision {
	if w.made {
		return control.Decision{}
	}
	return control.Decision{Reason: "three times as much", Weights: weights.Set{"app": {
		"127.0.0.1:9001": {Weight: weights.Clamp(1)}, "127.0.0.1:9002": {Weight: weights.Clamp(4)}}}}
}
func (w *wants) Committed(control.Receipt) { w.made = true }

// provingService steps in synthetic time; run goes on until the condition holds.
func provingService(t *testing.T, world *playedNGINX, change func(*Config)) (d *Service,
	run func(what string, until func() bool), stop func()) {
	t.Helper()
	d, _, _ = testService(t, change)
	d.session.hand = provingHand{world}
	d.session.own.Reloads = false // whose files and processes there are none
	d.session.policy = &wants{}
	p := d.poll(t, world)
	ctx, cancel := context.WithCancel(t.Context())
	var polling sync.WaitGroup
	polling.Go(func() { _ = p.Run(ctx) })
	tick := time.NewTicker(time.Duration(d.session.cfg.Interval))
	run = func(what string, until func() bool) {
		t.Helper()
		for began := time.Now(); !until(); {
			if time.Since(began) > 6*time.Hour {
				t.Fatalf("%s: not within six hours", what)
			}
			<-tick.C
			if _, err := d.Step(ctx); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
	}
	return d, run, func() { tick.Stop(); cancel(); polling.Wait() }
}

func proving(c *Config) {
	c.Prove.Enabled, c.Prove.Measure = true, "mean"
	c.Prove.Block, c.Prove.WashOut, c.Prove.Duration = Span(2*time.Minute), Span(12*time.Second), Span(time.Hour)
}

func TestDaemonProvesWhatTuningBrings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newPlayed()
		d, run, stop := provingService(t, world, proving)
		defer stop()
		run("the experiment begins", func() bool { return d.proof.running() != nil })
		seen := map[int]bool{}
		run("both arms", func() bool { seen[world.second()] = true; return seen[1] && seen[4] })
		run("a restart in the middle", func() bool {
			return len(d.proof.file.Stages[0].Pairs) >= 2 &&
				d.proof.file.In == prove.Operator
		})
		d.proof = proof{} // what a new process knows
		d.based = false
		d.restoreProof(d.session)
		if d.proof.running() == nil || len(d.proof.file.Stages) != 1 || len(d.proof.file.Stages[0].Pairs) < 2 {
			t.Fatalf("after a restart: %+v", d.proof.file)
		}
		run("the end", func() bool { return d.proof.file.Ended() })
		if d.proof.file.Over != prove.Better || len(d.proof.file.Stages) != 1 {
			t.Fatalf("got %s", d.proof.file.Result().Text())
		}
		run("tuned weights stay", func() bool { return world.second() == 4 })
		rec := httptest.NewRecorder()
		d.routes().ServeHTTP(rec, httptest.NewRequest("GET", "/prove", nil))
		var r prove.Result
		if err := json.Unmarshal(rec.Body.Bytes(), &r); err != nil || r.Verdict != prove.Better ||
			len(r.Stages[0].Pairs) < 5 {
			t.Errorf("/prove: %v, %s", err, rec.Body)
		}
	})
}

func TestExperimentAndTheOperator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newPlayed()
		d, run, stop := provingService(t, world, proving)
		defer stop()
		run("two pairs", func() bool { return d.proof.file != nil && len(d.proof.file.Stages[0].Pairs) >= 3 })
		world.set(weights.Set{"app": {"127.0.0.1:9001": {Weight: weights.Clamp(2)},
			"127.0.0.1:9002": {Weight: weights.Clamp(4)}}})
		run("an edit begins a stage", func() bool { return len(d.proof.file.Stages) == 2 })
		if _, err := d.session.cfg.Hold(); err != nil {
			t.Fatal(err)
		}
		run("a hold voids the block", func() bool { return !d.proof.file.Begun() })
		held, steps := world.second(), 0
		run("a minute of the hold", func() bool {
			if world.second() != held {
				t.Fatal("weights changed while the operator held them")
			}
			steps++
			return steps > 20
		})
		if _, err := d.session.cfg.Release(); err != nil {
			t.Fatal(err)
		}
		run("it goes on", func() bool { return d.proof.file.Begun() })
		if err := (prove.Order{Stop: true}).Give(d.session.cfg.ProveOrderPath()); err != nil {
			t.Fatal(err)
		}
		run("it is stopped", func() bool { return d.proof.file.Ended() })
		if d.proof.file.Over != prove.Stopped {
			t.Errorf("got %q", d.proof.file.Over)
		}
		plan := d.session.cfg.ProvePlan()
		plan.Duration = 30 * time.Minute
		if err := (prove.Order{Begin: &plan}).Give(d.session.cfg.ProveOrderPath()); err != nil {
			t.Fatal(err)
		}
		run("another one begins", func() bool {
			return d.proof.running() != nil &&
				d.proof.file.Plan.Duration == 30*time.Minute
		})
	})
}
