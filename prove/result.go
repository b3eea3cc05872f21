package prove

import (
	"maps"
	"math"
	"slices"
	"time"
)

// Verdict is what the experiment found.
type Verdict string

// The verdicts.
const (
	Better Verdict = "better" // tuned weights are better
	Worse  Verdict = "worse"  // tuned weights are worse
	// the interval of the measure that decides holds differences that nobody minds
	None    Verdict = "no_difference_found"
	TooFew  Verdict = "too_little" // too few blocks count to say anything
	Stopped Verdict = "stopped"    // by the operator, before anything was clear
)

// Effect is what tuned weights do to a measure.
type Effect struct {
	Measure  Measure `json:"measure"`
	Upstream string  `json:"upstream,omitempty"` // empty: all together
	// mean over the blocks, geometric where arms are compared by their ratio
	Operator float64 `json:"operator"`
	Tuned    float64 `json:"tuned"`
	// Change and its interval: relative (−0.2 is 20 % lower), or for errors, tardiness and capacity the difference. The
	// interval is null while there are too few pairs.
	Relative bool     `json:"relative"`
	Change   float64  `json:"change"`
	Low      *float64 `json:"low"`
	High     *float64 `json:"high"`
	Pairs    int      `json:"pairs"`
	// Found says that the interval holds nothing within the margin.
	Found bool `json:"found"`
}

// Result is what is known by now.
type Result struct {
	*Experiment
	Verdict  Verdict  `json:"verdict"`
	Decides  Effect   `json:"decides"`
	Effects  []Effect `json:"effects"`
	PerGroup []Effect `json:"effects_by_upstream,omitempty"`
	// the measure that decides, with the operator's weights of before
	Earlier []Effect `json:"earlier_stages,omitempty"`
	Power   *Power   `json:"power,omitempty"`
	At      float64  `json:"measured_s"`
}

// Result evaluates what was measured so far. Pairs of the last stage count.
func (x *Experiment) Result() Result {
	st := x.stage()
	pairs := st.whole()
	r := Result{Experiment: x}
	for i := range pairs {
		r.At += pairs[i].First.Seconds + pairs[i].Second.Seconds
	}
	for _, m := range []Measure{P99, Mean, ART, Errors, Used, InFlight} {
		if e, ok := effect(pairs, m, "", st.Deadlines, x.Plan); ok {
			r.Effects = append(r.Effects, e)
		}
	}
	i := slices.IndexFunc(r.Effects, func(e Effect) bool { return e.Measure == x.Plan.Measure })
	if i < 0 { // as p99 of a page without a histogram
		i = slices.IndexFunc(r.Effects, func(e Effect) bool { return e.Measure == Mean })
	}
	if i >= 0 {
		r.Decides = r.Effects[i]
	} else {
		r.Decides = Effect{Measure: x.Plan.Measure, Relative: x.Plan.Measure.relative()}
	}
	if len(pairs) > 0 {
		for _, name := range slices.Sorted(maps.Keys(pairs[0].First.Groups)) {
			if e, ok := effect(pairs, r.Decides.Measure, name, st.Deadlines, x.Plan); ok {
				r.PerGroup = append(r.PerGroup, e)
			}
		}
	}
	for i := range x.Stages[:len(x.Stages)-1] {
		s := &x.Stages[i]
		if e, ok := effect(s.whole(), r.Decides.Measure, "", s.Deadlines, x.Plan); ok {
			r.Earlier = append(r.Earlier, e)
		}
	}
	r.Power = power(x.Plan, differences(pairs, r.Decides.Measure, "", st.Deadlines), r.Decides)
	r.Verdict = x.judge(st, r.Decides)
	return r
}

func (x *Experiment) judge(st *Stage, e Effect) Verdict {
	switch {
	case st.Breaks >= mostBreaks:
		return Worse
	case e.Found && e.Change < 0:
		return Better
	case e.Found:
		return Worse
	case x.Over == Stopped:
		return Stopped
	case e.Pairs < x.Plan.LeastPairs:
		return TooFew
	}
	return None
}

// differences of tuned less operator, one for each pair that has both.
func differences(pairs []Pair, m Measure, upstream string, deadlines map[string]float64) []float64 {
	var out []float64
	for i := range pairs {
		operator, tuned := arms(&pairs[i])
		a, b := operator.Value(m, upstream, deadlines), tuned.Value(m, upstream, deadlines)
		if m.relative() {
			a, b = math.Log(a), math.Log(b)
		}
		if d := b - a; !math.IsNaN(d) && !math.IsInf(d, 0) {
			out = append(out, d)
		}
	}
	return out
}

func arms(p *Pair) (operator, tuned *Block) {
	if p.First.Arm == Operator {
		return &p.First, p.Second
	}
	return p.Second, &p.First
}

// effect is that of a measure; false: it is not known in any pair.
func effect(pairs []Pair, m Measure, upstream string, deadlines map[string]float64, p Plan) (Effect, bool) {
	e := Effect{Measure: m, Upstream: upstream, Relative: m.relative()}
	d := differences(pairs, m, upstream, deadlines)
	if len(d) == 0 {
		return e, false
	}
	for i := range pairs {
		operator, tuned := arms(&pairs[i])
		a, b := operator.Value(m, upstream, deadlines), tuned.Value(m, upstream, deadlines)
		if m.relative() {
			a, b = math.Log(a), math.Log(b)
		}
		if v := b - a; !math.IsNaN(v) && !math.IsInf(v, 0) {
			e.Operator += a / float64(len(d))
			e.Tuned += b / float64(len(d))
		}
	}
	mean, sd := spread(d)
	half := sequence(len(d), p.Alpha) * sd / math.Sqrt(float64(len(d)))
	low, high := mean-half, mean+half
	if m.relative() {
		e.Operator, e.Tuned = math.Exp(e.Operator), math.Exp(e.Tuned)
		mean, low, high = math.Expm1(mean), math.Expm1(low), math.Expm1(high)
	}
	e.Change, e.Pairs = mean, len(d)
	if !math.IsNaN(low) && !math.IsInf(low, 0) && !math.IsInf(high, 0) {
		e.Low, e.High = &low, &high
		margin := math.Max(0, p.Margin)
		if !e.Relative {
			margin *= math.Abs(e.Operator)
		}
		e.Found = half > 0 && (low > margin || high < -margin)
	}
	return e, true
}

// Power says what the experiment can see.
type Power struct {
	SD     float64 `json:"sd_of_a_pair"` // of the measure that decides, in logarithms where it is relative
	Pairs  int     `json:"pairs"`        // that the standard deviation is known from
	Seen   float64 `json:"effect"`       // the effect asked for
	Needed int     `json:"pairs_needed"` // to see it in four of five experiments; 0: more than can be counted
	Hours  float64 `json:"hours_needed"`
	// the least effect that is seen in four of five experiments of the planned length
	Sees    float64 `json:"sees_in_time"`
	Planned float64 `json:"hours_planned"`
}

// seen is the effect that power estimates ask for: 5 %.
const seen = 0.05

// fourInFive is the quantile of the normal distribution that adds up to a power of 80 %.
const fourInFive = 0.8416

// power estimates from the differences that were measured; nil: too few.
func power(p Plan, d []float64, e Effect) *Power {
	if len(d) < 3 {
		return nil
	}
	_, sd := spread(d)
	want := seen
	if e.Relative {
		want = math.Log1p(seen)
	} else if e.Operator > 0 {
		want = seen * e.Operator
	}
	return powerOf(p, sd, len(d), want, e.Relative)
}

func powerOf(p Plan, sd float64, pairs int, want float64, relative bool) *Power {
	if !(sd > 0) {
		return nil
	}
	pair := 2 * (p.Block + p.washOut())
	out := &Power{SD: sd, Pairs: pairs, Seen: seen, Planned: p.Duration.Hours()}
	least := func(n int) float64 { return (sequence(n, p.Alpha) + fourInFive) * sd / math.Sqrt(float64(n)) }
	const most = 1 << 20
	low, high := 1, most
	for high-low > 1 {
		if mid := (low + high) / 2; least(mid) <= want {
			high = mid
		} else {
			low = mid
		}
	}
	if high < most {
		out.Needed, out.Hours = high, (time.Duration(high) * pair).Hours()
	}
	if n := p.pairs(); n >= 2 && !math.IsInf(least(n), 0) {
		out.Sees = least(n)
		if relative {
			out.Sees = -math.Expm1(-out.Sees)
		}
	}
	return out
}
