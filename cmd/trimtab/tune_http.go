package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// daemonMetrics are those that have to do with the daemon and not with control.
type daemonMetrics struct {
	saveFailures, quarantined      prometheus.Counter
	reloadOK, reloadAt             prometheus.Gauge
	configEdits, configUnreadable  prometheus.Counter
	workers, draining, generations prometheus.Gauge
	memory                         prometheus.Gauge
}

func newDaemonMetrics(reg prometheus.Registerer) *daemonMetrics {
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
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "trimtab_build_info", Help: "1; the version is a label.", ConstLabels: prometheus.Labels{"version": version}})
	info.Set(1)
	reg.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m := &daemonMetrics{
		saveFailures:     counter("state_save_failures_total", "Attempts to write the state that failed."),
		quarantined:      counter("state_quarantined_total", "State files put aside because they could not be read."),
		reloadOK:         gauge("config_last_reload_successful", "1 when the daemon's configuration was taken over at the last attempt."),
		reloadAt:         gauge("config_last_reload_success_timestamp_seconds", "When the daemon's configuration was taken over last."),
		configEdits:      counter("nginx_config_edits_total", "Edits of NGINX's configuration by somebody else."),
		configUnreadable: counter("nginx_config_unreadable_total", "Times that NGINX's configuration was found unreadable."),
		workers:          gauge("nginx_workers", "NGINX workers that serve."),
		draining:         gauge("nginx_draining_workers", "NGINX workers of old configurations."),
		generations:      gauge("nginx_draining_generations", "Old configurations that still have workers."),
		memory:           gauge("nginx_memory_bytes", "Memory of NGINX's master and workers (proportional set size)."),
	}
	m.reloadOK.Set(1)
	m.reloadAt.SetToCurrentTime()
	return m
}

func (m *daemonMetrics) nginx(s *session) {
	s.mu.Lock()
	l := s.lastLoad
	s.mu.Unlock()
	m.workers.Set(float64(l.Workers))
	m.draining.Set(float64(l.Draining))
	m.generations.Set(float64(l.Generations))
	m.memory.Set(float64(l.MemoryBytes))
}

// routes are what the daemon answers: metrics, health, and the last decision.
func (d *service) routes(reg *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, d.healthy()) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { answer(w, d.ready()) })
	mux.HandleFunc("GET /explain", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(d.report())
	})
	return mux
}

func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// healthy reports whether the loop is alive.
func (d *service) healthy() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	most := d.session.cfg.longestStep() + 2*time.Duration(d.session.cfg.Interval)
	if age := time.Since(d.began); age > most {
		return fmt.Errorf("the last step began %s ago", age.Round(time.Second))
	}
	return nil
}

// ready reports whether there is telemetry and nothing fails; holding on purpose is ready.
func (d *service) ready() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.sampled.IsZero() && d.problem == "":
		return errors.New("no telemetry yet")
	case d.sampled.IsZero():
		return errors.New(d.problem)
	case time.Since(d.sampled) > time.Duration(d.session.cfg.Status.StaleAfter)+time.Duration(d.session.cfg.Interval):
		return fmt.Errorf("no telemetry for %s: %s", time.Since(d.sampled).Round(time.Second), d.problem)
	case d.problem != "" && d.lastErr != "telemetry": // a page that was not used now and then is no failure
		return errors.New(d.problem)
	}
	return nil
}

// report is what /explain says.
func (d *service) report() explainReport {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := explainReport{At: time.Now(), Learner: d.session.cfg.Tuner.Learner, Held: d.held, Reason: d.reason, Problem: d.problem, Explanation: d.explain,
		InForce: d.inForce, Operator: d.base}
	if !d.lastMade.IsZero() {
		r.LastChange = &d.lastMade
	}
	return r
}
