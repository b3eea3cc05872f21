package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"trimtab/control"
	"trimtab/fleet/bus"
	"trimtab/helper"
	"trimtab/hosts"
	"trimtab/nginx"
	"trimtab/nginx/live"
	"trimtab/nginx/reload"
	"trimtab/vts"
	"trimtab/weights"
)

// session is what one configuration of the daemon needs: where telemetry comes from, who decides, how weights get into
// NGINX. A new configuration makes a new session.
type Session struct {
	cfg    *Config
	log    *slog.Logger
	client *vts.Client // of the poller
	fresh  *vts.Client // opens a connection for every request
	poller *vts.Poller
	reader *vts.Reader
	root   root
	own    *helper.Root // the root, where this process has the rights itself; nil: it asks another one
	status nginx.StatusFunc
	origin nginx.OriginFunc // nil: whose the status page is cannot be seen
	hand   hand             // how weights get into NGINX
	policy control.Policy
	prober *prober // nil: no server is ever taken out for failing

	hosts     *hosts.Hosts // nil: none
	admission *admission   // nil: none
	scaler    scaler       // nil: none
	asked     bool         // the scaler has said what servers have
	link      *bus.Link    // to the fleet; nil: there is none

	cancel func() // ends what runs in the background
	tried  bool   // nginx -t has been tried, see service.tryOut

	mu      sync.Mutex
	tunable map[string]bool   // upstreams that may be tuned; nil: not read yet
	methods map[string]string // balancing methods of NGINX's configuration, see methodsOf; nil: not read yet
	// number of servers of upstreams some of whose servers are written by name, where that matters
	named    map[string]int
	unread   string            // why the configuration of NGINX cannot be read
	excluded []string          // upstreams left alone, and why
	unfit    map[string]string // upstreams left alone because of what the page shows, and why
	lastLoad nginx.Load
	last     *vts.Sample // of the last step
	whole    *vts.Sample // the same with the upstreams that are not tuned

	orders ordered
	alone  map[string]bool // upstreams that on_render = "hold" has taken out
	dry    bool

	generation int64 // of NGINX's configuration in the last sample

	change *pageAfter // what the page must show before it is used; nil: anything
}

// pageAfter is a change of weights that the next sample must be later than.
type pageAfter struct {
	at       time.Time
	reloaded bool
	before   int64 // generation
}

// newSession returns a session; asked, if not nil, does what needs root.
func newSession(cfg *Config, log *slog.Logger, asked *helper.Client) (*Session, error) {
	s := &Session{cfg: cfg, log: log, prober: newProber(cfg)}
	var err error
	if s.client, err = cfg.statusClient(false); err != nil {
		return nil, err
	}
	if s.fresh, err = cfg.statusClient(true); err != nil {
		return nil, err
	}
	if asked != nil {
		s.root = asked
	} else {
		s.own = newRoot(cfg, log)
		s.root = s.own
	}
	s.status = reload.StatusOf(reload.Filled{StatusSource: s.fresh, Loaded: loadedBy{s.root}})
	if !cfg.Status.Proxied {
		s.origin = s.fresh.Origin
	}
	if s.own != nil {
		s.own.Applier.Status, s.own.Applier.Origin = s.status, s.origin
	}
	s.poller, err = vts.NewPoller(reload.Filled{StatusSource: s.client, Loaded: loadedBy{s.root}}, vts.PollerConfig{
		Interval: time.Duration(cfg.Status.Poll), StaleAfter: time.Duration(cfg.Status.StaleAfter), Logger: log,
	})
	if err != nil {
		return nil, err
	}
	s.reader = s.poller.Reader()
	s.hand = fileHand{s}
	switch a := cfg.Actuator; a.Kind {
	case "live":
		call := live.Config{Address: a.Address, TokenFile: a.TokenFile, Timeout: time.Duration(cfg.Status.Timeout),
			Token: func() ([]byte, error) { return cfg.file(tokenFile) }}
		if !a.Unseen {
			call.Prove = s.root.Answers
		}
		setter, err := live.New(call)
		if err != nil {
			return nil, err
		}
		s.hand = liveHand{Session: s, setter: setter}
	case "dns":
		if s.hand, err = newDNSHand(s, log); err != nil {
			return nil, err
		}
	}
	if s.hosts, err = newHosts(cfg, log); err != nil {
		return nil, err
	}
	if s.admission, err = newAdmission(s); err != nil {
		return nil, err
	}
	if s.link, err = newLink(cfg, log); err != nil {
		return nil, err
	}
	s.scaler, err = newScaler(s, log)
	return s, err
}

// orNil is nil for an empty list.
func orNil(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return list
}

// reloads reports whether weights change by files and reloads.
func (s *Session) reloads() bool { _, ok := s.hand.(fileHand); return ok }

func (s *Session) close() {
	s.client.Close()
	s.fresh.Close()
}

// names are the upstreams that are tuned.
func (s *Session) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.tunable))
}

// leftOut are the upstreams that are not tuned, and why.
func (s *Session) leftOut() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Clone(s.excluded)
	for _, name := range slices.Sorted(maps.Keys(s.unfit)) {
		out = append(out, s.unfit[name])
	}
	return out
}

// look reads NGINX's configuration to know which upstreams may be tuned.
func (s *Session) look() {
	if s.cfg.Nginx.Config == "" {
		s.lookElsewhere(context.Background())
		return
	}
	seen, err := s.root.Look(context.Background())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unread = ""
	if err != nil {
		s.unread = err.Error()
		return
	}
	methods, named := map[string]string{}, map[string]int{}
	for i := range seen.Upstreams {
		u := &seen.Upstreams[i]
		methods[u.Name] = u.Method
		if s.reloads() && u.ByName {
			named[u.Name] = len(u.Servers)
		}
	}
	s.tunable, s.excluded, s.methods, s.named = map[string]bool{}, nil, loadAware(methods), named
	wanted := map[string]bool{}
	for _, name := range s.cfg.Nginx.Upstreams {
		wanted[name] = true
	}
	for i := range seen.Upstreams {
		u := &seen.Upstreams[i]
		if len(wanted) > 0 && !wanted[u.Name] {
			continue
		}
		if !s.cfg.tunes(u.Name) {
			s.excluded = append(s.excluded, fmt.Sprintf("upstream %q: tune = false", u.Name))
			delete(wanted, u.Name)
			continue
		}
		if why := s.hand.mayTune(u); why != "" {
			s.excluded = append(s.excluded, why)
			continue
		}
		s.tunable[u.Name] = true
		delete(wanted, u.Name)
	}
	for name := range wanted {
		s.excluded = append(s.excluded, fmt.Sprintf("upstream %q: not in %s", name, s.cfg.Nginx.Config))
	}
}

// lookElsewhere finds the upstreams without a configuration of NGINX that could be read: all that can be set now.
func (s *Session) lookElsewhere(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	standing, err := s.hand.standing(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.tunable
	s.unread = ""
	if err != nil {
		s.unread = err.Error()
		if before == nil {
			s.tunable = map[string]bool{}
		}
		return
	}
	s.tunable, s.excluded = map[string]bool{}, nil
	for _, name := range slices.Sorted(maps.Keys(standing)) {
		switch wanted := s.cfg.Nginx.Upstreams; {
		case len(wanted) > 0 && !slices.Contains(wanted, name):
		case !s.cfg.tunes(name):
			s.excluded = append(s.excluded, fmt.Sprintf("upstream %q: tune = false", name))
		default:
			s.tunable[name] = true
		}
	}
	if before != nil && !maps.Equal(before, s.tunable) {
		s.log.Info("the upstreams that can be set have changed", "upstreams", slices.Sorted(maps.Keys(s.tunable)),
			"left_out", s.excluded)
	}
}

// Sample implements control.Source: what happened since the last step, of the upstreams that are tuned.
func (s *Session) Sample(ctx context.Context) (vts.Sample, error) {
	sample, err := s.reader.Fresh(ctx)
	// A page of before the last change shows the weights of before: they would be taken for somebody's edit after the
	// next one.
	for c := s.change; err == nil && c != nil && c.shows(&sample) &&
		time.Since(c.at) < time.Duration(s.cfg.Status.StaleAfter); {
		sample, err = s.reader.Sample(ctx)
	}
	if err != nil {
		return sample, err
	}
	s.change, s.generation = nil, sample.Generation
	// No file tells of a change: upstreams get their servers after the start, or are set up later.
	if s.cfg.Nginx.Config == "" {
		s.lookElsewhere(ctx)
	}
	sample.Groups, sample.Hosts = slices.Clone(sample.Groups), HostSamples(s.hosts, time.Now())
	if err := s.hand.overlay(ctx, &sample); err != nil {
		return sample, err
	}
	if s.admission != nil {
		if err := s.admission.see(ctx, &sample); err != nil {
			return sample, fmt.Errorf("admission: %w", err)
		}
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
		if tunable[g.Name] && !ordered[g.Name] && s.fits(g) {
			groups = append(groups, primary(g))
		}
	}
	whole := sample
	sample.Groups = groups
	s.mu.Lock()
	s.last, s.whole = &sample, &whole
	s.mu.Unlock()
	if len(groups) == 0 && len(ordered) == 0 {
		return sample, errors.New("the status page shows none of the upstreams that may be tuned")
	}
	return sample, nil
}

// primary is a group without its backup servers: NGINX gives them nothing as long as one of the others lives, whatever
// their weights, so that a share that is planned for them goes to the others.
func primary(g vts.GroupSample) vts.GroupSample {
	isBackup := func(p vts.PeerSample) bool { return p.Backup }
	if slices.ContainsFunc(g.Peers, isBackup) {
		g.Peers = slices.DeleteFunc(slices.Clone(g.Peers), isBackup)
	}
	return g
}

// shows reports whether the sample may show what was in force before the change.
func (c *pageAfter) shows(sample *vts.Sample) bool {
	return sample.At.Before(c.at) || c.reloaded && sample.Generation == c.before
}

// lastSample is that of the step that is under way, or has just ended; nil: there was no telemetry.
func (s *Session) lastSample() *vts.Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// Apply implements control.Actuator. A change of weights that somebody else has made since the last sample is not
// overwritten.
func (s *Session) Apply(ctx context.Context, w weights.Set) (control.Receipt, error) {
	return s.hand.put(ctx, w, s.shown(w))
}

// shown are the settings of the groups of w that the last sample showed.
func (s *Session) shown(w weights.Set) nginx.Settings {
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

// InForce implements control.Actuator.
func (s *Session) InForce(ctx context.Context) (weights.Set, error) { return s.hand.InForce(ctx) }

// diff is what a change in NGINX's configuration would write.
func (s *Session) diff(w weights.Set) (string, error) {
	cfg, err := nginx.ReadConfig(s.cfg.Nginx.Config)
	if err != nil {
		return "", &ConfigError{err}
	}
	plan, err := cfg.Plan(nginx.SettingsOf(w), nginx.PlanOptions{Eject: s.cfg.ejects()})
	if err != nil {
		return "", err
	}
	return plan.Diff(), nil
}

// obstacle says why no change may be made now, as far as NGINX is concerned; empty when nothing stands in the way.
func (s *Session) obstacle(standing helper.Standing) string {
	s.mu.Lock()
	unread := s.unread
	if standing.Load != (nginx.Load{}) {
		s.lastLoad = standing.Load
	}
	s.mu.Unlock()
	if unread != "" {
		return "configuration: " + unread
	}
	if standing.Held != "" {
		return standing.Held
	}
	return s.hand.obstacle()
}
