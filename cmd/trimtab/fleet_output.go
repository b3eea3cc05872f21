package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"trimtab/fleet/bus"
	"trimtab/localhttp"
	"trimtab/plain"
)

type writer = io.Writer

// writeFleet writes where a fleet stands, for people.
func writeFleet(w writer, st bus.Status, now time.Time) error {
	fmt.Fprintf(w, "centre %s: plan %d.%d, %s ago: %s\n", plain.Text(st.Centre), st.Epoch, st.Plan,
		now.Sub(st.At).Round(time.Second), plain.Text(st.Reason))
	if st.Trouble != "" {
		fmt.Fprintf(w, "trouble: %s\n", plain.Text(st.Trouble))
	}
	for _, name := range slices.Sorted(maps.Keys(st.Weights)) {
		g := st.Weights[name]
		fmt.Fprintf(w, "%s:", plain.Text(name))
		for _, server := range slices.Sorted(maps.Keys(g)) {
			fmt.Fprintf(w, " %s=%s", plain.Text(server), g[server])
		}
		fmt.Fprintf(w, "   %.1f/s\n", st.Rates[name])
	}
	fmt.Fprintf(w, "samples %d, quarantined %d, lag %.2f s (p50) %.2f s (p99)\n", st.Samples, st.Discarded,
		st.LagSec.P50, st.LagSec.P99)
	p := st.Policy
	switch {
	case p.Candidate > 0:
		fmt.Fprintf(w, "policy %d stands, %d on trial at %s and %.0f %% of the nodes\n", p.Stable, p.Candidate,
			plain.Text(p.Canary), 100*p.Share)
	case p.Stable > 0:
		fmt.Fprintf(w, "policy %d stands\n", p.Stable)
	}
	if p.TakenBack > 0 {
		fmt.Fprintf(w, "policy %d was taken back: %s\n", p.TakenBack, plain.Text(p.Why))
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "node\theard\tload\trequests/s\tplan\tpolicy\tquarantined\tremark")
	for i := range st.Nodes {
		n := &st.Nodes[i]
		heard := "never"
		if n.HeardSec >= 0 {
			heard = fmt.Sprintf("%.1f s ago", n.HeardSec)
		}
		var remark []string
		if n.Trial {
			remark = append(remark, "on trial")
		}
		if n.LeftOut {
			remark = append(remark, "left out")
		}
		if n.Refused != "" {
			remark = append(remark, "refuses: "+n.Refused)
		}
		if n.Fault != nil {
			remark = append(remark, fmt.Sprintf("%s: %s", n.Fault.Reason, n.Fault.Detail))
		}
		fmt.Fprintf(t, "%s\t%s\t%.0f %%\t%.1f\t%s\t%d\t%d\t%s\n", plain.Text(n.Node), heard, 100*n.LoadShare,
			n.RatePerSec, plain.Text(n.Plan), n.Policy,
			n.Quarantined, plain.Text(strings.Join(remark, "; ")))
	}
	return t.Flush()
}

// serveFleet answers /metrics, /healthz and /status for this machine until ctx ends; done waits for that.
func serveFleet(ctx context.Context, address string, station *bus.Station, server *bus.Server) (done func(),
	err error) {
	if err := localhttp.CheckAddress(address); err != nil {
		return nil, err
	}
	l, err := localhttp.Open(ctx, address)
	if err != nil {
		return nil, err
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newCentreMetrics(station))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		st := station.Status()
		fault := st.Trouble
		if server != nil && server.Healthy() != nil {
			fault = server.Healthy().Error()
		}
		if fault != "" {
			http.Error(w, fault, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(station.Status())
	})
	s := localhttp.NewServer(mux, localhttp.Limits{})
	go func() { _ = s.Serve(l) }()
	return func() {
		<-ctx.Done()
		_ = s.Close()
	}, nil
}

// centreMetrics are read when somebody asks.
type centreMetrics struct {
	station *bus.Station

	planning, nodes, plan, lag, samples, quarantined, share, policy *prometheus.Desc
}

func newCentreMetrics(s *bus.Station) *centreMetrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("trimtab_centre_"+name, help, labels, nil)
	}
	return &centreMetrics{station: s,
		planning:    desc("planning", "1 when this centre plans, 0 when it stands by."),
		nodes:       desc("nodes", "Nodes that are known, by state: heard or silent.", "state"),
		plan:        desc("plan", "Number of the last plan."),
		lag:         desc("lag_seconds", "From the end of an interval at a node to the centre.", "quantile"),
		samples:     desc("samples_total", "Samples that were taken in."),
		quarantined: desc("quarantined_total", "Samples that were not believed."),
		share:       desc("node_load_share", "Part of the fleet's load that comes through a node.", "node"),
		policy:      desc("policy_version", "Version of the small policy.", "stage"),
	}
}

// Describe implements prometheus.Collector.
func (m *centreMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.planning, m.nodes, m.plan, m.lag, m.samples, m.quarantined, m.share,
		m.policy} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (m *centreMetrics) Collect(to chan<- prometheus.Metric) {
	st := m.station.Status()
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	planning := 0.0
	if st.Planning {
		planning = 1
	}
	heard, silent := 0, 0
	for i := range st.Nodes {
		if n := &st.Nodes[i]; n.HeardSec >= 0 && n.HeardSec < silentSec {
			heard++
			send(m.share, prometheus.GaugeValue, n.LoadShare, n.Node)
		} else {
			silent++
		}
	}
	send(m.planning, prometheus.GaugeValue, planning)
	send(m.nodes, prometheus.GaugeValue, float64(heard), "heard")
	send(m.nodes, prometheus.GaugeValue, float64(silent), "silent")
	send(m.plan, prometheus.GaugeValue, float64(st.Plan))
	send(m.lag, prometheus.GaugeValue, st.LagSec.P50, "0.5")
	send(m.lag, prometheus.GaugeValue, st.LagSec.P99, "0.99")
	send(m.samples, prometheus.CounterValue, float64(st.Samples))
	send(m.quarantined, prometheus.CounterValue, float64(st.Discarded))
	send(m.policy, prometheus.GaugeValue, float64(st.Policy.Stable), "stable")
	send(m.policy, prometheus.GaugeValue, float64(st.Policy.Candidate), "candidate")
}

// silentSec is from when on a node counts as silent.
const silentSec = 30
