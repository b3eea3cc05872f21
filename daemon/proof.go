package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"trimtab/control"
	"trimtab/helper"
	"trimtab/page"
	"trimtab/prove"
	"trimtab/tuner"
	"trimtab/vts"
	"trimtab/weights"
	"trimtab/words"
)

// ProvePath is the file of the experiment, ProveOrderPath what somebody wants of it.
func (c *Config) ProvePath() string { return filepath.Join(c.dataDir(), "prove.json") }

// ProveOrderPath is where an order for the experiments of the daemon is left.
func (c *Config) ProveOrderPath() string { return filepath.Join(c.dataDir(), "prove.order.json") }

// ProvePlan is the experiment that the configuration describes.
func (c *Config) ProvePlan() prove.Plan {
	p := prove.Plan{
		Block: time.Duration(c.Prove.Block), WashOut: time.Duration(c.Prove.WashOut),
		Duration: time.Duration(c.Prove.Duration),
		Measure:  prove.Measure(c.Prove.Measure), Alpha: c.Prove.ErrorRate, Margin: c.Prove.Margin,
	}
	if p.WashOut == 0 {
		p.WashOut = -1 // none
	}
	for _, u := range c.Upstream {
		if u.Deadline > 0 {
			if p.Deadlines == nil {
				p.Deadlines = map[string]float64{}
			}
			p.Deadlines[u.Name] = float64(u.Deadline) / float64(time.Millisecond)
		}
	}
	return p
}

func (c *Config) setProve(p prove.Plan) {
	c.Prove.Block, c.Prove.WashOut, c.Prove.Duration = Span(p.Block), Span(p.WashOut), Span(p.Duration)
	c.Prove.Measure, c.Prove.ErrorRate, c.Prove.Margin = string(p.Measure), p.Alpha, p.Margin
}

// proof is the experiment of a daemon. Its loop alone uses it.
type proof struct {
	file  *prove.File // nil: none
	watch prove.Watch
	edits int       // of the operator that it knows of
	said  time.Time // when a failure was logged last
}

// proved is what others may see of it.
type proved struct {
	text     json.RawMessage // a prove.Result
	progress string
	headline string
	running  bool
	since    time.Time // of the arm in force
}

// running is the experiment that is under way; nil: none.
func (p *proof) running() *prove.File {
	if p.file == nil || p.file.Ended() {
		return nil
	}
	return p.file
}

// holds says why the experiment lets no change pass now; empty: it does.
func (p *proof) holds() string {
	switch {
	case p.file == nil || p.file.Arm() != prove.Operator && p.file.In != prove.Operator:
		return ""
	case p.file.Ended():
		return "proved: tuned weights are worse, the operator's stay until trimtab prove --release"
	}
	return "proving: it is the turn of the operator's weights"
}

// put reports whether the experiment has put the operator's weights of an upstream in force: that they are is nobody's
// edit.
func (p *proof) put(base, now weights.Group) bool {
	return p.file != nil && p.file.In == prove.Operator && base.Equal(now)
}

// restoreProof takes up the experiment of the run before.
func (d *Service) restoreProof(s *Session) {
	f, err := prove.Read(s.cfg.ProvePath())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err != nil:
		d.log.Error("the experiment cannot be read, and is not gone on with", "error", err)
		return
	}
	d.proof.file = f
	if !f.Ended() {
		f.Resume(time.Now())
		d.log.Info("the experiment goes on", "experiment", f.ID, "progress", f.Progress())
	}
	d.publishProof()
}

// prove takes the experiment a step further.
func (d *Service) prove(ctx context.Context, s *Session, sample *vts.Sample, policy control.Policy,
	e *tuner.Explanation) {
	p, now := &d.proof, time.Now()
	d.takeOrder(s, now)
	used := capacityUsed(e)
	if p.running() == nil {
		if p.watch.Plan.Block == 0 {
			p.watch.Plan = s.cfg.ProvePlan().WithDefaults()
		}
		p.watch.Take(*sample, used)
		if s.cfg.Prove.Enabled && p.file == nil && d.observed(s) {
			d.beginProof(s, s.cfg.ProvePlan(), now)
		}
	}
	f := p.file
	if f == nil {
		return
	}
	var news prove.News
	standing, err := s.root.Standing(ctx, false)
	told := d.told(standing)
	if err != nil {
		told = "helper: " + err.Error()
	}
	switch {
	case f.Ended():
		news.Switch = f.In != "" && f.In != f.Arm()
	case d.edits != p.edits:
		news = f.Edited(now, "the operator changed weights")
		f.In = prove.Operator
	case told != "":
		news = f.Void(now, "changes are held: "+firstWords(told))
	case f.Begun() && f.In == prove.Operator && !d.operatorsInForce(sample):
		news = f.Void(now, "the weights in force are not the operator's")
	default:
		news = f.Observe(now, *sample, used)
	}
	p.edits = d.edits
	if news.Text != "" {
		d.log.Info("experiment", "experiment", f.ID, "news", news.Text)
	}
	switched := false
	if told == "" && (news.Switch || !f.Ended() && !f.Begun()) {
		switched = d.switchArm(ctx, s, standing, sample, policy, now)
	}
	if switched || news.Text != "" || news.Switch {
		if err := f.Write(s.cfg.ProvePath()); err != nil {
			d.sayProof(now, "the experiment is not kept: it would begin anew after a restart", err)
		}
		d.publishProof()
	} else if !f.Ended() {
		d.mu.Lock()
		d.proved.progress = f.Progress()
		d.mu.Unlock()
	}
}

// observed reports whether the observation period is over.
func (d *Service) observed(s *Session) bool {
	return d.state.Observed >= time.Duration(s.cfg.ObserveFirst)
}

// takeOrder carries out what somebody wants of the experiment.
func (d *Service) takeOrder(s *Session, now time.Time) {
	o, err := prove.TakeOrder(s.cfg.ProveOrderPath())
	switch {
	case err != nil:
		d.sayProof(now, "an order for the experiment is not carried out", err)
	case o == nil:
	case o.Begin != nil && d.proof.running() != nil:
		d.log.Warn("an experiment is under way: end it before another begins", "experiment", d.proof.file.ID)
	case o.Begin != nil:
		d.beginProof(s, *o.Begin, now)
	case o.Stop && d.proof.file != nil:
		f := d.proof.file
		if f.Ended() {
			f.Released = true
		}
		f.Stop(now)
		d.log.Info("experiment", "experiment", f.ID, "news", "stopped or released by order", "result",
			f.Result().Headline())
		if err := f.Write(s.cfg.ProvePath()); err != nil {
			d.sayProof(now, "the end of the experiment is not kept", err)
		}
		d.publishProof()
	}
}

// beginProof begins an experiment. The one before is put aside.
func (d *Service) beginProof(s *Session, plan prove.Plan, now time.Time) {
	path := s.cfg.ProvePath()
	if d.proof.file != nil {
		if err := os.Rename(path, filepath.Join(filepath.Dir(path), "prove-"+d.proof.file.ID+".json")); err != nil &&
			!errors.Is(err, fs.ErrNotExist) {
			d.sayProof(now, "the experiment before is not kept", err)
		}
	}
	in := prove.Arm("")
	if d.proof.file != nil {
		in = d.proof.file.In
	}
	x := prove.New(plan, rand.Uint64()>>12, now)
	x.Version, x.Target = d.opts.Version, s.cfg.Nginx.Config
	x.Host, _ = os.Hostname()
	if status, err := s.poller.Last(); err == nil {
		x.NGINX = status.NginxVer
	}
	d.proof.file, d.proof.edits = &prove.File{Experiment: x, In: in}, d.edits
	estimate := "no estimate of what it can see: too little was observed with blocks of " + x.Plan.Block.String()
	if w := d.proof.watch.Power(); w != nil && d.proof.watch.Plan.Block == x.Plan.Block {
		estimate = w.Words(prove.Effect{Measure: x.Plan.Measure, Relative: x.Plan.Measure != prove.ART})
	}
	d.log.Info("an experiment begins", "experiment", x.ID, "block", x.Plan.Block, "wash_out", x.Plan.WashOut,
		"duration", x.Plan.Duration,
		"measure", x.Plan.Measure, "estimate", estimate)
}

// switchArm puts the weights of the arm in force whose turn it is. While it cannot, it is asked again in every step.
func (d *Service) switchArm(ctx context.Context, s *Session, standing helper.Standing, sample *vts.Sample,
	policy control.Policy, now time.Time) bool {
	f := d.proof.file
	arm := f.Arm()
	if why := s.obstacle(standing); why != "" {
		return false // as the hold of the loop says
	}
	want := weights.Set{}
	for _, g := range sample.Groups {
		base, known := d.state.Base[g.Name]
		if !known {
			continue
		}
		want[g.Name] = maps.Clone(base)
		if ours, ok := d.state.LastGood[g.Name]; ok && arm == prove.Tuned {
			want[g.Name] = maps.Clone(ours)
		}
	}
	if len(want) == 0 {
		return false
	}
	r, err := s.hand.put(ctx, want, s.shown(want))
	if err != nil {
		d.sayProof(now, "the weights of the other arm are not in force yet", err)
		return false
	}
	if err := d.contain(inPolicy, func() { policy.Committed(control.Receipt{Want: want}) }); err != nil {
		return false
	}
	if r.Changed {
		d.log.Info("weights changed", "reason", fmt.Sprintf("experiment: the turn of the %s weights", arm), "change",
			words.Change(control.InForce(*sample), want, nil), "reloaded", r.Reloaded, "took_ms", r.Took.Milliseconds())
	}
	if r.Changed {
		d.page.Note(page.CauseExperiment, control.InForce(*sample), want, fmt.Sprintf("the turn of the %s weights",
			arm),
			"trimtab prove --stop")
	}
	f.In = arm
	f.Begin(now)
	d.mu.Lock()
	d.proved.since = now
	d.mu.Unlock()
	return true
}

// operatorsInForce reports whether a sample shows the operator's weights.
func (d *Service) operatorsInForce(sample *vts.Sample) bool {
	for name, now := range control.InForce(*sample) {
		if base, known := d.state.Base[name]; known && !base.Equal(now) {
			return false
		}
	}
	return true
}

func (d *Service) sayProof(now time.Time, what string, err error) {
	if now.Sub(d.proof.said) < sayAgain {
		return
	}
	d.proof.said = now
	d.log.Warn(what, "error", err)
}

// publishProof makes the result known to whoever asks.
func (d *Service) publishProof() {
	f := d.proof.file
	r := f.Result()
	text := d.encoded(inProof, r)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.proved.text, d.proved.progress, d.proved.headline, d.proved.running = text, f.Progress(), r.Headline(), !f.Ended()
}

// capacityUsed is the share of the servers' slots that is used, as the tuner believes; 0: it does not say.
func capacityUsed(e *tuner.Explanation) float64 {
	if e == nil {
		return 0
	}
	slots, used := 0.0, 0.0
	for _, p := range e.Pools {
		for _, s := range p.Servers {
			slots += s.Slots
			used += s.Slots * s.Utilisation
		}
	}
	if slots <= 0 {
		return 0
	}
	return used / slots
}
