package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"trimtab/nginx"
	"trimtab/nginx/live"
	"trimtab/tuner"
	"trimtab/vts"
)

// session is what one configuration of the daemon needs: where telemetry comes from, who decides, how weights get into
// NGINX. A new configuration makes a new session.
type session struct {
	cfg     *daemonConfig
	log     *slog.Logger
	client  *vts.Client // of the poller
	fresh   *vts.Client // opens a connection for every request
	poller  *vts.Poller
	reader  *vts.Reader
	applier *nginx.Applier
	live    *live.Actuator // nil: weights are not set live
	dns     *dnsSession    // nil: weights are not set by DNS; without both they change by reload
	policy  tuner.Policy
	tuned   *tuner.Tuner // nil: the policy explains nothing
	cancel  func()       // ends what runs in the background
	tried   bool         // nginx -t has been tried, see service.tryOut

	mu       sync.Mutex
	tunable  map[string]bool // upstreams that may be tuned; nil: not read yet
	unread   string          // why the configuration of NGINX cannot be read
	excluded []string        // upstreams left alone, and why
	lastLoad nginx.Load
	last     *vts.Sample // of the last step

	generation int64 // of NGINX's configuration in the last sample
	orders     ordered
	alone      map[string]bool // upstreams that on_render = "hold" has taken out
	dry        bool
	change     *pageAfter // what the page must show before it is used; nil: anything
}

// pageAfter is a change of weights that the next sample must be later than.
type pageAfter struct {
	at       time.Time
	reloaded bool
	before   int64 // generation
}

func newSession(cfg *daemonConfig, log *slog.Logger) (*session, error) {
	s := &session{cfg: cfg, log: log}
	var err error
	if s.client, err = cfg.statusClient(false); err != nil {
		return nil, err
	}
	if s.fresh, err = cfg.statusClient(true); err != nil {
		return nil, err
	}
	loaded := &nginx.Loaded{Path: cfg.Nginx.Config}
	s.poller, err = vts.NewPoller(filled{s.client, loaded}, vts.PollerConfig{
		Interval: time.Duration(cfg.Status.Poll), StaleAfter: time.Duration(cfg.Status.StaleAfter), Logger: log,
	})
	if err != nil {
		return nil, err
	}
	s.reader = s.poller.Reader()
	n, a := cfg.Nginx, cfg.Actuator
	s.applier = &nginx.Applier{
		Config: n.Config, StateDir: filepath.Join(cfg.StateDir, "nginx"), Binary: n.Binary, Prefix: n.Prefix, PIDFile: n.PIDFile, TestCommand: orNil(n.TestCommand), ReloadCommand: orNil(n.ReloadCommand),
		Status: statusFunc(filled{s.fresh, loaded}), Eject: cfg.Tuner.Eject, HoldUnloaded: true,
		TestTimeout: time.Duration(n.TestTimeout), ConfirmTimeout: time.Duration(n.ConfirmTimeout), Logger: log,
		Budget: &nginx.Budget{
			Burst: a.Burst, Every: time.Duration(a.Every), Interval: time.Duration(a.Interval), MaxGenerations: a.MaxGenerations,
			MaxDraining: a.MaxDraining, MaxMemoryBytes: int64(a.MaxMemoryMiB) << 20,
		},
	}
	if a.Kind == "live" {
		if s.live, err = live.New(live.Config{Address: a.Address, TokenFile: a.TokenFile, Timeout: time.Duration(cfg.Status.Timeout)}); err != nil {
			return nil, err
		}
	}
	if a.Kind == "dns" {
		if s.dns, err = newDNSSession(cfg, s.applier.Status, log); err != nil {
			return nil, err
		}
	}
	return s, s.decideBy(cfg)
}

func (s *session) decideBy(cfg *daemonConfig) (err error) {
	t := cfg.tunerConfig()
	switch cfg.Tuner.Learner {
	case "grid":
		s.policy, err = tuner.NewGrid(tuner.GridConfig{Groups: t.Groups, ErrorTardiness: t.ErrorTardiness, Regimes: t.Regimes, Seed: t.Seed,
			LearningRate: t.LearningRate, Gamma: t.Gamma})
	case "l3":
		s.policy, err = tuner.NewL3(tuner.L3Config{})
	case "equal":
		s.policy = tuner.NewEqual()
	default:
		s.tuned, err = tuner.New(t)
		s.policy = s.tuned
	}
	return err
}

func (s *session) close() {
	s.client.Close()
	s.fresh.Close()
}

// names are the upstreams that are tuned.
func (s *session) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.tunable))
}

// leftOut are the upstreams that are not tuned, and why.
func (s *session) leftOut() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.excluded
}

// look reads NGINX's configuration to know which upstreams may be tuned.
func (s *session) look() {
	if s.cfg.Nginx.Config == "" {
		s.lookElsewhere()
		return
	}
	cfg, err := nginx.ReadConfig(s.cfg.Nginx.Config)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unread = ""
	if err != nil {
		s.unread = err.Error()
		return
	}
	s.tunable, s.excluded = map[string]bool{}, nil
	wanted := map[string]bool{}
	for _, name := range s.cfg.Nginx.Upstreams {
		wanted[name] = true
	}
	for _, u := range cfg.Upstreams {
		if len(wanted) > 0 && !wanted[u.Name] {
			continue
		}
		if !s.cfg.tunes(u.Name) {
			s.excluded = append(s.excluded, fmt.Sprintf("upstream %q: tune = false", u.Name))
			delete(wanted, u.Name)
			continue
		}
		if err := cfg.Editable(u.Name); err != nil {
			s.excluded = append(s.excluded, err.Error())
			continue
		}
		if s.dns != nil {
			if why := s.dns.leftOut(u); why != "" {
				s.excluded = append(s.excluded, why)
				continue
			}
		}
		s.tunable[u.Name] = true
		delete(wanted, u.Name)
	}
	for name := range wanted {
		s.excluded = append(s.excluded, fmt.Sprintf("upstream %q: not in %s", name, s.cfg.Nginx.Config))
	}
}

// lookElsewhere finds the upstreams without a configuration of NGINX that could be read: those that NGINX is told by DNS, or,
// where weights are set live, all that it then says can be set.
func (s *session) lookElsewhere() {
	tunable := map[string]bool{}
	unread := ""
	if s.dns != nil {
		st, err := s.dns.State()
		if err != nil {
			unread = err.Error()
		} else {
			for name := range st.Upstreams {
				tunable[name] = s.cfg.tunes(name)
			}
		}
	} else if s.live != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if state, err := s.live.State(ctx); err != nil {
			unread = err.Error()
		} else {
			for name, g := range state.Upstreams {
				tunable[name] = g.Live && s.cfg.tunes(name)
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unread, s.tunable, s.excluded = unread, tunable, nil
	for name := range tunable {
		if wanted := s.cfg.Nginx.Upstreams; len(wanted) > 0 && !slices.Contains(wanted, name) {
			delete(tunable, name)
		}
	}
}

// orNil is nil for an empty list.
func orNil(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return list
}

// Sample implements tuner.Source: what happened since the last step, of the upstreams that are tuned.
func (s *session) Sample(ctx context.Context) (vts.Sample, error) {
	sample, err := s.reader.Sample(ctx)
	// A page of before the last change shows the weights of before: they would be taken for somebody's edit after the next one.
	for c := s.change; err == nil && c != nil && c.shows(&sample) && time.Since(c.at) < time.Duration(s.cfg.Status.StaleAfter); {
		sample, err = s.reader.Sample(ctx)
	}
	if err != nil {
		return sample, err
	}
	s.change, s.generation = nil, sample.Generation
	if err := s.overlays(ctx, &sample); err != nil {
		return sample, err
	}
	ordered, err := s.see(&sample, time.Now())
	if err != nil {
		return sample, err
	}
	s.mu.Lock()
	tunable := s.tunable
	s.mu.Unlock()
	groups := make([]vts.GroupSample, 0, len(sample.Groups))
	for _, g := range sample.Groups {
		if tunable[g.Name] && !ordered[g.Name] {
			groups = append(groups, g)
		}
	}
	sample.Groups = groups
	s.mu.Lock()
	s.last = &sample
	s.mu.Unlock()
	if len(groups) == 0 && len(ordered) == 0 {
		return sample, errors.New("the status page shows none of the upstreams that may be tuned")
	}
	return sample, nil
}

// overlays puts in the weights in force where a page may not show them.
func (s *session) overlays(ctx context.Context, sample *vts.Sample) error {
	if s.dns != nil {
		return s.dns.overlay(sample)
	}
	if s.live != nil {
		return s.overlay(ctx, sample)
	}
	return nil
}

// overlay puts in the weights set live: a status page that is not the shim's shows those of the file.
func (s *session) overlay(ctx context.Context, sample *vts.Sample) error {
	state, err := s.live.State(ctx)
	if err != nil {
		return err
	}
	kept := sample.Groups[:0]
	for _, g := range sample.Groups {
		now := state.Upstreams[g.Name]
		if !now.Live {
			continue // its weights cannot be set live
		}
		peers := append([]vts.PeerSample(nil), g.Peers...)
		for i := range peers {
			for _, o := range now.Servers {
				if o.Server == peers[i].Server {
					peers[i].Weight, peers[i].Down = o.Weight, o.Down
				}
			}
		}
		g.Peers = peers
		kept = append(kept, g)
	}
	sample.Groups = kept
	return nil
}

// shows reports whether the sample may show what was in force before the change.
func (c *pageAfter) shows(sample *vts.Sample) bool {
	return sample.At.Before(c.at) || c.reloaded && sample.Generation == c.before
}

// Apply implements tuner.Actuator. A change of weights that somebody else has made since the last sample is not overwritten.
func (s *session) Apply(ctx context.Context, w tuner.Weights) (tuner.Receipt, error) {
	return s.put(ctx, w, s.shown(w))
}

// shown are the settings of the groups of w that the last sample showed.
func (s *session) shown(w tuner.Weights) nginx.Settings {
	from := nginx.Settings{}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		return from
	}
	for _, g := range s.last.Groups {
		if w[g.Name] == nil {
			continue
		}
		from[g.Name] = map[string]nginx.Setting{}
		for _, p := range g.Peers {
			from[g.Name][p.Server] = nginx.Setting{Weight: p.Weight, Down: p.Down}
		}
	}
	return from
}

// put makes weights effective; from is what they were decided from, nil: whatever is in force.
func (s *session) put(ctx context.Context, w tuner.Weights, from nginx.Settings) (tuner.Receipt, error) {
	if s.live != nil { // Sample asks NGINX itself what is in force
		// A call that is under way at SIGTERM is finished (it has a timeout of its own): cut short, nobody would know whether the
		// weights are in force, and whose to restore.
		r, err := s.live.Apply(context.WithoutCancel(ctx), nginxSettings(w))
		return tuner.Receipt{Changed: r.Changed, At: r.Confirmed, Took: r.Took}, withCode(applyCode(err), err)
	}
	if s.dns != nil {
		r, err := s.dns.put(ctx, w, from)
		if err == nil {
			s.change = &pageAfter{at: time.Now()}
			if r.Changed {
				// What happened while NGINX had not yet asked belongs to neither the weights of before nor the new ones.
				_, _ = s.reader.Sample(ctx)
			}
		}
		return r, err
	}
	r, err := fileActuator{applier: s.applier, from: from}.Apply(ctx, w)
	if err == nil {
		s.change = &pageAfter{at: time.Now(), reloaded: r.Reloaded, before: s.generation}
	}
	return r, err
}

// plan is what Apply would write, as a diff.
func (s *session) plan(w tuner.Weights) (string, error) {
	if s.dns != nil {
		return s.dns.plan(w)
	}
	cfg, err := nginx.ReadConfig(s.cfg.Nginx.Config)
	if err != nil {
		return "", withCode(exitConfig, err)
	}
	plan, err := cfg.Plan(nginxSettings(w), nginx.PlanOptions{Eject: s.cfg.Tuner.Eject})
	if err != nil {
		return "", withCode(exitRefused, err)
	}
	return plan.Diff(), nil
}

// reloadBudget is the kind of hold that passes by itself within moments of a change.
const reloadBudget = "reload budget"

// obstacle says why no change may be made now, as far as NGINX is concerned; empty when nothing stands in the way.
func (s *session) obstacle(ctx context.Context, dry bool) string {
	s.mu.Lock()
	unread := s.unread
	s.mu.Unlock()
	if unread != "" {
		return "configuration: " + unread
	}
	if s.live != nil {
		return ""
	}
	if s.dns != nil {
		return s.dns.obstacle()
	}
	if b, err := s.applier.Breaker(); err == nil && b.Open(time.Now()) {
		return "circuit breaker: " + b.String()
	}
	if wait := s.applier.Budget.Held(time.Now()); wait != "" {
		return reloadBudget + ": " + wait
	}
	cfg, err := nginx.ReadConfig(s.cfg.Nginx.Config)
	if err != nil {
		return "configuration: " + err.Error()
	}
	if err := s.writable(cfg); err != nil && !dry {
		return "read-only: " + err.Error()
	}
	if s.applier.ReloadCommand != nil {
		return "" // its processes are not to be seen from here
	}
	pid, err := s.applier.Master(ctx, cfg)
	if err != nil {
		return "master: " + err.Error()
	}
	l, err := nginx.ReadLoad(pid)
	if err != nil {
		return "master: " + err.Error()
	}
	s.mu.Lock()
	s.lastLoad = l
	s.mu.Unlock()
	if most := s.cfg.Actuator.MaxGenerations; most > 0 && l.Generations > most {
		return fmt.Sprintf("draining: %d generations of old workers live, at most %d may", l.Generations, most)
	}
	return ""
}

// writable reports whether the journal can be written and the files that hold tunable upstreams replaced: better to say so
// than to try again and again.
func (s *session) writable(cfg *nginx.Config) error {
	dirs := []string{s.cfg.StateDir}
	for _, u := range cfg.Upstreams {
		if dir := filepath.Dir(u.File.Real); s.tunes(u.Name) && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, dir := range dirs {
		if err := unix.Access(dir, unix.W_OK); err != nil {
			if dir != s.cfg.StateDir {
				return fmt.Errorf("%s: %w: weights can change without writing there by kind = \"dns\" (NGINX 1.27.3) or \"live\"", dir, err)
			}
			return fmt.Errorf("%s: %w", dir, err)
		}
	}
	return nil
}

func (s *session) tunes(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tunable[name]
}
