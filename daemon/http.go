package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"trimtab/control"
)

// serve answers on a loopback address until ctx ends: metrics, health, and the last decision.
func (d *Service) serve(ctx context.Context, address string) (addr string, err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return "", fmt.Errorf("listen %s: %w: change listen in the configuration", address, err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(d.opts.Registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, d.healthy()) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { answer(w, d.ready()) })
	mux.HandleFunc("GET /explain", func(w http.ResponseWriter, _ *http.Request) {
		text, err := json.Marshal(d.report())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(append(text, '\n'))
	})
	server := &http.Server{Handler: d.contained(localOnly(mux)), ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelWarn),
		ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	go func() { // a panic of a handler is contained by itself, and Serve does nothing but accept
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			d.log.Error("the page is not served any more", "error", err)
		}
	}()
	context.AfterFunc(ctx, func() { _ = server.Close() })
	return l.Addr().String(), nil
}

// contained makes a panic of a handler an internal fault. One that net/http asks for passes.
func (d *Service) contained(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fault := control.Contain(func() { next.ServeHTTP(w, r) })
		if fault == nil {
			return
		}
		if p := (*control.Panic)(nil); errors.As(fault, &p) && p.Value == http.ErrAbortHandler {
			panic(http.ErrAbortHandler)
		}
		d.fault(inPage, fault)
		http.Error(w, fault.Error(), http.StatusInternalServerError)
	})
}

// localOnly refuses requests for another host: a browser on this machine must not be led here by a foreign page.
func localOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if ip := net.ParseIP(strings.Trim(host, "[]")); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "this address answers to localhost only", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
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
