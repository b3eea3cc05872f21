package prove

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"time"

	"trimtab/vts"
)

// Format names the file that an Experiment is kept in.
const Format = "trimtab prove 1"

// Experiment is a switchback, running or ended. It is a value that is written as JSON and read back to go on; the block
// under way is not written: whoever goes on repeats it.
type Experiment struct {
	Format  string    `json:"format"`
	ID      string    `json:"id"`
	Plan    Plan      `json:"plan"`
	Seed    uint64    `json:"seed"`
	Host    string    `json:"host,omitempty"`
	Target  string    `json:"target,omitempty"` // which NGINX
	NGINX   string    `json:"nginx_version,omitempty"`
	Version string    `json:"trimtab_version,omitempty"`
	Began   time.Time `json:"began"`
	Elapsed float64   `json:"elapsed_s"` // observed so far
	Stages  []Stage   `json:"stages"`
	Over    Verdict   `json:"ended,omitempty"` // empty: it runs
	OverAt  time.Time `json:"ended_at,omitzero"`
	// Released says that the operator lets the tuned weights act although they were found worse.
	Released bool `json:"released,omitempty"`
	// Watched says that nobody drew the order of the arms: weights that were recorded as they came. Then a difference
	// may be one of the load.
	Watched bool `json:"watched,omitempty"`
	// Restarts counts how often it was taken up again.
	Restarts int `json:"restarts,omitempty"`

	now current
	due time.Time // when the next pair was due to begin: what hour it counts for
}

// Stage is a part of an experiment in which the operator's weights were the same.
type Stage struct {
	From      time.Time          `json:"from"`
	Why       string             `json:"why,omitempty"` // it began, unless it is the first
	Deadlines map[string]float64 `json:"deadlines_ms,omitempty"`
	Pairs     []Pair             `json:"pairs"`
	Breaks    int                `json:"broken_off,omitempty"` // blocks that the guard ended
	Voids     []Void             `json:"void,omitempty"`
}

// Pair is a block of either arm, in the order in which they were.
type Pair struct {
	First  Block  `json:"first"`
	Second *Block `json:"second,omitempty"` // nil: not measured yet
}

// Void is a block that does not count, and why.
type Void struct {
	At     time.Time `json:"at"`
	Arm    Arm       `json:"arm"`
	Reason string    `json:"reason"`
}

// voidsKept is how many are listed.
const voidsKept = 50

// current is the block under way.
type current struct {
	begun  bool    // its weights are in force
	washed float64 // s
	block  Block
	bad    float64 // s for which the guard has seen worse
}

// New returns an experiment that is about to begin.
func New(p Plan, seed uint64, now time.Time) *Experiment {
	return &Experiment{Format: Format, ID: fmt.Sprintf("%s-%04x", now.UTC().Format("20060102T150405"), seed&0xffff),
		Plan: p.WithDefaults(),
		Seed: seed, Began: now, Stages: []Stage{{From: now, Deadlines: maps.Clone(p.Deadlines)}}, due: now}
}

// Ended reports whether the experiment is over.
func (x *Experiment) Ended() bool { return x.Over != "" }

// Measured counts the blocks that were measured, over all stages.
func (x *Experiment) Measured() int {
	n := 0
	for i := range x.Stages {
		n += len(x.Stages[i].Pairs) + len(x.Stages[i].whole())
	}
	return n
}

func (x *Experiment) stage() *Stage { return &x.Stages[len(x.Stages)-1] }

// open is the pair of which one block is measured; nil: none.
func (s *Stage) open() *Pair {
	if n := len(s.Pairs); n > 0 && s.Pairs[n-1].Second == nil {
		return &s.Pairs[n-1]
	}
	return nil
}

// whole are the pairs of which both blocks are measured.
func (s *Stage) whole() []Pair {
	if s.open() != nil {
		return s.Pairs[:len(s.Pairs)-1]
	}
	return s.Pairs
}

// Arm is whose weights are to be in force. Once it is over they are the tuned ones, unless these are worse.
func (x *Experiment) Arm() Arm {
	switch {
	case x.Over == Worse && !x.Released:
		return Operator
	case x.Ended():
		return Tuned
	}
	if p := x.stage().open(); p != nil {
		return p.First.Arm.other()
	}
	if x.now.begun {
		return x.now.block.Arm
	}
	return x.first()
}

// first draws the arm that the next pair begins with. Of two pairs in the same hour of the day the second begins with
// the other arm.
func (x *Experiment) first() Arm {
	same, n := 0, 0
	var last Arm
	for i := range x.Stages {
		for j := range x.Stages[i].Pairs {
			p := &x.Stages[i].Pairs[j]
			n++
			if p.First.From.Hour() == x.due.Hour() {
				same, last = same+1, p.First.Arm
			}
		}
	}
	if same%2 == 1 {
		return last.other()
	}
	if rand.New(rand.NewPCG(x.Seed, uint64(n))).Uint64()&1 == 0 {
		return Operator
	}
	return Tuned
}

// Begun reports whether the weights of the block under way are in force.
func (x *Experiment) Begun() bool { return x.now.begun }

// Begin says that the weights of Arm are in force.
func (x *Experiment) Begin(now time.Time) {
	if x.Ended() {
		return
	}
	x.now = current{begun: true, block: Block{Arm: x.Arm(), From: now}}
}

// News is what became of an interval.
type News struct {
	Switch  bool   // the weights of Arm are to be put in force now
	Text    string // for the log; empty: nothing happened
	Decided bool   // the experiment is over
}

// Observe takes in one control interval and used, the share of the servers' capacity that is used (0: not known).
func (x *Experiment) Observe(now time.Time, s vts.Sample, used float64) News {
	seconds := s.Interval.Seconds()
	if x.Ended() || seconds <= 0 || len(s.Groups) == 0 {
		return News{}
	}
	c := &x.now
	if longest := math.Max(60, x.Plan.Block.Seconds()/4); seconds > longest {
		// A clock that jumped, or telemetry that was gone: what happened in between is nobody's.
		if c.begun {
			return x.void(now, fmt.Sprintf("an interval covers %.0f s", seconds))
		}
		return News{}
	}
	x.Elapsed += seconds
	switch {
	case !c.begun:
		if x.Elapsed >= x.Plan.Duration.Seconds() {
			return x.end(now)
		}
		return News{Switch: true}
	case c.washed < x.Plan.washOut().Seconds():
		c.washed += seconds
		return News{}
	}
	c.block.take(&s, used)
	if broken := x.guard(&s); broken != "" {
		c.block.Broken = true
		x.stage().Breaks++
		return x.close(now, broken)
	}
	long := x.Plan.Block.Seconds()
	switch {
	case c.block.Seconds < long-seconds/2:
		return News{}
	case c.block.All.Requests >= x.Plan.LeastRequests:
		return x.close(now, "")
	case c.block.Seconds < 3*long:
		return News{} // waits for more requests
	}
	return x.void(now, fmt.Sprintf("too little traffic: %d requests in %.0f s, %d needed", c.block.All.Requests,
		c.block.Seconds,
		x.Plan.LeastRequests))
}

// close ends the block under way, which counts.
func (x *Experiment) close(now time.Time, why string) News {
	st, b := x.stage(), x.now.block
	x.now = current{}
	if p := st.open(); p != nil {
		p.Second = &b
	} else {
		st.Pairs = append(st.Pairs, Pair{First: b})
	}
	x.due = now
	if b.Arm == Operator {
		for name, t := range b.Groups {
			if st.Deadlines[name] == 0 {
				if st.Deadlines == nil {
					st.Deadlines = map[string]float64{}
				}
				st.Deadlines[name] = t.deadline()
			}
		}
	}
	news := News{Switch: true, Text: why}
	if st.open() != nil && st.Breaks < mostBreaks {
		return news
	}
	r := x.Result()
	switch {
	case st.Breaks >= mostBreaks, len(st.whole()) >= x.Plan.LeastPairs && (r.Verdict == Better || r.Verdict == Worse),
		x.Elapsed+2*(x.Plan.Block+x.Plan.washOut()).Seconds() > x.Plan.Duration.Seconds():
		return x.end(now)
	}
	return news
}

// Void says that the block under way does not count, and is measured again.
func (x *Experiment) Void(now time.Time, reason string) News {
	if x.Ended() || !x.now.begun {
		return News{}
	}
	return x.void(now, reason)
}

func (x *Experiment) void(now time.Time, reason string) News {
	st := x.stage()
	if len(st.Voids) < voidsKept {
		st.Voids = append(st.Voids, Void{At: now, Arm: x.now.block.Arm, Reason: reason})
	}
	x.now = current{}
	if x.Elapsed >= x.Plan.Duration.Seconds() {
		return x.end(now)
	}
	return News{Switch: true, Text: "a block does not count and is measured again: " + reason}
}

// Edited says that the operator has other weights from now on: what was measured is kept, and the comparison with the
// new ones begins.
func (x *Experiment) Edited(now time.Time, why string) News {
	if x.Ended() {
		return News{}
	}
	x.now = current{}
	st := x.stage()
	if st.open() != nil {
		st.Pairs = st.whole()
	}
	next := Stage{From: now, Why: why, Deadlines: maps.Clone(st.Deadlines)}
	if len(st.Pairs) == 0 {
		next.Voids = st.Voids
		*st = next // nothing to keep
	} else {
		x.Stages = append(x.Stages, next)
	}
	return News{Switch: true, Text: "the comparison begins anew: " + why}
}

// Resume says that the experiment goes on after a restart.
func (x *Experiment) Resume(now time.Time) {
	x.Restarts++
	x.now, x.due = current{}, now
}

// Stop ends the experiment before its time.
func (x *Experiment) Stop(now time.Time) {
	if x.Ended() {
		return
	}
	x.now = current{}
	if st := x.stage(); st.open() != nil {
		st.Pairs = st.whole()
	}
	x.Over, x.OverAt = Stopped, now
}

func (x *Experiment) end(now time.Time) News {
	x.now = current{}
	st := x.stage()
	verdict := x.Result().Verdict
	if st.open() != nil {
		st.Pairs = st.whole()
	}
	x.Over, x.OverAt = verdict, now
	return News{Switch: true, Decided: true, Text: x.Result().Headline()}
}

// The guard: what ends a block on tuned weights at once, long before any statistics would.
const (
	guardWorse   = 3.0  // mean response times, against the worst block on the operator's weights
	guardErrors  = 0.05 // share of errors above that of the worst block on the operator's weights
	guardSeconds = 30.0
	mostBreaks   = 2
)

// guard says why the block under way is broken off; empty: it is not.
func (x *Experiment) guard(s *vts.Sample) string {
	c, st := &x.now, x.stage()
	if c.block.Arm != Tuned {
		return ""
	}
	worst, failed, known := 0.0, 0.0, false
	each := func(b *Block) {
		if b != nil && b.Arm == Operator {
			known = true
			worst, failed = math.Max(worst, b.All.MeanMS()), math.Max(failed, b.All.ErrorShare())
		}
	}
	for i := range st.Pairs {
		each(&st.Pairs[i].First)
		each(st.Pairs[i].Second)
	}
	var t Tally
	for i := range s.Groups {
		for j := range s.Groups[i].Peers {
			t.Add(&s.Groups[i].Peers[j])
		}
	}
	if !known || t.Requests < 20 {
		return ""
	}
	if t.MeanMS() > guardWorse*worst || t.ErrorShare() > failed+guardErrors {
		c.bad += s.Interval.Seconds()
	} else {
		c.bad = 0
	}
	if c.bad < guardSeconds {
		return ""
	}
	return fmt.Sprintf("the guard breaks off a block on tuned weights: for %.0f s mean %.0f ms and %.1f %% errors, "+
		"where the operator's weights "+
		"had %.0f ms and %.1f %% at worst", c.bad, t.MeanMS(), 100*t.ErrorShare(), worst, 100*failed)
}
