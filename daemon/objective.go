package daemon

import (
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"time"

	"trimtab/control"
	"trimtab/helper"
	"trimtab/objective"
	"trimtab/pursuit"
	"trimtab/scaling"
)

// ObjectiveConfig is [objective]: what is pursued in place of tardiness, and with which controls beside weights.
type ObjectiveConfig struct {
	Kind           string  `toml:"kind"` // empty: none, and everything is as without this section
	Steepness      float64 `toml:"steepness"`
	PriceUnit      float64 `toml:"price_unit"`
	PriceViolation float64 `toml:"price_violation"`
	Watch          Span    `toml:"watch"`
	MinGain        float64 `toml:"min_gain"`
	FixedWeights   bool    `toml:"fixed_weights"`
	Admission      string  `toml:"admission"` // lua, rate, or empty: off
	Status         int     `toml:"status"`
	RetryAfter     Span    `toml:"retry_after"`
}

// ScalingConfig is [scaling]: the operator's hook for the capacity of servers.
type ScalingConfig struct {
	Command   []string       `toml:"command"`
	Ask       []string       `toml:"ask"`
	URL       string         `toml:"url"`
	GetURL    string         `toml:"get_url"`
	Method    string         `toml:"method"`
	Field     string         `toml:"field"`
	TokenFile string         `toml:"token_file"`
	Timeout   Span           `toml:"timeout"`
	Confirm   Span           `toml:"confirm"`
	DryRun    bool           `toml:"dry_run"`
	Servers   []ServerScales `toml:"server"`
}

// ServerScales is [[scaling.server]].
type ServerScales struct {
	Name         string `toml:"name"`
	Min          int    `toml:"min"`
	Max          int    `toml:"max"`
	Step         int    `toml:"step"`
	Units        int    `toml:"units"`
	SlotsPerUnit int    `toml:"slots_per_unit"`
	CoolDown     Span   `toml:"cool_down"`
	Settle       Span   `toml:"settle"`
}

// UpstreamWish is what [[upstream]] says of an objective.
type UpstreamWish struct {
	Bound      Span     `toml:"bound"`
	Knee       Span     `toml:"knee"`
	Quantile   float64  `toml:"quantile"`
	Importance *float64 `toml:"importance"`
	Promised   float64  `toml:"promised"`
	MaxBlocked float64  `toml:"max_blocked"`
	BlockStep  float64  `toml:"block_step"`
	LimitZone  string   `toml:"limit_zone"`
}

// The ways of admission.
const (
	admissionLua  = "lua"
	admissionRate = "rate"
)

// pursues reports whether an objective other than tardiness is configured.
func (c *Config) pursues() bool { return c.Objective.Kind != "" }

// samePursuit reports whether another configuration wants the same of the same upstreams with the same controls.
func (c *Config) samePursuit(o *Config) bool {
	if !c.pursues() && !o.pursues() {
		return true
	}
	return reflect.DeepEqual(c.Objective, o.Objective) && reflect.DeepEqual(c.Scaling, o.Scaling) &&
		reflect.DeepEqual(c.Upstream, o.Upstream)
}

// spec is the objective as package objective has it.
func (c *Config) spec() objective.Spec {
	o := c.Objective
	out := objective.Spec{Kind: o.Kind, Steepness: o.Steepness, PriceUnit: o.PriceUnit,
		PriceViolation: o.PriceViolation, Upstreams: map[string]objective.Terms{}}
	for _, u := range c.Upstream {
		t := objective.Terms{Bound: time.Duration(u.Bound), Knee: time.Duration(u.Knee), Quantile: u.Quantile,
			Importance: 1, Promised: u.Promised,
			Deadline: time.Duration(u.Deadline)}
		if u.Importance != nil {
			t.Importance = *u.Importance
		}
		out.Upstreams[u.Name] = t
	}
	return out
}

func (c *Config) admissionLimits() map[string]control.AdmissionLimits {
	out := map[string]control.AdmissionLimits{}
	for _, u := range c.Upstream {
		if u.MaxBlocked > 0 && c.Objective.Admission != "" {
			l := control.AdmissionLimits{Most: u.MaxBlocked, Step: u.BlockStep}
			if c.Objective.Admission == admissionRate { // every change is a reload
				l.Settle = max(rateSettles, 2*time.Duration(c.Interval))
			}
			out[u.Name] = l
		}
	}
	return out
}

// rateSettles is the least time from a change of a rate to the next.
const rateSettles = 5 * time.Second

func (c *Config) scalingLimits() (limits map[string]control.ScalingLimits, units map[string]int) {
	limits, units = map[string]control.ScalingLimits{}, map[string]int{}
	for _, s := range c.Scaling.Servers {
		limits[s.Name] = control.ScalingLimits{Min: s.Min, Max: s.Max, Step: s.Step,
			CoolDown: time.Duration(s.CoolDown), Settle: time.Duration(s.Settle),
			SlotsPerUnit: s.SlotsPerUnit}
		if s.Units > 0 {
			units[s.Name] = s.Units
		}
	}
	return limits, units
}

// checkObjective reports the faults of [objective], [scaling] and what [[upstream]] says of them.
func (c *Config) checkObjective() []error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	o := c.Objective
	if !c.pursues() {
		for _, u := range c.Upstream {
			check(u.UpstreamWish == UpstreamWish{}, "upstream %q: what is wanted of an objective wants "+
				"[objective] kind", u.Name)
		}
		check(o.Admission == "", "objective.admission: wants objective.kind")
		check(len(c.Scaling.Servers) == 0, "scaling.server: wants objective.kind")
		return errs
	}
	check(c.Tuner.Learner == "tuned", "objective.kind %q: wants tuner.learner = \"tuned\"", o.Kind)
	for _, fault := range faults(c.spec().Validate()) {
		errs = append(errs, fmt.Errorf("objective.%w", fault))
	}
	check(o.Admission == "" || o.Admission == admissionLua || o.Admission == admissionRate, "objective.admission %q: "+
		"want %q, %q or \"\" (off)",
		o.Admission, admissionLua, admissionRate)
	check(o.Status == 503 || o.Status == 429, "objective.status %d: want 503 or 429", o.Status)
	for _, u := range c.Upstream {
		check(u.MaxBlocked == 0 || o.Admission != "", "upstream %q: max_blocked wants objective.admission", u.Name)
		check(u.LimitZone == "" || o.Admission == admissionRate, "upstream %q: limit_zone wants "+
			"objective.admission = %q", u.Name, admissionRate)
		check(o.Admission != admissionRate || u.MaxBlocked == 0 || u.LimitZone != "",
			"upstream %q: admission by rate wants limit_zone, the limit_req_zone whose rate may be edited", u.Name)
	}
	check(o.Admission != admissionRate || c.Nginx.Config != "", "objective.admission %q: wants nginx.config, whose "+
		"digits it edits", o.Admission)
	limits, units := c.scalingLimits()
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		check(name != "", "scaling.server: want a name, as the status page shows it")
		check(limits[name].On(), "scaling.server %q: want min and max", name)
	}
	s := c.Scaling
	hook := len(s.Command) > 0 || s.URL != ""
	check(hook || len(s.Servers) == 0, "scaling: want command or url")
	check(len(s.Command) == 0 || s.URL == "", "scaling: command and url: want one of them")
	if s.URL != "" {
		if err := s.call("").Check(); err != nil {
			errs = append(errs, fmt.Errorf("scaling.url: %w", err))
		}
	}
	blind := hook && len(s.Ask) == 0 && s.GetURL == ""
	for _, v := range s.Servers {
		check(!blind || v.Units > 0, "scaling.server %q: want units, what it has at the start, since the hook cannot "+
			"say: or set ask or get_url", v.Name)
	}
	wanted, err := objective.New(c.spec())
	if err != nil { // its faults are above
		wanted = nowhere{}
	}
	p := pursuit.Config{Objective: wanted, Admission: c.admissionLimits(), Scaling: limits, Units: units,
		MinGain: o.MinGain}
	for _, fault := range faults(p.Validate()) {
		errs = append(errs, fmt.Errorf("objective: %w", fault))
	}
	return errs
}

// nowhere stands for an objective where only the rest is checked.
type nowhere struct{ objective.Objective }

func (nowhere) Kind() string { return "" }

func (s ScalingConfig) call(token string) scaling.HTTP {
	return scaling.HTTP{URL: s.URL, GetURL: s.GetURL, Method: s.Method, Field: s.Field, Token: token}
}

// fixedShares are the upstreams whose weights are no control of an objective, because the operator has bounded the
// shares of their servers.
func (c *Config) fixedShares() map[string]string {
	out := map[string]string{}
	for _, u := range c.Upstream {
		if u.MinShare > 0 || u.MaxShare > 0 && u.MaxShare < 1 || len(u.Server) > 0 {
			out[u.Name] = "the shares of its servers are bounded in the configuration"
		}
	}
	return out
}

// newPursuit returns the policy of the objective.
func newPursuit(cfg *Config) (control.Policy, error) {
	o, err := objective.New(cfg.spec())
	if err != nil {
		return nil, err
	}
	limits, units := cfg.scalingLimits()
	return pursuit.New(pursuit.Config{Objective: o, Tuner: cfg.tunerConfig(), Admission: cfg.admissionLimits(),
		Scaling: limits, Units: units,
		FixedWeights: cfg.Objective.FixedWeights, Fixed: cfg.fixedShares(), Watch: time.Duration(cfg.Objective.Watch),
		MinGain: cfg.Objective.MinGain, Search: pursuit.Options{Interval: time.Duration(cfg.Interval)}})
}

// rootControls are what the root may do beside weights by a configuration.
func rootControls(cfg *Config, log *slog.Logger) helper.Controls {
	var out helper.Controls
	if !cfg.pursues() {
		return out
	}
	if s := cfg.Scaling; len(s.Servers) > 0 && s.URL == "" {
		out.Scaler = cfg.scaler(scaling.Command{Change: s.Command, Ask: s.Ask}, log)
	}
	if cfg.Objective.Admission == admissionRate {
		out.Zones, out.MostBlocked = map[string]string{}, map[string]float64{}
		for _, u := range cfg.Upstream {
			if u.LimitZone != "" {
				out.Zones[u.Name], out.MostBlocked[u.Name] = u.LimitZone, u.MaxBlocked
			}
		}
	}
	return out
}

// controls are the options of the loop for the controls beside weights.
func (s *Session) controls() []control.Option {
	var out []control.Option
	if s.admission != nil {
		out = append(out, control.WithAdmission(s.admission))
	}
	if s.scaler != nil {
		out = append(out, control.WithScaling(s.scaler))
	}
	return out
}
