package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trimtab/control"
	"trimtab/fleet"
	"trimtab/fleet/bus"
	"trimtab/tuner"
	"trimtab/vts"
	"trimtab/weights"
)

// fleetDir is where a node's keys are when nobody says otherwise.
const fleetDir = "/etc/trimtab/fleet"

// inFleet reports whether the node is to join others.
func (c *Config) inFleet() bool { return len(c.Fleet.Servers) > 0 }

func (c *Config) checkFleet() (errs []error) {
	if !c.inFleet() {
		return nil
	}
	for _, s := range c.Fleet.Servers {
		if u, err := url.Parse(s); err != nil || u.Scheme != "tls" || u.Host == "" {
			errs = append(errs, fmt.Errorf("fleet.servers %q: want tls://host:port", s))
		}
	}
	for key, path := range map[string]string{"ca": c.Fleet.CA, "cert": c.Fleet.Cert, "key": c.Fleet.Key} {
		if !filepath.IsAbs(path) {
			errs = append(errs, fmt.Errorf("fleet.%s %q: want an absolute path", key, path))
		}
	}
	if p := time.Duration(c.Fleet.Patience); p < 2*time.Duration(c.Interval) {
		errs = append(errs, fmt.Errorf("fleet.patience %v: want at least two intervals", p))
	}
	if c.pursues() {
		errs = append(errs, errors.New("fleet.servers: a fleet shares weights, and no other objective: want "+
			"no objective.kind beside it"))
	}
	if c.Tuner.Learner != "tuned" {
		errs = append(errs, fmt.Errorf("fleet.servers: want tuner.learner = \"tuned\", not %q", c.Tuner.Learner))
	}
	return errs
}

// newLink returns the link that the configuration names; nil: none.
func newLink(cfg *Config, log *slog.Logger) (*bus.Link, error) {
	if !cfg.inFleet() {
		return nil, nil
	}
	var id bus.Identity
	var errs [3]error
	id.CA, errs[0] = cfg.file(fleetCA)
	id.Cert, errs[1] = cfg.file(fleetCert)
	id.Key, errs[2] = cfg.file(fleetKey)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("read keys of the fleet: %w", err)
	}
	return bus.NewLink(bus.LinkConfig{Servers: cfg.Fleet.Servers, Identity: id, Shares: cfg.fleetShares(), Logger: log})
}

// fleetShares are the limits of servers' shares, as a centre takes them into account.
func (c *Config) fleetShares() map[string]map[string]weights.Limits {
	out := map[string]map[string]weights.Limits{}
	for name, g := range c.tunerConfig().Groups {
		servers := map[string]weights.Limits{}
		if !g.Limits.Each.Free() {
			servers[fleet.AnyServer] = g.Limits.Each
		}
		for server, l := range g.Limits.Servers {
			servers[server] = l
		}
		if len(servers) > 0 {
			out[name] = servers
		}
	}
	return out
}

// fleetLimits are what the node itself checks.
func (c *Config) fleetLimits() fleet.Limits {
	groups := c.tunerConfig().Groups
	return fleet.Limits{Eject: c.Tuner.Eject != ejectNever,
		Share: func(group, server string) weights.Limits {
			l := groups[group].Limits
			if own, ok := l.Servers[server]; ok {
				return own
			}
			return l.Each
		},
		Keep: func(group, server string) bool { return groups[group].Limits.Keep[server] },
	}
}

// joined is the policy as that of a node of the session's fleet; where there is none it is the policy itself.
func (s *Session) joined(p control.Policy) (control.Policy, error) {
	if f, ok := p.(*fleetPolicy); ok {
		if f.link == s.link {
			return p, nil
		}
		p = f.local
	}
	if s.link == nil {
		return p, nil
	}
	node, err := fleet.NewNode(fleet.NodeConfig{Name: s.link.Name(), Local: p, Link: s.link, Limits: s.cfg.fleetLimits(),
		Patience: time.Duration(s.cfg.Fleet.Patience)})
	if err != nil {
		return nil, err
	}
	return &fleetPolicy{Node: node, local: p, link: s.link}, nil
}

// fleetPolicy is a tuner that is a node of a fleet. What it has learned is what the tuner has.
type fleetPolicy struct {
	*fleet.Node
	local control.Policy
	link  *bus.Link
	begun bool // it has observed, or goes on where another one stood
}

var _ control.Policy = (*fleetPolicy)(nil)

// Observe implements control.Policy. A node that knows nothing yet begins with what its fleet knows.
func (p *fleetPolicy) Observe(s vts.Sample, inForce weights.Set) {
	if !p.begun {
		p.begun = true
		if text := p.link.Beliefs(); text != nil {
			_ = RestoreShared(p.local, text) // one that cannot be used is as good as none
		}
	}
	p.Node.Observe(s, inForce)
}

// Tuner is the node's own.
func (p *fleetPolicy) Tuner() *tuner.Tuner {
	p.begun = true // whoever asks goes on from it, or has it go on
	t, _ := p.local.(*tuner.Tuner)
	return t
}

// Ejected are the servers that the node's own tuner has marked down, by upstream, and Asked tells it what one of them
// answers.
func (p *fleetPolicy) Ejected() map[string][]string {
	if t, ok := p.local.(*tuner.Tuner); ok {
		return t.Ejected()
	}
	return nil
}

// Asked implements probed.
func (p *fleetPolicy) Asked(upstream, server string, answers bool) {
	if t, ok := p.local.(*tuner.Tuner); ok {
		t.Asked(upstream, server, answers)
	}
}

var _ probed = (*fleetPolicy)(nil)

// Explain says why the node's own tuner would do what, and what the node does.
func (p *fleetPolicy) Explain() tuner.Explanation {
	var e tuner.Explanation
	if x, ok := p.local.(explainer); ok {
		e = x.Explain()
	}
	if p.Status().Mode != fleet.Alone {
		d := p.Choose()
		e.Reason, e.Changed = d.Reason, len(d.Weights) > 0
	}
	return e
}

// Snapshot implements learner.
func (p *fleetPolicy) Snapshot() (tuner.Snapshot, error) {
	if l, ok := p.local.(learner); ok {
		return l.Snapshot()
	}
	return tuner.Snapshot{}, errOther
}

// Restore implements learner.
func (p *fleetPolicy) Restore(s tuner.Snapshot) error {
	p.begun = true
	if l, ok := p.local.(learner); ok {
		return l.Restore(s)
	}
	return errOther
}

// SharedSnapshot is what a policy has learned, for others to begin with.
func SharedSnapshot(p control.Policy) (json.RawMessage, error) { return snapshotOf(p) }

// RestoreShared has a policy take over what another node or centre had learned: what servers are and what load there
// is, but not where the other one stood, for it had other weights and budgets.
func RestoreShared(p control.Policy, text json.RawMessage) error {
	l, ok := p.(learner)
	if !ok {
		return errOther
	}
	var s tuner.Snapshot
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	return l.Restore(s.Learned())
}

// fleetMetrics are read when somebody asks.
type fleetMetrics struct {
	of func() *fleetPolicy // nil: the node is alone

	attached, mode, plan, policy, heard, share, samples *prometheus.Desc
}

func newFleetMetrics(of func() *fleetPolicy) *fleetMetrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("trimtab_fleet_"+name, help, labels, nil)
	}
	return &fleetMetrics{of: of,
		attached: desc("attached", "1 when a server of the fleet is reached."),
		mode:     desc("mode", "1 for what the node decides by: led, trial, student or alone.", "mode"),
		plan:     desc("plan", "Number of the plan that the node follows."),
		policy:   desc("policy_version", "Version of the small policy that the node holds; 0: none."),
		heard:    desc("heard_timestamp_seconds", "When the centre was heard last; 0: never."),
		share:    desc("load_share", "Part of the fleet's load that comes through this node."),
		samples:  desc("samples_total", "Samples by what became of them.", "outcome"),
	}
}

// Describe implements prometheus.Collector.
func (m *fleetMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.attached, m.mode, m.plan, m.policy, m.heard, m.share, m.samples} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (m *fleetMetrics) Collect(to chan<- prometheus.Metric) {
	p := m.of()
	if p == nil {
		return
	}
	st := p.Status()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(m.attached, truth(p.link.Attached()))
	for _, mode := range []fleet.Mode{fleet.Led, fleet.Trial, fleet.Pupil, fleet.Alone} {
		gauge(m.mode, truth(mode == st.Mode), string(mode))
	}
	gauge(m.plan, float64(st.Plan))
	gauge(m.policy, float64(st.Policy))
	heard := 0.0
	if !st.Heard.IsZero() {
		heard = float64(st.Heard.UnixMilli()) / 1e3
	}
	gauge(m.heard, heard)
	gauge(m.share, st.Share)
	sent, _, dropped := p.link.Counts()
	for outcome, n := range map[string]uint64{"acknowledged": sent, "dropped": dropped} {
		to <- prometheus.MustNewConstMetric(m.samples, prometheus.CounterValue, float64(n), outcome)
	}
}

// fleetNode is the policy as a node of a fleet; nil: it is none.
func (d *Service) fleetNode() *fleetPolicy {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.node
}
