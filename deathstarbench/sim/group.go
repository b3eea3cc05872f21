package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"trimtab/deathstarbench"
)

// Method is a balancing method.
type Method string

// The balancing methods. The first three are NGINX 1.22's; the others measure times and decide per request.
const (
	RoundRobin          Method = "round_robin"            // smooth weighted round robin
	LeastConn           Method = "least_conn"             // fewest active/weight, ties by smooth weighted round robin
	RandomTwo           Method = "random_two"             // random two least_conn
	LeastTime           Method = "least_time"             // NGINX 1.31's least_time last_byte inflight
	LeastTimeNoInflight Method = "least_time_no_inflight" // NGINX 1.31's least_time last_byte
	PeakEWMA            Method = "peak_ewma"              // two random choices, the lower peak-EWMA cost
	Prequal             Method = "prequal"                // probed requests in flight and latency, hot-cold rule
	JSED                Method = "jsed"                   // shortest expected delay, clairvoyant
)

// Methods returns all balancing methods.
func Methods() []Method {
	return []Method{RoundRobin, LeastConn, RandomTwo, LeastTime, LeastTimeNoInflight, PeakEWMA, Prequal, JSED}
}

// peer is the balancer's state of one server of a group: what every pick reads.
type peer struct {
	current   int32 // of smooth weighted round robin
	effective int32 // weight, less after failures
	weight    int32
	conns     int32 // active
}

// health is the rest of the state: passive health checks. Times are NGINX's whole seconds.
type health struct {
	fails             int32
	down              bool
	accessed, checked int64 // of the last failure; of the last failure or trial
}

// group is one upstream group as NGINX balances it.
type group struct {
	name     string
	workload string
	own      *deathstarbench.Workload // nil: one of the social network
	balancer int
	method   Method
	class    uint16
	epoch    int32 // counts restarts of the balancer's state
	peers    []peer
	health   []health
	server   []int32 // index of each peer's server
	tried    []bool  // of the request being passed on
	passing  bool    // any of tried is set
	// plain says that no peer is down, failing or recovering, so that a pick need not look at health.
	plain       bool
	timed       bool // the method goes by measured times
	sinceReview uint8
	maxFails    int32
	failTimeout int64 // s
	rng         *rand.Rand

	timings []timing // of the methods that measure
	prequal prequalState
	costs   []uint64 // scratch of least_time
	behind  float64  // Options.ClocksBehind
	picked  int64    // ns; time of the last pick on the clock of its worker

	blocked float64    // share of the requests that admission refuses
	refuse  *rand.Rand // draws them
	refused uint64     // since the last sample

	stats    []counters
	deadline float64 // ns; 0: none
	client   outcome
}

// Setting is the setting of one server of a group.
type Setting struct {
	Weight int
	Down   bool
}

func (g *group) restart(keep bool) {
	if !keep {
		g.epoch++
	}
	for i := range g.peers {
		p, h := &g.peers[i], &g.health[i]
		p.current = 0
		p.effective = p.weight
		if !keep {
			p.conns = 0
			*h = health{down: h.down}
		}
		if !keep && g.timed {
			g.timings[i] = timing{}
		}
	}
	if !keep {
		g.prequal = prequalState{}
	}
	g.review()
}

// review recomputes plain.
func (g *group) review() {
	g.plain = len(g.peers) > 1 && !g.timed && g.method != JSED
	for i := range g.peers {
		if h := &g.health[i]; h.down || h.fails > 0 || g.peers[i].effective != g.peers[i].weight {
			g.plain = false
		}
	}
}

// usable reports whether the peer may be picked at the time now, in s.
func (g *group) usable(i int, now int64) bool {
	h := &g.health[i]
	return !g.tried[i] && !h.down &&
		!(g.maxFails > 0 && h.fails >= g.maxFails && now-h.checked <= g.failTimeout)
}

// pick returns the peer for a request, or none when no peer is live. The caller counts the request as active.
func (s *Sim) pick(g *group, r *request) int {
	if g.plain || len(g.peers) == 1 || g.method != JSED && g.method != Prequal {
		return g.pick(s.now)
	}
	g.picked = s.now
	if g.method == JSED {
		return s.jsed(g, r)
	}
	return s.prequal(g, r)
}

// pick is the pick of the methods that know no more than the group does.
func (g *group) pick(now int64) int {
	g.picked = now
	if g.plain {
		switch g.method {
		case LeastConn:
			return g.leastConnPlain()
		case RandomTwo:
			return g.randomTwo(seconds(now))
		}
		return g.roundRobinPlain()
	}
	if len(g.peers) == 1 { // NGINX never takes a single server out
		if g.health[0].down || g.tried[0] {
			return none
		}
		return 0
	}
	if g.sinceReview++; g.sinceReview == 0 && !g.passing {
		g.review()
	}
	sec := seconds(now)
	var i int
	switch g.method {
	case LeastConn:
		i = g.leastConn(sec)
	case RandomTwo:
		i = g.randomTwo(sec)
	case LeastTime, LeastTimeNoInflight:
		g.picked = g.clock(now)
		i = g.leastTime(uint64(g.picked/1e6), sec)
	case PeakEWMA:
		i = g.peakEWMA(now, sec)
	default:
		i = g.roundRobin(sec)
	}
	if i != none {
		if h := &g.health[i]; sec-h.checked > g.failTimeout {
			h.checked = sec
		}
	}
	return i
}

// measure tells a method that goes by measured times how long an attempt took.
func (g *group) measure(i int, epoch int32, began, now int64, how ending) {
	if epoch != g.epoch || g.method == Prequal { // which is told by answered
		return
	}
	if g.method == PeakEWMA {
		g.timings[i].observe(float64(now), float64(now-began))
	} else if len(g.peers) > 1 {
		now = max(g.clock(now), began) // began is of the same worker's clock
		g.leastTimeDone(i, uint64(now/1e6), uint64(now/1e6-began/1e6), how)
	}
}

// done ends an attempt that was counted in the given epoch: failed says that it counts for the passive health check.
func (g *group) done(i int, epoch int32, failed bool, now int64) {
	if epoch != g.epoch {
		return // it belongs to a worker of the configuration before the reload
	}
	p := &g.peers[i]
	p.conns--
	h := &g.health[i]
	switch {
	case failed && len(g.peers) > 1:
		sec := seconds(now)
		h.fails++
		h.accessed, h.checked = sec, sec
		if g.maxFails > 0 {
			p.effective = max(0, p.effective-p.weight/g.maxFails)
		}
		g.plain = false
	case !failed && h.fails > 0 && h.accessed < h.checked:
		h.fails = 0
		g.review()
	}
}

func newGroup(u deathstarbench.Upstream, own *deathstarbench.Workload, servers map[string]int32, o *Options,
	seed uint64) (group, error) {
	g := group{
		name: u.Name, workload: u.Workload, own: own, method: Method(u.Method), maxFails: int32(max(o.MaxFails, 0)),
		failTimeout: int64(o.FailTimeout.Seconds()), behind: o.ClocksBehind, rng: rand.New(rand.NewPCG(seed, 0xba1a)),
	}
	if o.Method != "" {
		g.method = o.Method
	}
	if g.method == "" {
		g.method = RoundRobin
	}
	if !slices.Contains(Methods(), g.method) {
		return g, fmt.Errorf("upstream %s: method %q: want one of %v", u.Name, g.method, Methods())
	}
	if len(u.Servers) == 0 {
		return g, fmt.Errorf("upstream %s: no server", u.Name)
	}
	if len(u.Weights) > 0 && len(u.Weights) != len(u.Servers) {
		return g, fmt.Errorf("upstream %s: %d weights for %d servers", u.Name, len(u.Weights), len(u.Servers))
	}
	for i, name := range u.Servers {
		n, ok := servers[name]
		if !ok {
			return g, fmt.Errorf("upstream %s: unknown server %q", u.Name, name)
		}
		w := 1
		if len(u.Weights) > 0 {
			w = u.Weights[i]
		}
		if err := checkWeight(w); err != nil {
			return g, fmt.Errorf("upstream %s: server %s: %w", u.Name, name, err)
		}
		g.server = append(g.server, n)
		g.peers = append(g.peers, peer{weight: int32(w), effective: int32(w)})
	}
	g.refuse = rand.New(rand.NewPCG(seed, 0xb10c))
	g.health = make([]health, len(g.peers))
	g.tried = make([]bool, len(g.peers))
	g.stats = newCounters(len(g.peers), len(o.BucketsMsec))
	g.deadline = float64(u.Deadline)
	if d, ok := o.Deadlines[u.Name]; ok {
		g.deadline = float64(d)
	}
	switch g.method {
	case LeastTime, LeastTimeNoInflight, PeakEWMA, Prequal:
		g.timed = true
		g.timings = make([]timing, len(g.peers))
		g.costs = make([]uint64, len(g.peers))
	}
	g.review()
	return g, nil
}

var errNoLive = errors.New("no live server left")

func checkWeight(w int) error {
	if w < 1 || w > 100 {
		return fmt.Errorf("weight %d: want 1 to 100", w)
	}
	return nil
}
