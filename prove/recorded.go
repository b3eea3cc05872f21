package prove

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"strings"
	"time"

	"trimtab/vts"
)

// Recorded evaluates statistics that were recorded, in which weights changed now and then: every span of unchanged
// weights is an arm, the operator's or another one, and is cut into blocks. The blocks on both sides of a change of
// arms make a pair.
//
// operator says which weights are the operator's, by upstream and server; an upstream that it does not name has those
// that the recording begins with.
func Recorded(f *vts.File, p Plan, operator map[string]map[string]int) (*Experiment, error) {
	p = p.WithDefaults()
	r := recorded{plan: p, operator: map[string]map[string]int{}}
	maps.Copy(r.operator, operator)
	var base *vts.Status
	for {
		st, err := f.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if base == nil {
			base = st
			r.x = New(p, 0, st.At)
			r.x.Watched, r.x.NGINX = true, st.NginxVer
			continue
		}
		sample, err := vts.Delta(base, st)
		base = st
		if err != nil {
			r.cut() // a restart, a reset: nothing connects what was before with what comes
			r.arm = ""
			continue
		}
		r.take(&sample)
	}
	if r.x == nil {
		return nil, errors.New("no status is recorded")
	}
	r.cut()
	r.pair()
	r.x.Over, r.x.OverAt = TooFew, base.At
	r.x.Over = r.x.Result().Verdict
	return r.x, nil
}

// recorded is a recording that is being read.
type recorded struct {
	plan     Plan
	operator map[string]map[string]int
	x        *Experiment
	arm      Arm // of the span under way; "": none
	weights  string
	washed   float64
	block    Block
	blocks   []Block
}

// take adds an interval.
func (r *recorded) take(s *vts.Sample) {
	r.x.Elapsed += s.Interval.Seconds()
	arm := Operator
	var now strings.Builder
	for i := range s.Groups {
		g := &s.Groups[i]
		base, known := r.operator[g.Name]
		if !known {
			base = map[string]int{}
			r.operator[g.Name] = base
		}
		for j := range g.Peers {
			q := &g.Peers[j]
			w, there := base[q.Server]
			if !there {
				w = q.Weight
				base[q.Server] = w
			}
			if q.Weight != w || q.Down {
				arm = Tuned
			}
			fmt.Fprintf(&now, "%d %d %t,", j, q.Weight, q.Down)
		}
	}
	// Tuned weights may go on changing; the operator's are what they are.
	if arm != r.arm || arm == Operator && now.String() != r.weights {
		r.cut()
		r.arm, r.washed, r.weights = arm, 0, now.String()
		return // the interval has both
	}
	if r.washed < r.plan.washOut().Seconds() {
		r.washed += s.Interval.Seconds()
		return
	}
	if r.block.Seconds == 0 {
		r.block = Block{Arm: arm, From: s.At.Add(-s.Interval)}
	}
	r.block.take(s, 0)
	if r.block.Seconds >= r.plan.Block.Seconds()-s.Interval.Seconds()/2 {
		r.cut()
	}
}

// cut ends the block under way; a half one counts when it has enough requests.
func (r *recorded) cut() {
	b := r.block
	r.block = Block{}
	if b.Seconds == 0 {
		return
	}
	if b.All.Requests < r.plan.LeastRequests || b.Seconds < r.plan.Block.Seconds()/2 {
		if st := r.x.stage(); len(st.Voids) < voidsKept {
			st.Voids = append(st.Voids, Void{At: b.From, Arm: b.Arm,
				Reason: fmt.Sprintf("%.0f s with %d requests: %.0f s and %d needed", b.Seconds,
					b.All.Requests, r.plan.Block.Seconds()/2, r.plan.LeastRequests)})
		}
		return
	}
	r.blocks = append(r.blocks, b)
}

// pair makes a pair of the blocks on both sides of each change of arms: one change is one pair, however long it is
// looked at.
func (r *recorded) pair() {
	st := r.x.stage()
	used := make([]bool, len(r.blocks))
	for i := 1; i < len(r.blocks); i++ {
		if r.blocks[i].Arm == r.blocks[i-1].Arm {
			continue
		}
		if used[i-1] || used[i] {
			continue
		}
		used[i-1], used[i] = true, true
		b := r.blocks[i]
		st.Pairs = append(st.Pairs, Pair{First: r.blocks[i-1], Second: &b})
	}
	if st.Deadlines == nil {
		st.Deadlines = map[string]float64{}
	}
	for i := range st.Pairs {
		o, _ := arms(&st.Pairs[i])
		for name, t := range o.Groups {
			if st.Deadlines[name] == 0 {
				st.Deadlines[name] = t.deadline()
			}
		}
	}
}

// Ahead estimates from statistics that were recorded on unchanged weights what an experiment like the plan could see:
// the blocks of the recording stand for those of the experiment. An error says that there are too few.
func Ahead(f *vts.File, p Plan) (*Power, error) {
	p = p.WithDefaults()
	var blocks []Block
	var base *vts.Status
	b := Block{Arm: Operator}
	var voids int
	for {
		st, err := f.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if base == nil {
			base = st
			continue
		}
		sample, err := vts.Delta(base, st)
		base = st
		if err != nil {
			b = Block{Arm: Operator}
			continue
		}
		b.take(&sample, 0)
		if b.Seconds >= p.Block.Seconds()-sample.Interval.Seconds()/2 {
			if b.All.Requests >= p.LeastRequests {
				blocks = append(blocks, b)
			} else {
				voids++
			}
			b = Block{Arm: Operator}
		}
	}
	return ahead(p, blocks, voids)
}

func ahead(p Plan, blocks []Block, voids int) (*Power, error) {
	deadlines := map[string]float64{}
	var d []float64
	e := Effect{Measure: p.Measure, Relative: p.Measure.relative()}
	for i := 0; i+1 < len(blocks); i += 2 {
		for name, t := range blocks[i].Groups {
			if deadlines[name] == 0 {
				deadlines[name] = t.deadline()
			}
		}
		a, c := blocks[i].Value(p.Measure, "", deadlines), blocks[i+1].Value(p.Measure, "", deadlines)
		if math.IsNaN(a) || math.IsNaN(c) {
			continue
		}
		e.Operator += (a + c) / 2
		if e.Relative {
			a, c = math.Log(a), math.Log(c)
		}
		d = append(d, c-a)
	}
	if len(d) > 0 {
		e.Operator /= float64(len(d))
	}
	if out := power(p, d, e); out != nil {
		return out, nil
	}
	return nil, fmt.Errorf("%d blocks of %v with at least %d requests are recorded (%d had fewer): at least 6 are "+
		"needed for an estimate",
		len(blocks), p.Block, p.LeastRequests, voids)
}

// Take adds an interval to a Watch.
func (w *Watch) Take(s vts.Sample, used float64) {
	if s.Interval <= 0 || s.Interval > time.Minute {
		w.block = Block{Arm: Operator}
		return
	}
	w.block.take(&s, used)
	if w.block.Seconds < w.Plan.Block.Seconds() {
		return
	}
	if w.block.All.Requests >= w.Plan.LeastRequests {
		w.block.Groups = nil
		w.blocks = append(w.blocks, w.block)
		if len(w.blocks) > watched {
			w.blocks = w.blocks[1:]
		}
	} else {
		w.voids++
	}
	w.block = Block{Arm: Operator}
}

// watched is how many blocks a Watch keeps.
const watched = 100

// Watch estimates beforehand, from what a daemon sees while no experiment runs. Weights may change meanwhile: that is
// in the spread.
type Watch struct {
	Plan   Plan // with its defaults
	block  Block
	blocks []Block
	voids  int
}

// Power is the estimate; nil: too little was seen.
func (w *Watch) Power() *Power {
	p := w.Plan
	if p.Measure == ART {
		p.Measure = Mean // deadlines are learned by the experiment
	}
	out, err := ahead(p, w.blocks, w.voids)
	if err != nil {
		return nil
	}
	return out
}
