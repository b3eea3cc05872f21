package page

import (
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"trimtab/plain"
	"trimtab/prove"
	"trimtab/tuner"
	"trimtab/vts"
	"trimtab/weights"
	"trimtab/words"
)

// Step is what a control step brought.
type Step struct {
	Sample      *vts.Sample // nil: no telemetry
	InForce     weights.Set // before the change
	Operator    weights.Set
	Explanation *tuner.Explanation // nil: the learner says nothing
	Budget      words.Budget
	Held        string   // why changes are held
	Reason      string   // of the decision
	Problem     string   // why the step failed
	Errors      []string // of all kinds since the start, a line for each
	Learner     string
	LeftOut     []string
	Ordered     map[string]map[string]string // what is ordered, by upstream and server: drained, pinned
	Configured  map[string]map[string]string // what the configuration says of servers' shares, likewise
	Interval    time.Duration

	// Changed are weights that were put in force in this step, and why; nil: none.
	Changed  weights.Set
	Cause    string
	Reloaded bool
	Undo     string // how the change is taken back
}

// Recorder keeps what the page shows. Several goroutines may use it.
type Recorder struct {
	mu      sync.Mutex
	about   About
	began   time.Time
	elapsed func() time.Duration // since then
	state   State
	last    Step
	have    bool
	history *history
	changes []Change
	pending *pending // the last change, until it is known what it brought
	proof   *Proof
	hold    HoldState
	known   map[string]string // key by name
	names   map[string]string // and back
	cache   map[string][]byte // replies to what was asked since the last step
	gzip    *gzip.Writer
}

// NewRecorder returns a recorder that has seen nothing.
func NewRecorder(a About) *Recorder {
	if a.Started.IsZero() {
		a.Started = time.Now()
	}
	began := time.Now()
	return &Recorder{about: a, began: began, elapsed: func() time.Duration { return time.Since(began) },
		history: newHistory(), known: map[string]string{},
		names: map[string]string{},
		cache: map[string][]byte{}, changes: []Change{}, state: State{Schema: Schema, About: a,
			Run: fmt.Sprintf("%08x", rand.Uint32()), At: a.Started, Upstreams: []Upstream{},
			Changes: []Change{}, Status: Status{Level: "wait", Text: "Waiting for the first status page of NGINX."}}}
}

// key is what the page calls an upstream: its name as it is shown, or with a number when two are shown alike.
func (r *Recorder) key(name string) string {
	if k, ok := r.known[name]; ok {
		return k
	}
	if len(r.known) > 20_000 { // names that come and go
		r.known, r.names = map[string]string{}, map[string]string{}
	}
	k := shown(name)
	for i := 2; ; i++ {
		if _, taken := r.names[k]; !taken {
			break
		}
		k = fmt.Sprintf("%s (%d)", shown(name), i)
	}
	r.known[name], r.names[k] = k, name
	return k
}

// NGINX says which version the page is of.
func (r *Recorder) NGINX(version string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.About.NGINX = plain.Text(version)
}

// now are s since the Unix epoch, by a clock that does not jump.
func (r *Recorder) now() float64 { return float64(r.began.UnixMilli())/1e3 + r.elapsed().Seconds() }

// Step takes in a control step. It returns what the last change has brought, in the step in which that is known first.
func (r *Recorder) Step(s Step) (outcome string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.cache)
	st := &r.state
	st.Seq++
	// By the monotonic clock: a wall clock that jumps would fold the charts.
	at := r.now()
	st.At = time.Now()
	st.IntervalS, st.Learner = s.Interval.Seconds(), s.Learner
	st.Status = status(&s, r.have)
	st.LeftOut, st.Orders, st.Configured = plainAll(s.LeftOut), ordered(s.Ordered), ordered(s.Configured)
	st.Errors = plainAll(s.Errors)
	regime := -1
	if e := s.Explanation; e != nil {
		st.Budget, st.Regime, st.Why = s.Budget.String(), words.Regime(e), why(e, s.Budget)
		st.Objective = pursued(e.Objective)
		regime = e.Regime.Index
		if e.Regime.Learning {
			regime = -1
		}
	}
	r.history.begin(at, regime)
	if s.Sample != nil {
		r.sample(&s)
		outcome = r.outcome(&s)
		r.last, r.have = s, true
	}
	if s.Changed != nil {
		r.change(&s, at)
	}
	if e := s.Explanation; e != nil {
		r.forecasts(e)
	}
	st.Changes = r.changes
	return outcome
}

// sample takes over what a sample says of the upstreams.
func (r *Recorder) sample(s *Step) {
	st := &r.state
	pools := map[string]int{}
	used := map[string]*float64{}
	if e := s.Explanation; e != nil {
		for i := range e.Pools {
			share := poolUsed(&e.Pools[i])
			for _, g := range e.Pools[i].Groups {
				pools[g], used[g] = i, share
			}
		}
	}
	st.Upstreams = st.Upstreams[:0:0]
	for i := range s.Sample.Groups {
		g := &s.Sample.Groups[i]
		u := Upstream{Key: r.key(g.Name), Name: shown(g.Name), Servers: len(g.Peers), Used: used[g.Name], Why: -1}
		if at, ok := pools[g.Name]; ok && at < whyMost {
			u.Why = at
		}
		var t prove.Tally
		for j := range g.Peers {
			t.Add(&g.Peers[j])
		}
		u.RatePerSec = float64(t.Requests) / math.Max(1e-9, s.Sample.Interval.Seconds())
		u.P50, u.P99, u.Mean = number(t.Quantile(0.5)), number(t.Quantile(0.99)), number(t.MeanMS())
		if e := number(t.ErrorShare()); e != nil {
			u.Errors = *e
		}
		now := words.Shares(s.InForce[g.Name])
		if operator, ok := s.Operator[g.Name]; ok {
			for server, share := range words.Shares(operator) {
				u.Moved += math.Max(0, share-now[server])
			}
		}
		u.States = groupStates(s, g)
		r.history.set(u.Key, &u, g, now)
		st.Upstreams = append(st.Upstreams, u)
	}
	st.More = max(0, len(st.Upstreams)-upstreamsMost)
	st.Upstreams = st.Upstreams[:len(st.Upstreams)-st.More]
}

// What a page lists.
const (
	upstreamsMost = 1000
	serversMost   = 500
	whyMost       = 200
	detailServers = 6000 // in a file, over all upstreams
)

// Proof says how the experiment stands; nil: there is none.
func (r *Recorder) Proof(p *Proof) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.proof = p
}

// Holds says whether the buttons work, and whether changes are held by them.
func (r *Recorder) Holds(h HoldState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hold = h
}

// snapshot is the state to be encoded; r.mu is held.
func (r *Recorder) snapshot() State {
	st := r.state
	st.Hold = r.hold
	if r.proof != nil {
		p := *r.proof
		p.Result = nil
		st.Proof = &p
	}
	return st
}

// detail is one upstream; nil: it is not there. r.mu is held.
func (r *Recorder) detail(key string, since uint64, most int) *Detail {
	name, known := r.names[key]
	if !known || !r.have {
		return nil
	}
	s := &r.last
	i := slices.IndexFunc(s.Sample.Groups, func(g vts.GroupSample) bool { return g.Name == name })
	if i < 0 {
		return nil
	}
	g := &s.Sample.Groups[i]
	d := &Detail{Key: key, Servers: servers(s, g), Series: r.history.series(key, since)}
	if d.More = max(0, len(d.Servers)-most); d.More > 0 {
		slices.SortStableFunc(d.Servers, func(a, b Server) int { return cmp.Compare(b.Share, a.Share) })
		d.Servers = d.Servers[:most]
	}
	return d
}

// live is what a browser is given that shows an upstream and has everything up to a point.
func (r *Recorder) live(key string, since uint64) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := fmt.Sprintf("%d %s", since, key)
	if text, ok := r.cache[id]; ok {
		return text
	}
	if _, known := r.names[key]; !known && len(r.state.Upstreams) > 0 {
		key, since = r.state.Upstreams[0].Key, 0
	}
	text, err := json.Marshal(Live{State: r.snapshot(), Detail: r.detail(key, since, serversMost)})
	if err != nil {
		return nil
	}
	text = r.squeeze(text)
	if len(r.cache) < 32 {
		r.cache[id] = text
	}
	return text
}

// Seq is the number of the last step.
func (r *Recorder) Seq() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Seq
}

// Data is all that is known, for a page in a file.
func (r *Recorder) Data() Data {
	r.mu.Lock()
	defer r.mu.Unlock()
	st := r.snapshot()
	st.Hold = HoldState{}
	st.Proof = r.proof
	d := Data{State: &st}
	left := detailServers
	for i := range st.Upstreams {
		if x := r.detail(st.Upstreams[i].Key, 0, min(serversMost, max(0, left))); x != nil {
			left -= len(x.Servers)
			d.Details = append(d.Details, *x)
		}
	}
	return d
}
