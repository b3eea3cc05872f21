package tuner

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trimtab/control"
	"trimtab/plain"
	"trimtab/vts"
)

// Metrics are the Prometheus metrics of a control loop. Names carry their units; a series of an upstream or server that
// has gone is dropped with the next step.
type Metrics struct {
	steps, changes, reloads, operatorEdits prometheus.Counter
	failures, held, bounds, rejected       *prometheus.CounterVec
	stepSeconds, applySeconds              prometheus.Histogram
	weight, down, rate                     *gauges
	utilisation, saturated                 *gauges
	reward, predicted, art                 *gauges
	holding, left, regime, probability     prometheus.Gauge
	lastSample, lastChange                 prometheus.Gauge
	seenRejected                           map[vts.Reason]uint64
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "trimtab_" + name, Help: help})
		reg.MustRegister(c)
		return c
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "trimtab_" + name, Help: help}, labels)
		reg.MustRegister(c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "trimtab_" + name, Help: help})
		reg.MustRegister(g)
		return g
	}
	perLabel := func(name, help string, labels ...string) *gauges {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "trimtab_" + name, Help: help}, labels)
		reg.MustRegister(g)
		return &gauges{vec: g}
	}
	histogram := func(name, help string, buckets ...float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "trimtab_" + name, Help: help, Buckets: buckets})
		reg.MustRegister(h)
		return h
	}
	m := &Metrics{
		steps:         counter("steps_total", "Control steps begun."),
		changes:       counter("changes_total", "Changes of weights that were confirmed to be in force."),
		reloads:       counter("reloads_total", "Reloads of NGINX that were confirmed."),
		operatorEdits: counter("operator_edits_total", "Times that somebody else was seen to have changed weights."),
		failures:      counters("step_failures_total", "Control steps that failed.", "kind"),
		held:          counters("held_total", "Steps in which changes were held, by the first words of the reason.", "reason"),
		bounds:        counters("bounds_total", "Times that a limit of the safety gate took effect.", "bound"),
		rejected:      counters("telemetry_rejected_total", "Status pages that were not used.", "reason"),
		stepSeconds:   histogram("step_seconds", "Duration of a control step, without the wait for telemetry.", .001, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30),
		applySeconds:  histogram("apply_seconds", "Time from the decision to the confirmation that it is in force.", .001, .005, .01, .05, .1, .25, .5, 1, 2.5, 5, 30),
		weight:        perLabel("weight", "Weight in force.", "upstream", "server"),
		down:          perLabel("down", "1 when the server is marked down.", "upstream", "server"),
		rate:          perLabel("requests_per_second", "Finished requests in the last interval.", "upstream", "server"),
		utilisation:   perLabel("server_utilisation", "Share of a server's estimated capacity that is used.", "server"),
		saturated:     perLabel("server_saturated", "1 when a backlog grows on the server.", "server"),
		reward:        perLabel("reward_measured", "Reward of the last interval, per request; 0 is the best.", "upstreams"),
		predicted:     perLabel("reward_predicted", "Reward that was predicted for the next interval.", "upstreams"),
		art:           perLabel("art_per_request", "Accumulated relative tardiness per request of the last interval.", "upstreams"),
		holding:       gauge("holding", "1 while changes are held."),
		left:          gauge("changes_left", "Changes left in the budget."),
		regime:        gauge("regime", "Load regime; -1 when unknown."),
		probability:   gauge("regime_probability", "Probability of the load regime."),
		lastSample:    gauge("last_sample_timestamp_seconds", "When telemetry was had last."),
		lastChange:    gauge("last_change_timestamp_seconds", "When weights were changed last."),
		seenRejected:  map[vts.Reason]uint64{},
	}
	for _, kind := range []string{"telemetry", "apply"} {
		m.failures.WithLabelValues(kind) // there from the start, so that the first failure is a rise
	}
	return m
}

// Step records one step: the sample it used (nil without), what it did and what the policy says about it.
func (m *Metrics) Step(s *vts.Sample, held string, out control.Outcome, e *Explanation, took time.Duration, err error) {
	m.steps.Inc()
	m.stepSeconds.Observe(took.Seconds())
	switch {
	case err == nil, errors.Is(err, context.Canceled):
	case errors.Is(err, control.ErrTelemetry):
		m.failures.WithLabelValues("telemetry").Inc()
	default:
		m.failures.WithLabelValues("apply").Inc()
	}
	m.holding.Set(0)
	if held != "" {
		m.holding.Set(1)
		reason, _, _ := strings.Cut(held, ":")
		m.held.WithLabelValues(reason).Inc()
	}
	if out.Applied && out.Receipt.Changed {
		m.changes.Inc()
		m.lastChange.Set(float64(time.Now().UnixMilli()) / 1e3)
		m.applySeconds.Observe(out.Receipt.Took.Seconds())
		if out.Receipt.Reloaded {
			m.reloads.Inc()
		}
	}
	if s != nil {
		m.sample(s)
	}
	if e != nil && err == nil {
		m.explanation(e)
	}
}

func (m *Metrics) sample(s *vts.Sample) {
	m.lastSample.Set(float64(s.At.UnixMilli()) / 1e3)
	defer drop(m.weight, m.down, m.rate)
	for _, g := range s.Groups {
		for _, p := range g.Peers {
			m.weight.set(float64(p.Weight), g.Name, p.Server)
			m.down.set(truth(p.Down), g.Name, p.Server)
			m.rate.set(p.RatePerSec(s.Interval), g.Name, p.Server)
		}
	}
}

func (m *Metrics) explanation(e *Explanation) {
	m.left.Set(float64(e.Budget))
	m.regime.Set(float64(e.Regime.Index))
	m.probability.Set(e.Regime.Probability)
	defer drop(m.reward, m.predicted, m.art, m.utilisation, m.saturated)
	operator := false
	for _, p := range e.Pools {
		name := strings.Join(p.Groups, ",")
		m.reward.set(p.MeasuredReward, name)
		m.predicted.set(p.PredictedReward, name)
		m.art.set(p.ART, name)
		for _, b := range p.Bounds {
			m.bounds.WithLabelValues(string(b)).Inc()
			operator = operator || b == BoundOperator
		}
		for _, s := range p.Servers {
			m.utilisation.set(s.Utilisation, s.Server)
			m.saturated.set(truth(s.Saturated), s.Server)
		}
	}
	if operator {
		m.operatorEdits.Inc()
	}
}

// gauges is a family of gauges of which those that a step did not set go with that step.
type gauges struct {
	vec       *prometheus.GaugeVec
	last, now map[string][]string // label values, by themselves joined
}

func (g *gauges) set(value float64, labels ...string) {
	for i := range labels {
		labels[i] = plain.Text(labels[i]) // a label that is no UTF-8 is a panic
	}
	g.vec.WithLabelValues(labels...).Set(value)
	if g.now == nil {
		g.now = map[string][]string{}
	}
	g.now[strings.Join(labels, "\x00")] = labels
}

// drop ends a step.
func drop(families ...*gauges) {
	for _, g := range families {
		for key, labels := range g.last {
			if _, set := g.now[key]; !set {
				g.vec.DeleteLabelValues(labels...)
			}
		}
		g.last, g.now = g.now, nil
	}
}

// Telemetry takes over the poller's counts.
func (m *Metrics) Telemetry(h vts.Health) {
	for reason, n := range h.Rejected {
		if seen := m.seenRejected[reason]; n > seen {
			m.rejected.WithLabelValues(string(reason)).Add(float64(n - seen))
		}
		m.seenRejected[reason] = n
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
