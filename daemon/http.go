package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"trimtab/control"
)

// routes are what the daemon answers: metrics, health, and the last decision.
func (d *Service) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(d.opts.Registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, d.healthy()) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, d.ready())
		d.troubles.printTo(w, time.Now())
	})
	mux.HandleFunc("GET /explain", func(w http.ResponseWriter, _ *http.Request) {
		text, err := json.Marshal(d.report())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(append(text, '\n'))
	})
	mux.HandleFunc("GET /prove", func(w http.ResponseWriter, _ *http.Request) {
		d.mu.Lock()
		text := d.proved.text
		d.mu.Unlock()
		if text == nil {
			http.Error(w, "no experiment: begin one with trimtab prove --start", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(append(text, '\n'))
	})
	mux.Handle("/", d.livePage())
	return d.contained(mux)
}

// contained makes a panic of a handler an internal fault. One that net/http asks for passes.
func (d *Service) contained(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fault := control.Contain(func() { next.ServeHTTP(w, r) })
		if fault == nil {
			return
		}
		if p := (*control.Panic)(nil); errors.As(fault, &p) && p.Value == any(http.ErrAbortHandler) {
			panic(http.ErrAbortHandler)
		}
		d.fault(inPage, fault)
		http.Error(w, fault.Error(), http.StatusInternalServerError)
	})
}

func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// healthy reports whether the loop is alive.
func (d *Service) healthy() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	most := d.session.cfg.longestStep() + 2*time.Duration(d.session.cfg.Interval)
	if age := time.Since(d.began); age > most {
		return fmt.Errorf("the last step began %s ago", age.Round(time.Second))
	}
	return nil
}

// ready reports whether there is telemetry and nothing fails; holding on purpose is ready.
func (d *Service) ready() error {
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
