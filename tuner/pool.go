package tuner

import (
	"math"
	"slices"
	"strings"

	"trimtab/objective"
	"trimtab/tuner/estimate"
	"trimtab/tuner/gate"
	"trimtab/tuner/load"
	"trimtab/tuner/params"
	"trimtab/tuner/plan"
	"trimtab/vts"
	"trimtab/weights"
)

// pool is a set of groups that share servers, decided as a whole.
type pool struct {
	groups  []*group
	servers []*server
	gate    gate.State
	last    proposal // of the last interval

	experience experience

	advice *Advice // of the last look
	lookAt float64 // s of control time: when the next is due
	seen   looks

	typical  []float64 // service time that is typical of each group, s
	quietSec float64   // since load, servers or weights were last seen to change
	quiet    []float64 // mean rate of each group since, per s
	outlook  outlook
	beliefs  []estimate.Belief // when it was planned last, with what servers held and failed since
	turn     turn
	shares   plan.Shares // of the weights in force
	bounds   []float64   // of the histograms of the last sample, ms
}

// server is one server of the proxy, whatever groups use it.
type server struct {
	address string
	pool    *pool
	groups  []*group // its classes, in the order of the estimate's
	known   *estimate.Server
}

// group is one upstream group.
type group struct {
	name     string
	at       int // in a sample
	method   Method
	given    bool // the deadline is the operator's
	deadline float64
	priority float64
	bounds   weights.GroupLimits
	scv      float64 // of service times
	learned  objective.Moments
	rate     load.Rate
	links    []*link
	asked    []float64 // requests per second that ended at each link in the last interval,
	sent     []float64 // and the share of all that each was sent
	measured objective.Measured
	ledger   ledger
}

// link is one server of one group.
type link struct {
	server  *server
	index   int // of the server in the pool
	class   int // of the group among the server's
	setting weights.Setting
	part    float64 // of the requests that ended in the last interval
	ended   float64 // requests that its failures were last learned from
	linkState
}

// linkState is what is kept of a link when servers come or go, and in files.
type linkState struct {
	Passed  bool      `json:"passed_over"` // NGINX passes over it
	Hangs   bool      `json:"hangs"`       // it is sent its share and nothing ends there
	Awaited float64   `json:"awaited"`     // requests that it should have been sent since it answered one,
	Tried   float64   `json:"tried"`       // and those that it failed
	Tally   vts.Tally `json:"tally"`       // of late
	Suspect vts.Tally `json:"suspect"`     // its requests since the first 4xx that is not known yet to be its own
	Fail    float64   `json:"fail"`        // probability that a request fails which its peers do not fail too
	tail
	Useless bool          `json:"useless,omitempty"` // it fails so many requests that it is left next to nothing
	Eject   gate.Ejection `json:"ejection"`          // it is marked down
	Shun    gate.Ejection `json:"shunned"`           // it is left next to nothing
}

func (l *link) group() *group { return l.server.groups[l.class] }

func (l *link) off() bool { return l.setting.Down || l.Passed }

func (p *pool) names() []string { return names(p.groups) }

func names(groups []*group) []string {
	out := make([]string, len(groups))
	for i, g := range groups {
		out[i] = g.name
	}
	return out
}

func (p *pool) key() string { return strings.Join(p.names(), "\n") }

const (
	scvLeast  = 0.02
	scvMost   = 8   // beyond it are time-outs, not service
	knownMean = 100 // requests of which a mean is known
)

// observe learns an interval: what arrives, what servers are.
func (p *pool) observe(t *Tuner, s *vts.Sample, seconds float64) {
	readings := byClass[estimate.Reading](p)
	for _, g := range p.groups {
		g.observe(t, &s.Groups[g.at], seconds, readings)
	}
	p.hint(readings)
	p.shares = p.inForce(nil)
	sent := byClass[float64](p) // shares that the weights in force give
	for g, grp := range p.groups {
		for i, l := range grp.links {
			sent[l.index][l.class] = p.shares[g][i]
		}
	}
	doubted := gate.Doubted(t.params, p.quietSec)
	for j, sv := range p.servers {
		share, rate, square, aware := 0.0, 0.0, 0.0, false
		for k, g := range sv.groups {
			r := readings[j][k].DonePerSec
			rate += r
			square += r * g.scv
			share += r * sent[j][k]
			aware = aware || g.method.LoadAware()
		}
		method := RoundRobin
		if aware {
			method = LeastConn
		}
		if rate > 0 {
			share, square = share/rate, square/rate
		}
		sv.known.Observe(t.params, seconds, doubted, plan.FlowTo(method, share, square), readings[j])
	}
	for _, g := range p.groups {
		g.arrive(t.params, seconds)
	}
	p.listen(t.params, seconds)
}

// byClass is room for something of each class of every server.
func byClass[T any](p *pool) [][]T {
	out := make([][]T, len(p.servers))
	for j, sv := range p.servers {
		out[j] = make([]T, len(sv.groups))
	}
	return out
}

// listen counts the time without news: a server that changed, or a rate that has moved away from its mean since the
// last news by more than chance.
func (p *pool) listen(par *params.Params, seconds float64) {
	news := len(p.quiet) != len(p.groups) || slices.ContainsFunc(p.servers,
		func(sv *server) bool { return sv.known.Changed() })
	for g := 0; !news && g < len(p.groups); g++ {
		news = apart(par, p.quiet[g], p.groups[g].rate.PerSec())
	}
	if p.quietSec += seconds; news {
		p.turn.news = true
		p.quietSec, p.quiet = 0, make([]float64, len(p.groups))
	}
	for g, grp := range p.groups {
		p.quiet[g] += seconds / max(p.quietSec, seconds) * (grp.rate.PerSec() - p.quiet[g])
	}
}

// apart reports whether a rate of requests per second is news where another one was: by what is worth a change, and by
// more than chance.
func apart(par *params.Params, was, rate float64) bool {
	chance := par.RateSurprise * math.Sqrt((rate+was)/par.HorizonSec)
	return math.Abs(rate-was) > math.Max(par.LoadNews*was, chance)
}

func (p *pool) believe(par *params.Params) []estimate.Belief {
	members := make([]estimate.Member, len(p.servers))
	index := make(map[*group]int, len(p.groups))
	for g, grp := range p.groups {
		index[grp] = g
	}
	for j, sv := range p.servers {
		members[j] = estimate.Member{Server: sv.known, Group: make([]int, len(sv.groups))}
		for k, g := range sv.groups {
			members[j].Group[k] = index[g]
		}
	}
	out := estimate.Believe(par, members, len(p.groups))
	p.typical = estimate.Typical(members, len(p.groups))
	p.beliefs = out
	return out
}

// hint says in the readings what service time is typical of each group: what was believed of the interval before, or
// else the least response time of any server.
func (p *pool) hint(readings [][]estimate.Reading) {
	for g, grp := range p.groups {
		typical := 0.0
		if len(p.typical) == len(p.groups) {
			typical = p.typical[g]
		}
		if typical == 0 {
			for _, l := range grp.links {
				r := &readings[l.index][l.class]
				if r.ResponseSec > 0 && (typical == 0 || r.ResponseSec < typical) {
					typical = r.ResponseSec
				}
			}
		}
		for _, l := range grp.links {
			readings[l.index][l.class].TypicalSec = typical
		}
	}
}

// observe takes in the counters of the group.
func (g *group) observe(t *Tuner, s *vts.GroupSample, seconds float64, readings [][]estimate.Reading) {
	asked, shares := make([]float64, len(g.links)), make([]float64, len(g.links))
	tallies := make([]vts.Tally, len(g.links))
	keep := math.Exp(-seconds / t.params.FailureMemory)
	total, sum := 0.0, 0.0
	for i, l := range g.links {
		l.Tally = l.Tally.Fade(keep, s.Peers[i].Tally())
		if !l.setting.Down {
			tallies[i] = l.Tally
		}
		asked[i] = float64(s.Peers[i].Requests) / seconds
		total += asked[i]
		if !l.setting.Down {
			sum += float64(l.setting.Weight.Int())
		}
	}
	for i, l := range g.links {
		if !l.setting.Down && sum > 0 {
			shares[i] = float64(l.setting.Weight.Int()) / sum
		}
	}
	// What is answered nowhere was not sent: the load has ended, and nobody hangs.
	arrived := math.Min(g.rate.PerSec(), load.Arrivals(asked, shares))
	excess := vts.Excesses(tallies)
	for i, l := range g.links {
		p := &s.Peers[i]
		served := p.Requests > p.Responses.Errors()
		l.Awaited += shares[i] * arrived * seconds
		l.Tried += float64(p.Requests)
		switch {
		case served:
			l.Passed, l.Hangs, l.Awaited, l.Tried = false, false, 0, 0
		case p.Failed:
			l.Passed, l.Hangs = true, false
		case l.Passed || l.Hangs || l.Awaited < t.params.PassedOver || l.Tried > l.Awaited*t.params.TriedAgain:
		default:
			// Its peers get its share when NGINX passes over it, and only their own when it hangs. Of one that never
			// answered nothing could be planned.
			others := load.Arrivals(asked, shares)
			l.Hangs = !g.method.LoadAware() && l.server.known.Known() &&
				others < g.rate.PerSec()*(1+shares[i]/2/(1-math.Min(shares[i], 0.99)))
			l.Passed = !l.Hangs
		}
		if l.off() {
			shares[i] = 0
		}
		if l.part = 0; total > 0 {
			l.part = asked[i] / total
		}
		readings[l.index][l.class] = l.reading(t.params, p, &excess[i], seconds)
	}
	g.asked, g.sent = asked, shares
	g.spread(t.params, s, readings, seconds)
	g.measured = objective.Measure(*s, g.deadline)
}

// arrive learns how many requests arrived, when it is known which servers waited.
func (g *group) arrive(par *params.Params, seconds float64) {
	rate := 0.0
	if g.method.LoadAware() {
		for _, v := range g.asked {
			rate += v
		}
	} else {
		live := 0.0
		for _, v := range g.sent {
			live += v
		}
		for i := range g.sent {
			if live > 0 {
				g.sent[i] /= live
			}
		}
		rate = load.Arrivals(g.asked, g.keepingUp(par, g.sent))
	}
	g.rate.Observe(par, rate, seconds)
}

// keepingUp are the shares of the servers that hardly wait, all of them when nobody does not: what a server finishes of
// an old queue is not what it is sent.
func (g *group) keepingUp(par *params.Params, shares []float64) []float64 {
	out, sum := make([]float64, len(shares)), 0.0
	for i, l := range g.links {
		if l.server.known.Waiting() <= par.QuietWait {
			out[i] = shares[i]
			sum += shares[i]
		}
	}
	if sum == 0 {
		return shares
	}
	return out
}

// reading is what an interval says of a server; excess is what of its tally its peers do not have. What is believed of
// its failures is moved by answers, and forgotten slowly, so that a server that is hardly asked any more is neither
// cleared nor condemned.
func (l *link) reading(par *params.Params, p *vts.PeerSample, excess *vts.Excess, seconds float64) estimate.Reading {
	var r estimate.Reading
	blame := 0.0 // for an answer of 4xx
	if excess.ClientErrors > 0 && l.Tally.ClientErrors > 0 {
		blame = excess.ClientErrors / l.Tally.ClientErrors
	}
	failed := float64(p.Responses.Errors()) + blame*float64(p.Responses[3])
	learned := failed
	l.ended = float64(p.Requests)
	switch {
	case blame > 0: // what came before it was certain counts as well
		learned += blame * l.Suspect.ClientErrors
		l.ended += l.Suspect.Requests
		l.Suspect = vts.Tally{}
	case p.Responses[3] > 0 || l.Suspect.Requests > 0:
		l.Suspect = l.Suspect.Fade(math.Exp(-seconds/par.FailureMemory), p.Tally())
	}
	l.Fail = (par.FailureFew*l.Fail*math.Exp(-seconds/par.FailureMemory) + learned) / (par.FailureFew + l.ended)
	if r.FailShare = l.Fail; l.Hangs {
		r.FailShare = 1
	}
	served := float64(p.Requests) - failed
	if served < 1 || failed > served { // times of failures are not those of services
		return r
	}
	r.Count = served
	r.DonePerSec = served / seconds
	// Times are whole milliseconds, so that a mean of 0 is one of less than half.
	r.ResponseSec = math.Min(math.Max(float64(p.ResponseMsec), leastMsec*served)/1e3/served, mostResponseSec)
	if n, sum, square, ok := objective.MomentsOf(*p); ok && n > 1 {
		mean := sum / n
		r.SCV = math.Min(math.Max(scvLeast, square/n/(mean*mean)-1), scvMost)
	}
	return r
}

const (
	leastMsec       = 0.4
	mostResponseSec = 24 * 3600 // a page that shows more is wrong
)

// spread learns the spread of service times and the deadline from servers where little waits.
func (g *group) spread(par *params.Params, s *vts.GroupSample, readings [][]estimate.Reading, seconds float64) {
	sum, n := 0.0, 0.0
	for i, l := range g.links {
		r := readings[l.index][l.class]
		if r.SCV == 0 || l.server.known.Waiting() > par.QuietWait {
			continue
		}
		sum += r.Count * r.SCV
		n += r.Count
		l.tail.observe(seconds, r)
		if c, total, square, ok := objective.MomentsOf(s.Peers[i]); ok {
			g.learned.Add(c, total, square)
		}
	}
	g.learned.Decay(math.Exp(-seconds / par.SCVMemory))
	if n > 0 {
		g.scv += (1 - math.Exp(-seconds/par.SCVMemory)) * n / (n + knownMean) * (sum/n - g.scv)
	}
	if !g.given && g.deadline == 0 && g.learned.N > knownMean {
		g.deadline = objective.DeadlineOf(g.learned, g.priority).Seconds()
	}
}

// problem is what weights are sought for, for the present load.
func (p *pool) problem(t *Tuner, beliefs []estimate.Belief, urgent bool) *plan.Problem {
	return &plan.Problem{Params: t.params, Table: t.table, Beliefs: beliefs, Groups: p.planned(),
		ErrorTardiness: t.cfg.ErrorTardiness, Urgent: urgent}
}

// planned are the groups as a plan sees them.
func (p *pool) planned() (out []plan.Group) {
	for _, g := range p.groups {
		pg := plan.Group{Method: g.method, RatePerSec: g.rate.PerSec(), DeadlineSec: g.deadline, SCV: g.scv}
		for _, l := range g.links {
			pg.Links = append(pg.Links, plan.Link{Server: l.index, Class: l.class, Off: l.off()})
		}
		out = append(out, pg)
	}
	return out
}
