package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"trimtab/control"
	"trimtab/helper"
	"trimtab/nginx/live"
	"trimtab/objective"
	"trimtab/pursuit"
	"trimtab/scaling"
	"trimtab/vts"
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
	p := pursuit.Config{Objective: nowhere{}, Admission: c.admissionLimits(), Scaling: limits, Units: units,
		MinGain: o.MinGain}
	for _, fault := range faults(p.Validate()) {
		errs = append(errs, fmt.Errorf("objective: %w", fault))
	}
	return errs
}

// nowhere stands for an objective where only the rest is checked.
type nowhere struct{ objective.Objective }

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
		MinGain: cfg.Objective.MinGain})
}

// scaler carries out capacities.
type scaler interface {
	control.Scaler
	InForce(ctx context.Context) (map[string]int, error)
}

// askedScaler has the root carry them out: it runs the operator's program, which a process that reads the network may
// not.
type askedScaler struct{ root root }

// Scale implements control.Scaler.
func (a askedScaler) Scale(ctx context.Context, capacity map[string]int) error {
	return a.root.Scale(ctx, capacity)
}

// InForce implements scaler.
func (a askedScaler) InForce(ctx context.Context) (map[string]int, error) { return a.root.Units(ctx) }

// newScaler returns who carries out capacities; nil: nobody does. A URL is called by this process, a program run by the
// root.
func newScaler(s *Session, log *slog.Logger) (scaler, error) {
	hook := s.cfg.Scaling
	if limits, _ := s.cfg.scalingLimits(); !s.cfg.pursues() || len(limits) == 0 {
		return nil, nil
	}
	if hook.URL == "" {
		return askedScaler{s.root}, nil
	}
	token := ""
	if hook.TokenFile != "" {
		text, err := s.cfg.file(hookFile)
		if err != nil {
			return nil, fmt.Errorf("read the token of the scaling hook: %w", err)
		}
		token, _, _ = strings.Cut(string(text), "\n")
	}
	return s.cfg.scaler(hook.call(strings.TrimSpace(token)), log), nil
}

func (c *Config) scaler(hook scaling.Hook, log *slog.Logger) *scaling.Scaler {
	s := c.Scaling
	limits, _ := c.scalingLimits()
	return &scaling.Scaler{Hook: hook, Limits: limits, Timeout: time.Duration(s.Timeout),
		Confirm: time.Duration(s.Confirm), DryRun: s.DryRun, Logger: log}
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

// admission refuses requests for a session, and goes on refusing from step to step.
type admission struct {
	lua  *live.Admission // nil: by the rates of limit_req_zones, which the root edits
	root root

	mu      sync.Mutex
	blocked map[string]float64
	refused map[string]uint64  // counts at the last sample
	offered map[string]float64 // per s, when a rate was set
	offers  func() map[string]float64
}

var _ control.Admitter = (*admission)(nil)

// newAdmission returns who carries out blocking shares; nil: nobody does.
func newAdmission(s *Session) (*admission, error) {
	o := s.cfg.Objective
	if !s.cfg.pursues() || o.Admission == "" {
		return nil, nil
	}
	a := &admission{blocked: map[string]float64{}, refused: map[string]uint64{}, offered: map[string]float64{}}
	if o.Admission == admissionRate {
		a.root, a.offers = s.root, s.offered
		return a, nil
	}
	call := live.Config{Address: s.cfg.Actuator.Address, TokenFile: s.cfg.Actuator.TokenFile,
		Timeout: time.Duration(s.cfg.Status.Timeout),
		Token:   func() ([]byte, error) { return s.cfg.file(tokenFile) }}
	if !s.cfg.Actuator.Unseen {
		call.Prove = s.root.Answers
	}
	setter, err := live.New(call)
	if err != nil {
		return nil, err
	}
	a.lua = &live.Admission{Actuator: setter, Hold: max(renewals*time.Duration(s.cfg.Interval),
		live.DefaultAdmissionHold), Status: o.Status,
		RetryAfter: time.Duration(o.RetryAfter)}
	return a, nil
}

// offered are the requests per second that upstreams are believed to be offered.
func (s *Session) offered() map[string]float64 {
	if p, ok := s.policy.(*pursuit.Policy); ok {
		return p.Offered()
	}
	return nil
}

// renewals are the intervals that a share is in force without being renewed.
const renewals = 3

// Admit implements control.Admitter.
func (a *admission) Admit(ctx context.Context, blocked map[string]float64) (err error) {
	if a.lua != nil {
		err = a.lua.Admit(ctx, blocked)
	} else {
		offered := a.offers()
		if err = a.root.Admit(ctx, blocked, offered); err == nil {
			a.mu.Lock()
			maps.Copy(a.offered, offered)
			a.mu.Unlock()
		}
	}
	if err == nil {
		a.mu.Lock()
		maps.Copy(a.blocked, blocked)
		a.mu.Unlock()
	}
	return err
}

// Release implements control.Admitter; it does nothing when nobody is refused.
func (a *admission) Release(ctx context.Context) error {
	a.mu.Lock()
	refuses := false
	for _, share := range a.blocked {
		refuses = refuses || share > 0
	}
	a.mu.Unlock()
	if !refuses {
		return nil
	}
	var err error
	if a.lua != nil {
		err = a.lua.Release(ctx)
	} else {
		err = a.root.Release(ctx)
	}
	if err == nil {
		a.mu.Lock()
		clear(a.blocked)
		a.mu.Unlock()
	}
	return err
}

// see puts into a sample what was refused since the one before, and has the shares go on.
func (a *admission) see(ctx context.Context, sample *vts.Sample) error {
	seconds := sample.Interval.Seconds()
	if a.lua == nil {
		a.guess(sample, seconds)
		return nil
	}
	state, err := a.lua.State(ctx)
	if err != nil {
		return err
	}
	a.mu.Lock()
	renew := maps.Clone(a.blocked)
	for i := range sample.Groups {
		g := &sample.Groups[i]
		now := state[g.Name].Refused
		before, known := a.refused[g.Name]
		if a.refused[g.Name] = now; known && now >= before {
			g.Refused = now - before
		}
	}
	a.mu.Unlock()
	maps.DeleteFunc(renew, func(_ string, share float64) bool { return share <= 0 })
	return a.lua.Admit(ctx, renew)
}

// rateBinds is the part of a rate that has to be carried for it to be taken for what limits: chance and what servers
// still have of before make the rest.
const rateBinds = 0.85

// guess says what was refused where nobody counts it. While a rate binds, as much is taken to be offered as when it was
// set: how much more is refused cannot be seen. When clearly less is carried than the rate, nobody is refused.
func (a *admission) guess(sample *vts.Sample, seconds float64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range sample.Groups {
		g := &sample.Groups[i]
		carried, offered := float64(g.Requests()), a.offered[g.Name]*seconds
		if share := a.blocked[g.Name]; share > 0 && carried >= rateBinds*(1-share)*offered {
			g.Refused = uint64(max(0, offered-carried) + 0.5)
		}
	}
}

// letAllIn ends admission when a session ends.
func (s *Session) letAllIn(log *slog.Logger) {
	if s.admission == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.admission.Release(ctx); err != nil && !errors.Is(err, live.ErrUnreachable) {
		log.Error("admission control did not end", "error", err)
	}
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

// learnUnits tells a policy once what the scaling hook says that servers have.
func (s *Session) learnUnits(ctx context.Context) error {
	p, ok := s.policy.(*pursuit.Policy)
	if s.scaler == nil || s.asked || !ok {
		return nil
	}
	units, err := s.scaler.InForce(ctx)
	if err != nil {
		return fmt.Errorf("ask the scaling hook: %w", err)
	}
	p.SetUnits(units)
	s.asked = true
	return nil
}
