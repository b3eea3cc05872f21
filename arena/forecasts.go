package arena

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/tuner"
)

// Forecaster is a policy that says what the change that it wants will bring.
type Forecaster interface {
	control.Policy
	Forecasts() []tuner.PoolForecast
}

// ForecastRow is a forecast of a change that was made, and what the clients saw of the groups concerned.
type ForecastRow struct {
	World  string   `json:"world"`
	Policy string   `json:"policy"`
	Seed   uint64   `json:"seed"`
	AtSec  float64  `json:"at_s"`
	Groups []string `json:"groups"`
	// Unjudged says why it cannot be judged; empty: it can.
	Unjudged string `json:"unjudged,omitempty"`
	// LoadVaries says that the load of the groups moved by more than loadSteady over the horizon.
	LoadVaries bool          `json:"load_varies"`
	HoldP99    ForecastValue `json:"hold_p99"` // forecast of holding
	P99        ForecastValue `json:"p99"`
	Mean       ForecastValue `json:"mean"`
	Better     float64       `json:"better_probability"`
	Requests   uint64        `json:"requests"` // answered over the horizon
	Simulated  int           `json:"simulated_requests"`
}

// ForecastValue is one quantity in ms.
type ForecastValue struct {
	Median   float64 `json:"median_ms"`
	Low      float64 `json:"low_ms"`
	High     float64 `json:"high_ms"`
	Measured float64 `json:"measured_ms"`
}

// Error is the relative error of the forecast.
func (v ForecastValue) Error() float64 { return v.Measured/v.Median - 1 }

// Covered reports whether the interval held what was measured.
func (v ForecastValue) Covered() bool { return v.Measured >= v.Low && v.Measured <= v.High }

const (
	loadSteady    = 0.1 // relative difference of rates up to which a load is steady
	fewestToJudge = 200 // answers over the horizon
)

// followed is a forecast whose horizon is not over.
type followed struct {
	row     ForecastRow
	from    time.Duration
	to      time.Duration
	latency sim.Histogram
	groups  []bool
	servers map[string]bool
}

// PlayForecasts plays a policy over a scenario in the simulator and returns the forecasts of all changes that it made.
func PlayForecasts(ctx context.Context, c Case, p Policy, o SimOptions) (rows []ForecastRow, err error) {
	if c.Deadlines == nil {
		if c.Deadlines, err = Deadlines(c.Scenario); err != nil {
			return nil, fmt.Errorf("scenario %s: %w", c.Scenario.Name, err)
		}
	}
	made, err := p.New(ctx, c)
	if err != nil {
		return nil, err
	}
	policy, ok := made.(Forecaster)
	if !ok {
		return nil, fmt.Errorf("policy %s: it makes no forecasts", p.Name)
	}
	world := NewSimWorld(o)
	if err := world.Reset(ctx, Run{Scenario: c.Scenario, Method: p.Method, Seed: c.Seed,
		Deadlines: c.Deadlines}); err != nil {
		return nil, err
	}
	watch := &watched{Forecaster: policy}
	loop := Loop{World: world, Policy: watch, Scenario: c.Scenario}
	var open []*followed
	for done := false; !done; {
		watch.made = nil
		iv, _, err := loop.Step(ctx)
		if err != nil {
			return nil, err
		}
		done = iv.Done
		for _, f := range open {
			for i, g := range world.run.Interval() {
				if f.groups[i] {
					f.latency.Merge(&g.Latency)
				}
			}
		}
		open = slices.DeleteFunc(open, func(f *followed) bool {
			if iv.At < f.to {
				return false
			}
			rows = append(rows, f.judge(c.Scenario))
			return true
		})
		for i := range watch.made {
			m := &watch.made[i]
			f := follow(c.Scenario, m, iv.At)
			f.row.World, f.row.Policy, f.row.Seed = c.Scenario.Name, p.Name, c.Seed
			for _, other := range open {
				if slices.Equal(other.groups, f.groups) {
					other.row.Unjudged = "another change"
				}
			}
			open = append(open, f)
		}
	}
	for _, f := range open {
		if f.row.Unjudged == "" {
			f.row.Unjudged = "the end"
		}
		rows = append(rows, f.row)
	}
	return rows, nil
}

// watched notes the forecasts of changes that were made.
type watched struct {
	Forecaster
	made []tuner.PoolForecast
}

func (w *watched) Committed(r control.Receipt) {
	if r.Changed {
		w.made = w.Forecasts()
	}
	w.Forecaster.Committed(r)
}

func follow(sc *deathstarbench.Scenario, m *tuner.PoolForecast, at time.Duration) *followed {
	value := func(median, low, high float64) ForecastValue {
		return ForecastValue{Median: median * 1e3, Low: low * 1e3, High: high * 1e3}
	}
	fc := &m.Forecast
	f := &followed{
		from: at, to: at + time.Duration(fc.HorizonSec*float64(time.Second)), groups: make([]bool, len(sc.Upstreams)),
		servers: map[string]bool{},
		row: ForecastRow{
			AtSec: at.Seconds(), Groups: m.Groups, Better: fc.Better, Simulated: fc.Requests,
			HoldP99: value(fc.Hold.P99.Median, fc.Hold.P99.Low, fc.Hold.P99.High),
			P99:     value(fc.Change.P99.Median, fc.Change.P99.Low, fc.Change.P99.High),
			Mean:    value(fc.Change.Mean.Median, fc.Change.Mean.Low, fc.Change.Mean.High),
		},
	}
	for i := range sc.Upstreams {
		if u := &sc.Upstreams[i]; slices.Contains(m.Groups, u.Name) {
			f.groups[i] = true
			for _, s := range u.Servers {
				f.servers[s] = true
			}
		}
	}
	return f
}

// judge completes the row when the horizon is over.
func (f *followed) judge(sc *deathstarbench.Scenario) ForecastRow {
	r := f.row
	r.Requests = f.latency.Count()
	r.P99.Measured, r.Mean.Measured = msec(f.latency.Quantile(0.99)), msec(f.latency.Mean())
	r.LoadVaries = f.varies(sc)
	switch {
	case r.Unjudged != "":
	case f.faulty(sc):
		r.Unjudged = "a fault"
	case r.Requests < fewestToJudge:
		r.Unjudged = "few requests"
	}
	return r
}

// faulty reports whether a fault of one of the servers begins or ends within the horizon, or is one that is drawn for
// each request.
func (f *followed) faulty(sc *deathstarbench.Scenario) bool {
	const learning = 10 * time.Second // that a policy may take to know of a fault
	for i := range sc.Faults {
		v := &sc.Faults[i]
		at, until := v.At.Std(), v.Until.Std()
		if !f.servers[v.Server] || until <= f.from-learning || at >= f.to {
			continue
		}
		lasts := at <= f.from-learning && until >= f.to
		switch v.Kind {
		case deathstarbench.Slowdown, deathstarbench.Capacity, deathstarbench.NetworkDelay:
			if lasts {
				continue
			}
		}
		return true
	}
	return false
}

// varies reports whether the rate of a group differs over the horizon from what it was before.
func (f *followed) varies(sc *deathstarbench.Scenario) bool {
	const step = time.Second
	for i := range sc.Upstreams {
		if !f.groups[i] {
			continue
		}
		now := sc.RateAt(sc.Upstreams[i].Workload, max(0, f.from-step))
		for t := f.from; t < f.to; t += step {
			if math.Abs(sc.RateAt(sc.Upstreams[i].Workload, t)-now) > loadSteady*now {
				return true
			}
		}
	}
	return false
}
