package daemon

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trimtab/control"
	"trimtab/tuner"
	"trimtab/vts"
	"trimtab/weights"
	"trimtab/words"
)

// loopMetrics are the Prometheus metrics of a control loop. Names carry their units; a series of an upstream or server
// that has gone is dropped with the next step.
type loopMetrics struct {
	steps, changes, reloads, operatorEdits prometheus.Counter
	failures, held, bounds, rejected       *prometheus.CounterVec
	stepSeconds, applySeconds              prometheus.Histogram
	weight, down, rate                     *gauges
	utilisation, saturated                 *gauges
	share, operatorShare, moved            *gauges
	slots, capacity, service, serviceSD    *gauges
	ejected                                *gauges
	answers                                *answers
	reward, predicted, art                 *gauges
	objective                              *objectiveMetrics
	hostCPU, hostMemory                    *gauges
	hostPressure, hostBytes                *gauges
	holding, left, regime, probability     prometheus.Gauge
	lastSample, lastChange                 prometheus.Gauge
	seenRejected                           map[vts.Reason]uint64
}

// newLoopMetrics registers the metrics.
func newLoopMetrics(reg prometheus.Registerer) *loopMetrics {
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
		return &gauges{vec: g, labels: len(labels)}
	}
	histogram := func(name, help string, buckets ...float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "trimtab_" + name, Help: help, Buckets: buckets})
		reg.MustRegister(h)
		return h
	}
	m := &loopMetrics{
		steps:         counter("steps_total", "Control steps begun."),
		changes:       counter("changes_total", "Changes of weights that were confirmed to be in force."),
		reloads:       counter("reloads_total", "Reloads of NGINX that were confirmed."),
		operatorEdits: counter("operator_edits_total", "Times that somebody else was seen to have changed weights."),
		failures:      counters("step_failures_total", "Control steps that failed.", "kind"),
		held: counters("held_total", "Steps in which changes were held, by the first words of the reason.",
			"reason"),
		bounds:   counters("bounds_total", "Times that a limit of the safety gate took effect.", "bound"),
		rejected: counters("telemetry_rejected_total", "Status pages that were not used.", "reason"),
		stepSeconds: histogram("step_seconds", "Duration of a control step, without the wait for telemetry.", .001,
			.005, .01, .025, .05, .1, .25, .5, 1, 5, 30),
		applySeconds: histogram("apply_seconds", "Time from the decision to the confirmation that it is in force.",
			.001, .005, .01, .05, .1, .25, .5, 1, 2.5, 5, 30),
		weight:      perLabel("weight", "Weight in force.", "upstream", "server"),
		down:        perLabel("down", "1 when the server is marked down.", "upstream", "server"),
		rate:        perLabel("requests_per_second", "Finished requests in the last interval.", "upstream", "server"),
		utilisation: perLabel("server_utilisation", "Share of a server's estimated capacity that is used.", "server"),
		saturated:   perLabel("server_saturated", "1 when a backlog grows on the server.", "server"),
		share: perLabel("server_share_ratio", "Part of the upstream's requests that the weights in force "+
			"give to the server.", "upstream", "server"),
		operatorShare: perLabel("server_operator_share_ratio", "Part of the upstream's requests that the operator's "+
			"weights would give to the server.", "upstream", "server"),
		moved: perLabel("upstream_moved_ratio", "Part of the requests that goes to other servers than by the "+
			"operator's weights.", "upstream"),
		slots: perLabel("server_slots", "Requests that the server is believed to serve at a time.", "server"),
		capacity: perLabel("server_capacity_requests_per_second", "Requests of the upstream that the server is "+
			"believed to serve at most.", "upstream", "server"),
		service: perLabel("server_service_seconds", "Time that the server is believed to need for a request of "+
			"the upstream, without waiting.", "upstream", "server"),
		serviceSD: perLabel("server_service_uncertainty_ratio", "Relative standard deviation of the believed "+
			"service time, and so of the capacity.", "upstream", "server"),
		ejected: perLabel("server_ejected", "1 while the server is ejected.", "server"),
		answers: newAnswers(reg),
		reward: perLabel("reward_measured", "Reward of the last interval, per request; 0 is the best.",
			"upstreams"),
		predicted: perLabel("reward_predicted", "Reward that was predicted for the next interval.", "upstreams"),
		art: perLabel("art_per_request", "Accumulated relative tardiness per request of the last interval.",
			"upstreams"),
		objective: newObjectiveMetrics(reg),
		hostCPU: perLabel("host_cpu_ratio", "Busy share of the processors of the server's machine, as it "+
			"says itself.", "server"),
		hostMemory: perLabel("host_memory_ratio", "Used share of the memory of the server's machine.", "server"),
		hostPressure: perLabel("host_pressure_ratio", "Share of time in which some task of the server's machine "+
			"waited for the resource.", "server", "resource"),
		hostBytes: perLabel("host_network_bytes_per_second", "Traffic of the server's machine, by direction.",
			"server", "direction"),
		holding:      gauge("holding", "1 while changes are held."),
		left:         gauge("changes_left", "Changes left in the budget."),
		regime:       gauge("regime", "Load regime; -1 when unknown."),
		probability:  gauge("regime_probability", "Probability of the load regime."),
		lastSample:   gauge("last_sample_timestamp_seconds", "When telemetry was had last."),
		lastChange:   gauge("last_change_timestamp_seconds", "When weights were changed last."),
		seenRejected: map[vts.Reason]uint64{},
	}
	for _, kind := range []string{"telemetry", "apply", "internal"} {
		m.failures.WithLabelValues(kind) // there from the start, so that the first failure is a rise
	}
	return m
}

// Step records one step: the sample it used (nil without), what it did and what the policy says about it.
func (m *loopMetrics) Step(s *vts.Sample, held string, out control.Outcome, e *tuner.Explanation, took time.Duration,
	err error) {
	m.steps.Inc()
	m.stepSeconds.Observe(took.Seconds())
	switch {
	case err == nil, errors.Is(err, context.Canceled):
	default:
		m.failures.WithLabelValues(failureKind(err)).Inc()
	}
	m.holding.Set(0)
	if held != "" {
		m.holding.Set(1)
		m.held.WithLabelValues(label(firstWords(held))).Inc()
	}
	if out.Applied && out.Receipt.Changed {
		m.changes.Inc()
		m.lastChange.Set(float64(time.Now().UnixMilli()) / 1e3)
		m.applySeconds.Observe(out.Receipt.Took.Seconds())
		if out.Receipt.Reloaded {
			m.reloads.Inc()
		}
	}
	m.hosts(s)
	if s != nil {
		m.sample(s)
	}
	if e != nil && err == nil {
		m.explanation(e)
		m.objective.take(e.Objective)
	}
}

func (m *loopMetrics) sample(s *vts.Sample) {
	m.lastSample.Set(float64(s.At.UnixMilli()) / 1e3)
	defer drop(m.weight, m.down, m.rate, m.share)
	m.answers.take(s)
	for _, g := range s.Groups {
		for _, p := range g.Peers {
			upstream, server := label(g.Name), label(p.Server)
			m.weight.set(float64(p.Weight), upstream, server)
			m.down.set(truth(p.Down), upstream, server)
			m.rate.set(p.RatePerSec(s.Interval), upstream, server)
		}
		for server, share := range words.Shares(control.InForce(vts.Sample{Groups: []vts.GroupSample{g}})[g.Name]) {
			m.share.set(share, label(g.Name), label(server))
		}
	}
}

// Telemetry takes over the poller's counts.
func (m *loopMetrics) Telemetry(h vts.Health) {
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

// operator records what the operator's weights would give to every server of a sample.
func (m *loopMetrics) operator(s *vts.Sample, base weights.Set) {
	defer drop(m.operatorShare, m.moved)
	for _, g := range s.Groups {
		given, known := base[g.Name]
		if !known {
			continue
		}
		now, moved := words.Shares(control.InForce(vts.Sample{Groups: []vts.GroupSample{g}})[g.Name]), 0.0
		for server, share := range words.Shares(given) {
			m.operatorShare.set(share, label(g.Name), label(server))
			moved += max(0, share-now[server])
		}
		m.moved.set(moved, label(g.Name))
	}
}
