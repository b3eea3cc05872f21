package tuner

import (
	"fmt"
	"maps"
	"math"
	"strings"
	"time"

	"trimtab/objective"
	"trimtab/tuner/load"
	"trimtab/vts"
	"trimtab/weights"
)

// Tuner is the policy that Trimtab exists for. It is used by one goroutine.
type Tuner struct {
	cfg      Config
	waits    *waits
	tardy    *objective.Table
	topo     topology
	budget   budget
	regimes  *load.Regimes
	regime   RegimeExplanation
	interval time.Duration
	memories map[string]*poolMemory // by pool
	want     Weights                // what was decided, and what was in force then
	was      Weights
	told     string    // why to hold, from outside
	seen     time.Time // when the last sample was taken
	last     Explanation
	turn     int       // counts decisions
	next     int       // whose turn it is
	work     int       // of the fits of the last step
	restored *Snapshot // taken over at the first sample
}

// New returns a tuner.
func New(cfg Config) (*Tuner, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure tuner: %w", err)
	}
	cfg = cfg.withDefaults()
	r, err := load.NewRegimes(cfg.Regimes, cfg.Seed)
	if err != nil {
		return nil, fmt.Errorf("configure tuner: %w", err)
	}
	return &Tuner{cfg: cfg, waits: newWaits(), tardy: objective.NewTable(), regimes: r, memories: make(map[string]*poolMemory),
		budget: budget{burst: cfg.Burst, window: cfg.BurstWindow, perMinute: cfg.PerMinute, unlimited: cfg.Unlimited}}, nil
}

// Hold makes the tuner observe and learn without changing anything for as long as the reason is not empty.
func (t *Tuner) Hold(reason string) { t.told = reason }

// Explain says what was decided last and why.
func (t *Tuner) Explain() Explanation { return t.last }

// Observe learns from an interval without deciding anything. Until the first decision the burst of the budget has not
// begun.
func (t *Tuner) Observe(o Observation) {
	told, budget := t.told, t.budget
	t.told = "only observing"
	t.Decide(o)
	t.told = told
	if len(budget.spent) == 0 {
		t.budget = budget
	}
}

// Decide implements Policy.
func (t *Tuner) Decide(o Observation) Decision {
	s := &o.Sample
	e := Explanation{At: s.At}
	if s.Interval <= 0 || len(s.Groups) == 0 {
		e.Reason = "hold: the sample covers no time or no group (" + string(BoundStale) + ")"
		e.Budget = t.budget.left()
		t.last = e
		return Decision{Reason: e.Reason}
	}
	t.interval = s.Interval
	t.budget.advance(s.Interval)
	if !t.topo.fits(s) {
		t.topo.rebuild(s, &t.cfg, t.waits, t.tardy)
		t.adopt()
	}
	t.regime = t.regimes.Track(s)
	e.Regime = t.regime
	t.turn++
	t.blind(s)
	t.observe(o)
	operator := t.operator(o.Current)
	w := make(Weights)
	var reasons []string
	for _, p := range t.topo.pools {
		p.since += s.Interval
		p.confirm(o.Current, operator)
		p.follow(s.Interval)
		before := p.force
		scratch := make(Weights)
		var pe PoolExplanation
		switch {
		case operator:
			p.force = force{active: Base}
			pe = (&PoolExplanation{Groups: p.names(), InForce: Base.String()}).hold("somebody else changed the weights: theirs are the new base", BoundOperator)
		case !p.due:
			pe = PoolExplanation{Groups: p.names(), InForce: p.active.String(), Chosen: "hold", Reason: "hold: not this pool's turn"}
		default:
			pe = t.decide(p, scratch)
		}
		switch {
		case len(scratch) == 0:
		case t.told != "": // it will not be applied
			p.force = before
		default:
			p.order = order{asked: scratch, without: before}
		}
		for name, m := range scratch {
			w[name] = m
		}
		e.Pools = append(e.Pools, pe)
		if len(reasons) < 4 {
			reasons = append(reasons, pe.Reason)
		}
	}
	e.Reason = strings.Join(reasons, "; ")
	if t.told != "" && len(w) > 0 {
		e.Reason = "hold: " + t.told + " (would have: " + e.Reason + ")"
		for i := range e.Pools {
			e.Pools[i].Bounds = append(e.Pools[i].Bounds, BoundHold)
		}
		clear(w)
	}
	if len(w) > 0 {
		t.budget.spend()
		t.want, t.was = w.Clone(), o.Current.Clone()
		e.Changed = true
	}
	e.Budget = t.budget.left()
	t.last = e
	return Decision{Weights: w, Reason: e.Reason}
}

// operator reports whether the weights in force are neither what was decided nor what was in force before: somebody
// else set them.
func (t *Tuner) operator(current Weights) bool {
	if t.was == nil {
		t.was = current.Clone()
		return false
	}
	same := len(current) == len(t.was)
	for name, now := range current {
		was, known := t.was[name]
		if known && sameGroup(now, was) {
			continue
		}
		same = false
		if !known || !sameServers(was, now) {
			continue // servers came or went: the weights of the others are judged when it has settled
		}
		if want, decided := t.want[name]; !decided || !sameGroup(now, want) {
			t.want, t.was = nil, current.Clone()
			return true
		}
	}
	if !same {
		t.was = current.Clone()
	}
	for name, want := range t.want {
		if !sameGroup(want, current[name]) {
			// Not (yet) in force: what was before may come or stay.
			continue
		}
		delete(t.want, name)
	}
	return false
}

func sameServers(a, b map[string]Setting) bool {
	return maps.EqualFunc(a, b, func(Setting, Setting) bool { return true })
}

// memory is what was learned of a pool in the present regime, under the present model of regimes.
func (t *Tuner) memory(p *pool) *regimeMemory {
	key := fmt.Sprintf("%d/%s", t.regimes.Epoch(), p.key)
	m := t.memories[key]
	if m == nil {
		m = &poolMemory{}
		if old := t.memories[fmt.Sprintf("%d/%s", t.regimes.Epoch()-1, p.key)]; old != nil {
			m.last = old.last
		}
		t.memories[key] = m
	}
	return m.at(t.regime.Index)
}

// observe brings groups and stations up to date.
func (t *Tuner) observe(o Observation) {
	seconds := o.Sample.Interval.Seconds()
	for i := range o.Sample.Groups {
		gs := &o.Sample.Groups[i]
		g := t.topo.groups[gs.Name]
		for j, l := range g.links {
			setting, ok := o.Current[g.name][l.station.address]
			if !ok {
				setting = Setting{Weight: weightFrom(gs.Peers[j].Weight), Down: gs.Peers[j].Down}
			}
			l.weight, l.down = setting.Weight.Int(), setting.Down
		}
		g.observe(*gs, o.Sample.Interval)
	}
	var doubted []*station
	for _, p := range t.topo.pools {
		for _, st := range p.stations {
			st.quiet = min(p.sudden, p.since)
			if st.take(t.waits, seconds, p.changes) {
				doubted = append(doubted, st)
			}
		}
	}
	t.work = t.replace(doubted)
	t.takeTurns()
	for _, p := range t.topo.pools {
		if !p.due {
			continue
		}
		rounds := 1
		if t.budget.elapsed < 5*t.cfg.Interval && t.topo.links <= stepWork {
			rounds = 3 // the first expectations come from the first fits
		}
		for range rounds {
			t.work += p.refit(t.waits, fitBudget-t.work)
		}
		for _, st := range p.stations {
			st.wait, _ = st.queueing(t.waits, st.arrivals(), st.regularity())
		}
		for _, g := range p.groups {
			g.moments(o.Sample)
		}
	}
}

func weightFrom(n int) Weight {
	w, err := weights.New(min(max(n, MinWeight), MaxWeight))
	if err != nil {
		panic("tuner: " + err.Error())
	}
	return w
}

// take lets a station account for an interval and learn from it. It is true, and nothing was learned, when the interval
// speaks so much against what is known that the memory has to be replaced.
func (s *station) take(w *waits, seconds float64, epoch int) bool {
	for _, l := range s.links {
		if l.missing || l.out { // it answers nothing: nothing is known of its speed
			s.full, s.backlog, s.draining = false, 0, false
			return false
		}
	}
	was, draining, before := s.full, s.draining, s.mean
	s.account(seconds)
	falling := draining && s.mean < stillFalls*before
	s.draining = s.full || falling
	o := &s.now
	if n := len(s.links); len(o.rate) != n {
		v := make([]float64, 4*n)
		o.rate, o.done, o.latency, o.count = v[:n], v[n:2*n], v[2*n:3*n], v[3*n:]
	}
	o.full, o.skip, o.epoch, o.arrivals, o.seconds = s.full, (was || falling) && !s.full, epoch, s.regularity(), seconds
	total := 0.0
	for i, l := range s.links {
		o.rate[i], o.done[i], o.latency[i], o.count[i] = l.arrive, l.done, l.latency, l.count
		total += l.count
	}
	if total == 0 {
		return false
	}
	if s.doubts(w) {
		return true
	}
	s.learn(s.now)
	return false
}

// typicalService is the mean log service time over the group's servers, each by how well it is known: by its requests
// and by how little of their time was waiting. 0 before any fit.
func (g *group) typicalService() float64 {
	sum, n := 0.0, 0.0
	for _, l := range g.links {
		if len(l.station.likely) == 0 {
			continue
		}
		k := l.station.knownBy(l.pos)
		sum += k * math.Log(l.station.serviceOf(l.pos))
		n += k
	}
	if n == 0 {
		return 0
	}
	return math.Exp(sum / n)
}

// knownBy is how well the service time of a class is known: requests, as far as they did not wait.
func (s *station) knownBy(pos int) float64 {
	k := 0.1
	service := s.serviceOf(pos)
	for i := range s.points {
		p := &s.points[i]
		if n := p.count[pos]; n > 0 {
			alone := service / math.Exp(p.latency[pos])
			k += math.Min(n, 1000) * alone * alone
		}
	}
	return k
}

// moments learns the spread of service times and the deadline from servers that are not saturated.
func (g *group) moments(s vts.Sample) {
	var gs *vts.GroupSample
	for i := range s.Groups {
		if s.Groups[i].Name == g.name {
			gs = &s.Groups[i]
		}
	}
	var own moments
	g.learned.Decay(0.95)
	for i, l := range g.links {
		n, sum, square, ok := objective.MomentsOf(gs.Peers[i])
		if !ok || l.station.full || l.count == 0 || len(l.station.likely) == 0 {
			continue
		}
		if want := l.station.predicted(&l.station.wait, l.pos); want < 1.3*l.station.serviceOf(l.pos) {
			mean := sum / n
			own.Add(n, n, n*square/sum/mean) // in units of the link's own mean
		}
		g.learned.Add(n, sum, square)
	}
	if own.N > 0 {
		k := own.N / (own.N + 300)
		g.cv2 += k * (math.Min(math.Max(own.Variance(), 0.02), 4) - g.cv2)
	}
	if !g.given && g.learned.N > 100 && g.deadline == 0 {
		g.deadline = objective.DeadlineOf(g.learned, g.priority).Seconds()
	}
}
