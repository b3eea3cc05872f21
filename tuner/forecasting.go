package tuner

import (
	"fmt"
	"time"

	"trimtab/deathstarbench/sim"
	"trimtab/deathstarbench/twin"
	"trimtab/tuner/plan"
	"trimtab/vts"
	"trimtab/weights"
)

// outlook is what the twin says of the changes of a pool.
type outlook struct {
	proposed *twin.Forecast       // of the change that is wanted now; nil: none, or it was not played
	watch    twin.Watch           // of the change made last
	explain  *ForecastExplanation // of the change proposed, else of the last one made
	made     *ForecastExplanation // of the last one made
}

// ForecastExplanation is what the twin says of a change, and what came true.
type ForecastExplanation struct {
	ExpectedP99MS  Expected `json:"expected_p99_ms"`
	ExpectedMeanMS Expected `json:"expected_mean_ms"`
	Better         float64  `json:"better_probability"` // that p99 is lower than by holding
	HorizonSec     float64  `json:"horizon_s"`
	MeasuredSec    float64  `json:"measured_s"`      // of the horizon so far
	MeasuredP99MS  float64  `json:"measured_p99_ms"` // over the horizon; 0: it is not over, or was disturbed
	Skipped        string   `json:"skipped,omitempty"`
}

// Expected is what holding and a change are expected to bring; the interval of the change holds nine tenths.
type Expected struct {
	Hold   float64 `json:"hold"`
	Change float64 `json:"change"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

// ForecastScore is how well forecasts came true.
type ForecastScore struct {
	Judged      int     `json:"judged"`
	Dropped     int     `json:"not_judgeable"`
	MedianError float64 `json:"median_error"` // relative
	Covered     float64 `json:"covered"`      // share of the intervals that held what was measured
}

const (
	forecastSec      = 60.0  // s ahead
	forecastRequests = 40000 // simulated in one step at most, of a small pool: about 7 ms of one core
	forecastHalf     = 64    // servers in groups of a pool with which half as many are simulated: a request costs more
	forecastFewest   = 6000  // simulated for one change at least
	forecastLinks    = 256   // servers in groups: with more, a play takes too long
	forecastCrowded  = 0.3   // part of all these requests where pools take turns
	applyDelay       = 120 * time.Millisecond
	twinStream       = 0xf07eca57 // of random numbers: the twin has its own
)

// plays is the part of its usual requests that the twin plays now.
func (t *Tuner) plays() float64 {
	if t.crowded {
		return forecastCrowded * t.cfg.Twin
	}
	return t.cfg.Twin
}

// forecast plays the change to want against holding and says so in the explanation.
func (p *pool) forecast(t *Tuner, problem *plan.Problem, want weights.Set, e *PoolExplanation) {
	o := &p.outlook
	links := p.size()
	whole := t.plays() * float64(forecastRequests*forecastHalf) / float64(forecastHalf+links)
	budget := whole * (1 - t.played)
	skip := func(format string, args ...any) {
		o.explain = &ForecastExplanation{Skipped: fmt.Sprintf(format, args...)}
	}
	switch {
	case links > forecastLinks:
		skip("%d servers in groups are more than the %d that can be played in a step", links, forecastLinks)
	case budget < t.plays()*forecastFewest:
		skip("other groups were played in this step")
	default:
		s := twin.Settings{HorizonSec: forecastSec, Requests: int(budget), Live: t.cfg.Unlimited, Delay: applyDelay,
			BoundsMsec: p.bounds}
		f, err := twin.Play(p.twin(problem, true), p.weights(nil), p.weights(want), s, t.rng)
		if err != nil {
			skip("%v", err)
			break
		}
		t.played += float64(f.Requests) / whole
		o.proposed = &f
		o.explain = explainForecast(&f)
	}
	p.explainOutlook(e)
}

// watch follows what became of the last change. It is asked once in every interval, before anything is proposed.
func (p *pool) watch(s *vts.Sample, edited bool) {
	o := &p.outlook
	o.proposed, p.bounds = nil, nil
	if o.made != nil {
		o.explain = o.made
	}
	if edited {
		o.watch.Drop()
	}
	for _, g := range p.groups {
		gs := &s.Groups[g.at]
		for i := range gs.Peers {
			v := &gs.Peers[i]
			if len(v.Buckets) > 0 {
				p.bounds = v.BucketsMsec
			}
			o.watch.Add(v.BucketsMsec, v.Buckets, v.Requests)
		}
	}
	if sec, p99, open := o.watch.Pass(s.Interval.Seconds()); open {
		o.made.MeasuredSec, o.made.MeasuredP99MS = sec, p99*1e3
	}
}

// committed tells that a change was made.
func (o *outlook) committed(changed bool) {
	if changed {
		o.watch.Begin(o.proposed)
		o.made = o.explain
	}
}

func explainForecast(f *twin.Forecast) *ForecastExplanation {
	expected := func(hold, change twin.Range) Expected {
		return Expected{Hold: hold.Median * 1e3, Change: change.Median * 1e3, Low: change.Low * 1e3, High: change.High * 1e3}
	}
	return &ForecastExplanation{
		ExpectedP99MS: expected(f.Hold.P99, f.Change.P99), ExpectedMeanMS: expected(f.Hold.Mean, f.Change.Mean),
		Better: f.Better, HorizonSec: f.HorizonSec,
	}
}

// explainOutlook states the last forecast and the score of all.
func (p *pool) explainOutlook(e *PoolExplanation) {
	o := &p.outlook
	if o.explain != nil {
		last := *o.explain // which goes on changing
		e.Forecast = &last
	}
	if s := &o.watch.Score; s.Judged+s.Dropped > 0 {
		e.ForecastScore = &ForecastScore{Judged: s.Judged, Dropped: s.Dropped, MedianError: s.MedianError(),
			Covered: s.Covered()}
	}
}

// twin is a problem as the twin plays it; now: from the queues of now, with what the load and the spread of service
// times may be beside what they are believed to be.
func (p *pool) twin(problem *plan.Problem, now bool) twin.Case {
	c := twin.Case{Servers: make([]twin.Server, len(problem.Beliefs)), Groups: make([]twin.Group, len(p.groups))}
	for j := range c.Servers {
		b := &problem.Beliefs[j]
		c.Servers[j] = twin.Server{SD: b.SD, Fail: b.Fail, DonePerSec: b.Done}
		if now {
			c.Servers[j].Inside = b.Inside
		}
		for _, h := range b.Slots {
			c.Servers[j].Slots = append(c.Servers[j].Slots,
				twin.Slots{Slots: h.Slots, Probability: h.Probability, ServiceSec: h.ServiceSec})
		}
	}
	for g, grp := range p.groups {
		to := &c.Groups[g]
		to.Method, to.RatePerSec = sim.Method(problem.Groups[g].Method), problem.Groups[g].RatePerSec
		scv, sd := grp.spreads(problem.Params)
		for i, l := range grp.links {
			to.Links = append(to.Links, twin.Link{Server: l.index, Class: l.class, SCV: scv[i]})
			if now {
				to.Links[i].SpreadSD = sd[i]
			}
		}
		if now {
			to.LoadSD = loadSD(grp.rate.PerSec())
		}
	}
	return c
}

// weights are the settings of all links, as they are in force or as set would make them.
func (p *pool) weights(set weights.Set) twin.Weights {
	out := make(twin.Weights, len(p.groups))
	for g, grp := range p.groups {
		for _, l := range grp.links {
			s := l.setting
			if own, ok := set[grp.name][l.server.address]; ok {
				s = own
			}
			out[g] = append(out[g], sim.Setting{Weight: s.Weight.Int(), Down: s.Down || l.Passed})
		}
	}
	return out
}

// Forecasts are those of the changes that are wanted now, by pool.
func (t *Tuner) Forecasts() []PoolForecast {
	var out []PoolForecast
	for _, p := range t.pools {
		if p.outlook.proposed != nil && len(p.last.want) > 0 {
			out = append(out, PoolForecast{Groups: p.names(), Forecast: *p.outlook.proposed})
		}
	}
	return out
}

// PoolForecast is what the twin says of a change of the groups named.
type PoolForecast struct {
	Groups   []string
	Forecast twin.Forecast
}
