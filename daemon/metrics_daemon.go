package daemon

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"trimtab/prove"
)

// daemonMetrics are those that have to do with the daemon and not with control.
type daemonMetrics struct {
	saveFailures, quarantined      prometheus.Counter
	reloadOK, reloadAt             prometheus.Gauge
	configEdits, configUnreadable  prometheus.Counter
	workers, draining, generations prometheus.Gauge
	memory                         prometheus.Gauge
	faults                         *prometheus.CounterVec
	proving, proofPairs            prometheus.Gauge
	proofEffect                    *prometheus.GaugeVec
	pairsKnown                     int
}

func newDaemonMetrics(reg prometheus.Registerer, version string) *daemonMetrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "trimtab_" + name, Help: help})
		reg.MustRegister(c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "trimtab_" + name, Help: help})
		reg.MustRegister(g)
		return g
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "trimtab_build_info", Help: "1; the version is a label.",
		ConstLabels: prometheus.Labels{"version": version}})
	info.Set(1)
	reg.MustRegister(info, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m := &daemonMetrics{
		saveFailures: counter("state_save_failures_total", "Attempts to write the state that failed."),
		quarantined:  counter("state_quarantined_total", "State files put aside because they could not be read."),
		reloadOK: gauge("config_last_reload_successful", "1 when the daemon's configuration was taken over "+
			"at the last attempt."),
		reloadAt: gauge("config_last_reload_success_timestamp_seconds", "When the daemon's configuration was "+
			"taken over last."),
		configEdits: counter("nginx_config_edits_total", "Edits of NGINX's configuration by somebody else."),
		configUnreadable: counter("nginx_config_unreadable_total", "Times that NGINX's configuration was found "+
			"unreadable."),
		workers:     gauge("nginx_workers", "NGINX workers that serve."),
		draining:    gauge("nginx_draining_workers", "NGINX workers of old configurations."),
		generations: gauge("nginx_draining_generations", "Old configurations that still have workers."),
		memory:      gauge("nginx_memory_bytes", "Memory of NGINX's master and workers (proportional set size)."),
	}
	m.proving = gauge("prove_running", "1 while an experiment runs.")
	m.proofPairs = gauge("prove_pairs", "Pairs of blocks that the experiment has measured.")
	m.proofEffect = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "trimtab_prove_effect_ratio",
		Help: "What tuned weights do to a measure, relative to the operator's (-0.2: 20 % lower), and the bounds of " +
			"its 95 % interval."}, []string{"measure", "value"})
	reg.MustRegister(m.proofEffect)
	m.faults = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "trimtab_internal_faults_total",
		Help: "Faults of the program itself that were contained; the weights stay as they are."}, []string{"part"})
	reg.MustRegister(m.faults)
	for _, p := range allParts {
		m.faults.WithLabelValues(string(p)) // there from the start, so that the first fault is a rise
	}
	m.reloadOK.Set(1)
	m.reloadAt.SetToCurrentTime()
	return m
}

func (m *daemonMetrics) nginx(s *Session) {
	s.mu.Lock()
	l := s.lastLoad
	s.mu.Unlock()
	m.workers.Set(float64(l.Workers))
	m.draining.Set(float64(l.Draining))
	m.generations.Set(float64(l.Generations))
	m.memory.Set(float64(l.MemoryBytes))
}

// proof records what the experiment has found so far; nil: there is none.
func (m *daemonMetrics) proof(f *prove.File) {
	if f == nil {
		return
	}
	m.proving.Set(truth(!f.Ended()))
	n := f.Measured()
	if n == m.pairsKnown {
		return // there is no more to evaluate than before
	}
	m.pairsKnown = n
	r := f.Result()
	m.proofPairs.Set(float64(r.Decides.Pairs))
	m.proofEffect.Reset()
	for _, e := range r.Effects {
		if !e.Relative {
			continue
		}
		m.proofEffect.WithLabelValues(string(e.Measure), "estimate").Set(e.Change)
		if e.Low != nil {
			m.proofEffect.WithLabelValues(string(e.Measure), "low").Set(*e.Low)
			m.proofEffect.WithLabelValues(string(e.Measure), "high").Set(*e.High)
		}
	}
}
