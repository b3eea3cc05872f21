package page

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"trimtab/tuner"
	"trimtab/tuner/gate"
	"trimtab/tuner/load"
	"trimtab/vts"
	"trimtab/weights"
	"trimtab/words"
)

var bounds = []float64{1, 2, 5, 10, 15, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640, 1000, 2000, 5000, 10000}

// world makes up what a daemon would tell a page.
type world struct {
	r                *Recorder
	rng              *rand.Rand
	names            []string // of upstreams
	servers          int
	at               time.Time
	n                int
	interval         time.Duration
	inForce, started weights.Set
}

func newWorld(r *Recorder, groups, servers int, names ...string) *world {
	w := &world{r: r, rng: rand.New(rand.NewPCG(5, 6)), names: names, servers: servers, interval: 3 * time.Second, at: time.Date(2026, 3, 2, 9,
		0, 0, 0, time.UTC), inForce: weights.Set{}}
	for len(w.names) < groups {
		w.names = append(w.names, fmt.Sprintf("backend_%03d", len(w.names)))
	}
	for _, name := range w.names {
		w.inForce[name] = weights.Group{}
		for i := range servers {
			w.inForce[name][w.server(i)] = weights.Setting{Weight: weights.Clamp(1)}
		}
	}
	w.started = w.inForce.Clone()
	r.elapsed = func() time.Duration { return time.Duration(w.n) * w.interval }
	return w
}

func (w *world) server(i int) string { return fmt.Sprintf("10.0.%d.%d:8080", i/250, i%250) }

// step tells one interval; with change the tuner changes the first upstream.
func (w *world) step(change bool) {
	w.n++
	w.at = w.at.Add(w.interval)
	s := &vts.Sample{At: w.at, Interval: w.interval}
	e := &tuner.Explanation{At: w.at, Budget: 4, Regime: load.Regime{Index: w.n / 15 % 3, Label: "busy",
		Probability: 0.93}, Reason: "hold: x"}
	for k, name := range w.names {
		even := w.inForce[name].Equal(w.started[name])
		g := vts.GroupSample{Name: name}
		p := tuner.PoolExplanation{Groups: []string{name}, Chosen: "hold", PredictedGain: 0.13, Price: 0.2,
			Bounds: []tuner.Bound{gate.BoundGain}, ART: 0.02,
			Basis: "histogram",
			Forecast: &tuner.ForecastExplanation{ExpectedP99MS: tuner.Expected{Hold: 310, Change: 45, Low: 38,
				High: 61}, HorizonSec: 60, MeasuredP99MS: 52}}
		for i := range w.servers {
			slow := 1.0
			if even && i == 0 && k == 0 {
				slow = 7
			}
			mean := slow * (30 + 8*math.Sin(float64(w.n)/9+float64(k)))
			q := vts.PeerSample{Server: w.server(i), Known: true, Weight: w.inForce[name][w.server(i)].Weight.Int(),
				Requests:    uint64(280 + w.rng.IntN(40)),
				BucketsMsec: bounds, Buckets: make([]uint64, len(bounds))}
			for j, b := range bounds {
				q.Buckets[j] = uint64(float64(q.Requests) * (0.5 + 0.5*math.Erf(math.Log(b/mean)/0.7/math.Sqrt2)))
			}
			q.ResponseMsec = uint64(mean * float64(q.Requests))
			if i == 1 && k == 0 {
				q.Responses[4] = q.Requests / 12
			}
			g.Peers = append(g.Peers, q)
			p.Servers = append(p.Servers, tuner.ServerExplanation{Server: w.server(i), Slots: float64(4 * (i%3 + 1)),
				Utilisation:    0.4 + 0.1*float64(i%5),
				CapacityPerSec: map[string]float64{name: 160}, ServiceSec: map[string]float64{name: mean / 1e3},
				ServiceSD: map[string]float64{name: 0.08}, Saturated: slow > 1})
		}
		s.Groups = append(s.Groups, g)
		e.Pools = append(e.Pools, p)
	}
	step := Step{Sample: s, InForce: w.inForce.Clone(), Operator: w.started.Clone(), Explanation: e,
		Budget: words.Budget{Left: 4, Most: 6}, Interval: w.interval,
		Learner: "tuned", Cause: CauseTuner, Undo: "trimtab tune --hold, then trimtab nginx rollback",
		Reason:  "71 % better expected",
		Ordered: map[string]map[string]string{w.names[0]: {w.server(1): "drained"}}, Configured: map[string]map[string]string{w.names[0]: {w.server(2): "pinned 20 %"}}}
	if change {
		g := weights.Group{}
		for i := range w.servers {
			g[w.server(i)] = weights.Setting{Weight: weights.Clamp(1 + 3*(i%3))}
		}
		step.Changed, step.Reloaded = weights.Set{w.names[0]: g}, true
		w.inForce[w.names[0]] = g
	}
	w.r.Step(step)
}

// backdate makes the history look as old as the steps that were told at once.
func (w *world) backdate() {
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	past := w.r.elapsed()
	w.r.began = w.r.began.Add(-past)
	for i := range w.r.history.t {
		w.r.history.t[i] -= past.Seconds()
	}
	for i := range w.r.changes {
		w.r.changes[i].At -= past.Seconds()
	}
	w.r.state.Changes = w.r.changes
	clear(w.r.cache)
}

// hostile are names that NGINX takes.
func hostile() []string {
	return []string{"<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "\x1b[31mred\x07", "\xff\xfe",
		strings.Repeat("long_", 40), "</script><script>document.title='owned'</script>", "a&b"}
}
