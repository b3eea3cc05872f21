package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"trimtab/control"
	"trimtab/nginx"
	"trimtab/tuner"
	"trimtab/tuner/load"
	"trimtab/vts"
	"trimtab/weights"
)

// whole is all that the daemon asks of a learner.
type whole interface {
	control.Policy
	explainer
	learner
}

// faulty is a learner of which a call panics as the plot says.
type faulty struct {
	whole
	*plot
}

// plot is what all faulty policies of a test share.
type plot struct {
	call   string // that panics
	times  int    // how often; < 0: always
	wants  weights.Set
	made   int
	asked  int // policies that observed or chose
	commit int
}

func (p *plot) play(call string) {
	if call != p.call || p.times == 0 {
		return
	}
	p.times--
	panic("played: " + call)
}

func (f faulty) Observe(s vts.Sample, w weights.Set) {
	f.asked++
	f.play("Observe")
	f.whole.Observe(s, w)
}

func (f faulty) Choose() control.Decision {
	f.play("Choose")
	d := f.whole.Choose()
	if f.wants != nil {
		return control.Decision{Weights: f.wants, Reason: "played"}
	}
	return d
}

func (f faulty) Committed(r control.Receipt) {
	f.commit++
	f.play("Committed")
	f.whole.Committed(r)
}

func (f faulty) Explain() tuner.Explanation {
	f.play("Explain")
	return f.whole.Explain()
}

func (f faulty) Snapshot() (tuner.Snapshot, error) {
	f.play("Snapshot")
	return f.whole.Snapshot()
}

func (f faulty) Restore(s tuner.Snapshot) error {
	f.play("Restore")
	return f.whole.Restore(s)
}

// faultyService is a service with faulty policies, a page under steady load and no NGINX.
func faultyService(t *testing.T, p *plot) (*Service, *buffer) {
	t.Helper()
	d, log, _ := testService(t, nil)
	d.opts.NewPolicy = func(c *Config) (control.Policy, error) {
		p.made++
		p.play("NewPolicy")
		made, err := NewPolicy(c)
		if err != nil {
			return nil, err
		}
		return faulty{whole: made.(whole), plot: p}, nil
	}
	d.install(d.session, false)
	return d, log
}

// counted is how many internal faults there were in a part.
func (d *Service) counted(in part) float64 {
	return testutil.ToFloat64(d.own.faults.WithLabelValues(string(in)))
}

// steps runs a service in synthetic time and calls after with the outcome of every step.
func (d *Service) steps(t *testing.T, length time.Duration,
	after func(at time.Duration, out control.Outcome, err error)) {
	t.Helper()
	page := &steadyPage{began: time.Now(), failing: func(time.Duration) bool { return false }}
	p := d.poll(t, page)
	ctx, cancel := context.WithCancel(t.Context())
	var polling sync.WaitGroup
	polling.Go(func() { _ = p.Run(ctx) })
	defer polling.Wait()
	defer cancel()
	tick := time.NewTicker(time.Duration(d.session.cfg.Interval))
	defer tick.Stop()
	for time.Since(page.began) < length {
		<-tick.C
		out, err := d.Step(ctx)
		after(time.Since(page.began), out, err)
	}
}

func TestPolicyThatPanics(t *testing.T) {
	for _, c := range []struct {
		name  string
		plot  plot
		in    part
		least float64 // faults that are counted in four minutes
		most  float64
		stops bool // the step ends with an internal fault
		heals bool // at the end all is well
	}{
		{"once while it observes", plot{call: "Observe", times: 1}, inPolicy, 1, 1, true, true},
		{"once while it chooses", plot{call: "Choose", times: 1}, inPolicy, 1, 1, true, true},
		{"five times while it observes", plot{call: "Observe", times: 5}, inPolicy, 5, 5, true, true},
		{"whenever it observes", plot{call: "Observe", times: -1}, inPolicy, 4, 7, true, false},
		{"whenever it chooses", plot{call: "Choose", times: -1}, inPolicy, 4, 7, true, false},
		{"once while it explains", plot{call: "Explain", times: 1}, inExplanation, 1, 1, false, true},
		{"whenever it explains", plot{call: "Explain", times: -1}, inExplanation, 75, 85, false, true},
		{"once while it is kept", plot{call: "Snapshot", times: 1}, inState, 1, 1, false, true},
		{"whenever it is kept", plot{call: "Snapshot", times: -1}, inState, 7, 10, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := c.plot
				d, log := faultyService(t, &p)
				kept := learnedSnapshot(t, mustPolicy(t, d.session.cfg))
				if err := d.store.Save(State{Snapshot: kept, Observed: time.Hour}); err != nil {
					t.Fatal(err)
				}
				if err := d.restore(t.Context()); err != nil {
					t.Fatal(err)
				}
				var last error
				faults := 0
				d.steps(t, 4*time.Minute, func(at time.Duration, out control.Outcome, err error) {
					if last = err; err != nil {
						faults++
					}
					if err != nil && !errors.Is(err, control.ErrInternal) || out.Applied {
						t.Fatalf("at %s: got %v, applied %t", at, err, out.Applied)
					}
				})
				if n := d.counted(c.in); n < c.least || n > c.most {
					t.Errorf("counted %v faults, want %v to %v", n, c.least, c.most)
				}
				if (faults > 0) != c.stops {
					t.Errorf("%d steps ended with a fault, want some %t", faults, c.stops)
				}
				if n := strings.Count(log.String(), "stack="); n != 1 && n != 2 {
					t.Errorf("the stack was logged %d times in four minutes, want once or twice: %s", n, log)
				}
				well := last == nil && !strings.HasPrefix(d.heldNow(), internalFault)
				if well != c.heals {
					t.Errorf("at the end: held %q, error %v; want all well %t", d.heldNow(), last, c.heals)
				}
				st, err := d.store.Read()
				if err != nil || !knowsServers(st.Snapshot) {
					t.Errorf("kept: %s, %v, want what was learned", st.Snapshot, err)
				}
			})
		})
	}
}

func mustPolicy(t *testing.T, cfg *Config) control.Policy {
	t.Helper()
	p, err := NewPolicy(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// unequal is what a policy that is told to wants.
var unequal = weights.Set{"app": {"127.0.0.1:9001": {Weight: weights.Clamp(3)},
	"127.0.0.1:9002": {Weight: weights.Clamp(5)}}}

// playedHand does nothing and says that it did, or panics.
type playedHand struct {
	hand
	applied *int
	panics  bool
}

func (h playedHand) put(_ context.Context, w weights.Set, _ nginx.Settings) (control.Receipt, error) {
	*h.applied++
	if h.panics {
		panic("played: put")
	}
	return control.Receipt{Changed: true, Reloaded: true, At: time.Now()}, nil
}

func (playedHand) obstacle() string { return "" }

// play has a session pretend that NGINX takes every change.
func (s *Session) play(applied *int, panics bool) {
	s.hand = playedHand{hand: s.hand, applied: applied, panics: panics}
	s.own.Reloads = false // whose files and processes there are none
}

// A policy that fails whenever its change is in force must not make a loop of reloads, and nobody may forget whose
// weights these are.
func TestPolicyThatPanicsWhenAChangeIsCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plot{call: "Committed", times: -1, wants: unequal}
		d, log := faultyService(t, &p)
		applied := new(int)
		d.session.play(applied, false)
		d.steps(t, 20*time.Minute, func(at time.Duration, out control.Outcome, err error) {
			if out.Applied != errors.Is(err, control.ErrInternal) {
				t.Fatalf("at %s: applied %t, error %v", at, out.Applied, err)
			}
			if out.Applied && !d.state.LastGood["app"].Equal(p.wants["app"]) {
				t.Fatalf("at %s: last good %v, want what was applied", at, d.state.LastGood)
			}
		})
		if *applied < 4 || *applied > 9 {
			t.Errorf("%d changes in twenty minutes, want the rests between them to double: %s", *applied, log)
		}
		if n := testutil.ToFloat64(d.metrics.changes); n != float64(*applied) {
			t.Errorf("counted %v changes, want %d", n, *applied)
		}
	})
}

func TestFaultsOutsideThePolicy(t *testing.T) {
	t.Run("an actuator that panics is not asked at every interval", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := plot{wants: unequal}
			d, log := faultyService(t, &p)
			applied := new(int)
			d.session.play(applied, true)
			d.steps(t, 10*time.Minute, func(at time.Duration, out control.Outcome, err error) {
				if out.Applied {
					t.Fatalf("at %s: applied", at)
				}
			})
			if n := d.counted(inStep); *applied < 4 || *applied > 8 || n != float64(*applied) {
				t.Errorf("asked %d times, %v faults: %s", *applied, n, log)
			}
			if n := testutil.ToFloat64(d.metrics.failures.WithLabelValues("internal")); n != float64(*applied) {
				t.Errorf("%v failed steps, want %d", n, *applied)
			}
		})
	})
	t.Run("a page that panics while it is read is asked again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, log, _ := testService(t, nil)
			began := time.Now()
			steady := &steadyPage{began: began, failing: func(time.Duration) bool { return false }}
			page := panickingPage{steadyPage: steady, until: 10 * time.Second}
			p := d.poll(t, page)
			ctx, cancel := context.WithCancel(t.Context())
			var polling sync.WaitGroup
			polling.Go(func() { d.keepRunning(ctx, inPoller, func() { _ = p.Run(ctx) }) })
			defer polling.Wait()
			defer cancel()
			var err error
			for time.Since(began) < time.Minute {
				_, err = d.Step(ctx)
				<-time.After(3 * time.Second)
			}
			if n := d.counted(inPoller); err != nil || n < 3 || n > 5 || strings.Count(log.String(), "stack=") != 1 {
				t.Errorf("got %v, %v faults, want no error and the waits to double: %s", err, n, log)
			}
		})
	})
	t.Run("a learner that cannot bear what was kept begins anew, and the file stays", func(t *testing.T) {
		p := plot{call: "Restore", times: 1}
		d, log := faultyService(t, &p)
		kept := learnedSnapshot(t, mustPolicy(t, d.session.cfg))
		if err := d.store.Save(State{Snapshot: kept}); err != nil {
			t.Fatal(err)
		}
		if err := d.restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := d.counted(inPolicy); n != 1 || !strings.Contains(log.String(), "beginning anew") {
			t.Errorf("%v faults: %s", n, log)
		}
		p.call, p.times = "Snapshot", -1
		d.save(d.session)
		if st, err := d.store.Read(); err != nil || string(st.Snapshot) != string(kept) {
			t.Errorf("kept %s, %v, want what was there", st.Snapshot, err)
		}
	})
	t.Run("no learner can be made after a fault: nothing is changed, until the configuration is read again",
		func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := plot{call: "Observe", times: 1, wants: unequal}
				d, log := faultyService(t, &p)
				applied := new(int)
				d.session.play(applied, false)
				d.steps(t, time.Minute, func(at time.Duration, out control.Outcome, err error) {
					if errors.Is(err, control.ErrInternal) {
						p.call, p.times = "NewPolicy", -1
						d.install(d.session, true)
					}
				})
				if *applied != 0 || !strings.Contains(log.String(), "no learner can be made") {
					t.Errorf("%d changes: %s", *applied, log)
				}
				p.times = 0
				cfg := *d.session.cfg
				cfg.Tuner.Headroom = 1.3
				d.opts.Reread = func() (*Config, error) { return &cfg, nil }
				ctx, cancel := context.WithCancel(t.Context())
				var all sync.WaitGroup
				defer all.Wait()
				defer cancel()
				if err := d.reload(ctx, &all); err != nil {
					t.Fatal(err)
				}
				if _, ok := d.current().policy.(faulty); !ok {
					t.Errorf("got %T, want a learner", d.current().policy)
				}
			})
		})
}

// panickingPage panics at first.
type panickingPage struct {
	*steadyPage
	until time.Duration
}

func (p panickingPage) Status(ctx context.Context) (vts.Status, error) {
	if time.Since(p.began) < p.until {
		panic("played: page")
	}
	return p.steadyPage.Status(ctx)
}

func TestHandlerThatPanicsIsContained(t *testing.T) {
	d, log, _ := testService(t, nil)
	page := httptest.NewServer(d.contained(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/abort" {
			panic(http.ErrAbortHandler)
		}
		panic("played: page")
	})))
	defer page.Close()
	for _, c := range []struct {
		name, path string
		status     int // 0: no answer
		faults     float64
	}{
		{"a panic is answered and counted", "/metrics", http.StatusInternalServerError, 1},
		{"again", "/explain", http.StatusInternalServerError, 2},
		{"an abort that was meant ends the connection", "/abort", 0, 2},
	} {
		status := 0
		if resp, err := http.Get(page.URL + c.path); err == nil {
			status = resp.StatusCode
			resp.Body.Close()
		}
		if n := d.counted(inPage); status != c.status || n != c.faults {
			t.Errorf("%s: got status %d and %v faults, want %d and %v", c.name, status, n, c.status, c.faults)
		}
	}
	if n := strings.Count(log.String(), "stack="); n != 1 {
		t.Errorf("the stack was logged %d times, want once: %s", n, log)
	}
}

// What JSON has no word for is not published, and does not push out what was kept.
func TestNumbersThatAreNoneAreNotKept(t *testing.T) {
	d, log, _ := testService(t, nil)
	kept := learnedSnapshot(t, mustPolicy(t, d.session.cfg))
	d.state = State{Snapshot: kept, Explanation: []byte(`{"reason":"before"}`)}
	d.save(d.session)
	d.explainedLast = &tuner.Explanation{Reason: "now", Regime: load.Regime{Probability: math.NaN()}}
	d.save(d.session)
	st, err := d.store.Read()
	if err != nil || string(st.Explanation) != `{"reason":"before"}` {
		t.Errorf("kept %s, %v, want the explanation of before: %s", st.Explanation, err, log)
	}
	text, err := json.Marshal(d.report())
	if err != nil || !strings.Contains(string(text), `"explanation":null`) {
		t.Errorf("got %s, %v, want a report without an explanation", text, err)
	}
	if n := d.counted(inExplanation); n != 2 || strings.Count(log.String(), "unsupported value: NaN") != 1 {
		t.Errorf("%v faults, want 2 and one line: %s", n, log)
	}
}
