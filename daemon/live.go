package daemon

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"trimtab/control"
	"trimtab/orders"
	"trimtab/page"
	"trimtab/tuner"
	"trimtab/tuner/params"
	"trimtab/vts"
	"trimtab/weights"
	"trimtab/words"
)

// Budget is what is left of the changes of a configuration when left are.
func (c *Config) Budget(left int) words.Budget {
	most := c.Tuner.Burst
	if most == 0 {
		most = int(params.Default().BurstChanges)
	}
	return words.Budget{Left: left, Most: most, Unlimited: c.tunerConfig().Unlimited}
}

// newPage returns what the live page is shown from.
func newPage(cfg *Config, version string) *page.Recorder {
	host, _ := os.Hostname()
	return page.NewRecorder(page.About{Title: "Trimtab on " + host, Host: host, Target: cfg.Nginx.Config,
		Version: version})
}

// livePage is the handler of the page.
func (d *Service) livePage() http.Handler {
	o := page.Options{}
	if cfg := d.current().cfg; cfg.PageTokenFile != "" {
		o.Token = func() (string, error) {
			text, err := cfg.file(pageFile)
			return strings.TrimSpace(string(text)), err
		}
		o.Hold = d.holdByPage
	}
	return page.Handler(d.page, o)
}

// holdByPage sets or removes the hold file, as trimtab tune --hold and --release do.
func (d *Service) holdByPage(on bool) error {
	s := d.current()
	_, err := s.root.Hold(context.Background(), &on)
	if err == nil {
		d.log.Warn("hold file changed from the page", "hold", on)
		d.page.Holds(d.pageHolds(s))
	}
	return err
}

func (d *Service) pageHolds(s *Session) page.HoldState {
	held, err := s.root.Hold(context.Background(), nil)
	return page.HoldState{Possible: s.cfg.PageTokenFile != "", Held: held != "" && err == nil}
}

// show takes a step over into the page, and says in the log what the last change has brought.
func (d *Service) show(s *Session, sample *vts.Sample, held string, out control.Outcome, e *tuner.Explanation,
	err error) {
	d.mu.Lock()
	problem, base, proved := d.problem, d.base, d.proved
	d.mu.Unlock()
	step := page.Step{Sample: sample, Operator: base, Explanation: e, Held: held, Reason: out.Decision.Reason,
		Learner: s.cfg.Tuner.Learner,
		LeftOut: s.leftOut(), Interval: time.Duration(s.cfg.Interval), Cause: page.CauseTuner, Undo: s.undo(),
		Errors: d.troubles.lines(time.Now())}
	if err != nil {
		step.Problem = problem
	}
	s.mu.Lock()
	if sample != nil && s.whole != nil {
		step.Sample, step.InForce = s.whole, control.InForce(*s.whole)
	}
	step.Ordered, step.Configured = ordersInWords(s.orders.list, s.orders.limits), s.cfg.serversInWords(step.Sample)
	s.mu.Unlock()
	if e != nil {
		step.Budget = s.cfg.Budget(e.Budget)
	}
	if out.Applied {
		step.Changed, step.Reloaded = out.Decision.Weights, out.Receipt.Reloaded
	}
	if status, err := s.poller.Last(); err == nil {
		d.page.NGINX(status.NginxVer)
	}
	if news := d.page.Step(step); news != "" {
		d.log.Info("outcome of the last change", "outcome", news)
	}
	d.page.Holds(d.pageHolds(s))
	if proved.text != nil {
		d.page.Proof(&page.Proof{Headline: proved.headline, Progress: proved.progress, Running: proved.running})
	}
}

// undo says how a person takes back a change.
func (s *Session) undo() string {
	switch s.cfg.Actuator.Kind {
	case "live":
		return "trimtab tune --hold, then trimtab nginx live set"
	case "dns":
		return "trimtab tune --hold, then trimtab nginx dns set"
	}
	return "trimtab tune --hold, then trimtab nginx rollback"
}

// noteEdit puts an operator's edit into the list of changes.
func (d *Service) noteEdit(was, now weights.Set) { d.page.Note(page.CauseOperator, was, now, "", "") }

// noteOrders puts changes that orders have made into the list of changes.
func (d *Service) noteOrders(s *Session, made []obeyed) {
	s.mu.Lock()
	list := s.orders.list
	s.mu.Unlock()
	for _, m := range made {
		var said []string
		for _, server := range slices.Sorted(maps.Keys(list[m.upstream])) {
			said = append(said, server+" is "+list[m.upstream][server].Text(time.Now()))
		}
		why, undo := strings.Join(said, "; "), ""
		switch {
		case !m.active:
			why = "the orders are over: the weights are those of before"
		case len(said) == 0:
			why = "as ordered"
		default:
			undo = fmt.Sprintf("trimtab undrain --upstream %s --server SERVER", m.upstream)
		}
		d.page.Note(page.CauseOrders, weights.Set{m.upstream: m.was}, weights.Set{m.upstream: m.now}, why, undo)
	}
}

// serversInWords says by upstream and server what the configuration wants of shares; nil where it wants nothing.
func (c *Config) serversInWords(sample *vts.Sample) map[string]map[string]string {
	if sample == nil || !slices.ContainsFunc(c.Upstream, func(u UpstreamConfig) bool {
		return u.limited() || !u.tunes()
	}) {
		return nil
	}
	out := map[string]map[string]string{}
	for _, g := range sample.Groups {
		u := c.upstream(g.Name)
		if !u.limited() && u.tunes() {
			continue
		}
		b, servers := u.bounds(), map[string]string{}
		for _, p := range g.Peers {
			own, named := b.Servers[p.Server]
			if !named {
				own = b.Each
			}
			switch {
			case !u.tunes() || b.Keep[p.Server]:
				servers[p.Server] = "not tuned"
			case own.Free():
			case own.Min == own.Max:
				servers[p.Server] = "pinned " + shareText(own)
			default:
				servers[p.Server] = shareText(own)
			}
		}
		out[g.Name] = servers
	}
	return out
}

// ordersInWords says by upstream and server what is ordered: drained, pinned, slow start.
func ordersInWords(list map[string]map[string]orders.Order,
	limits map[string]map[string]orders.Limit) map[string]map[string]string {
	out := map[string]map[string]string{}
	for upstream, servers := range limits {
		out[upstream] = map[string]string{}
		for server, l := range servers {
			if out[upstream][server] = "limited"; l.Keep {
				out[upstream][server] = "kept"
			}
		}
	}
	for upstream, servers := range list {
		if out[upstream] == nil {
			out[upstream] = map[string]string{}
		}
		for server, o := range servers {
			switch {
			case o.Drain:
				out[upstream][server] = "drained"
			case o.Ramp > 0:
				out[upstream][server] = "slow start"
			default:
				out[upstream][server] = "pinned"
			}
		}
	}
	return out
}
