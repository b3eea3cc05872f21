package fleet

import (
	"errors"
	"strings"
	"testing"
	"time"

	"trimtab/control"
	"trimtab/vts"
	"trimtab/weights"
)

// talk is a link by which a test speaks to a node.
type talk struct {
	plan     Plan
	at       time.Time
	any      bool
	sent     []Sample
	students map[uint64]*Student
}

func (l *talk) Send(s Sample)                   { l.sent = append(l.sent, s) }
func (l *talk) Heard() (Plan, time.Time, bool)  { return l.plan, l.at, l.any }
func (l *talk) Student(version uint64) *Student { return l.students[version] }
func (l *talk) Boot() string                    { return "boot" }
func (l *talk) Next() uint64                    { return uint64(len(l.sent) + 1) }
func (l *talk) say(p Plan, at time.Time)        { l.plan, l.at, l.any = p, at, true }

// wish is a local policy that wants the same every time.
type wish struct{ control.Fixed }

func (*wish) Observe(vts.Sample, weights.Set) {}

func pair(a, b int) weights.Set {
	return weights.Set{"u": {"a": {Weight: weights.Clamp(a)}, "b": {Weight: weights.Clamp(b)}}}
}

type rig struct {
	t       *testing.T
	node    *Node
	link    *talk
	now     time.Time
	inForce weights.Set
}

func newRig(t *testing.T, limits Limits) *rig {
	t.Helper()
	r := &rig{t: t, link: &talk{students: map[uint64]*Student{}}, now: noon, inForce: pair(1, 1)}
	local := &wish{control.Fixed{Decision: control.Decision{Weights: pair(7, 1), Reason: "local"}}}
	var err error
	r.node, err = NewNode(NodeConfig{Name: "n", Local: local, Link: r.link, Limits: limits, Clock: func() time.Time { return r.now }})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// step is an interval in which the servers answered as given, and puts in force what the node decides.
func (r *rig) step(failsOfA float64, ms uint64) Mode {
	r.now = r.now.Add(3 * time.Second)
	s := sampleOf("n", 1, r.now, 100, 100)
	fails := uint64(100 * failsOfA)
	v, _ := Sum(partsOf(s), r.now, 3*time.Second)
	v.Groups[0].Peers[0].Responses = vts.Responses{1: 100 - fails, 4: fails}
	for i := range v.Groups[0].Peers {
		v.Groups[0].Peers[i].ResponseMsec = 100 * ms
	}
	r.node.Observe(v, r.inForce)
	for name, g := range r.node.Choose().Weights {
		r.inForce[name] = g
	}
	return r.node.Status().Mode
}

func (r *rig) tell(epoch, seq uint64, w weights.Set) {
	r.link.say(Plan{Schema: Schema, Epoch: epoch, Seq: seq, IssuedMS: r.now.UnixMilli(), Weights: w}, r.now)
}

func TestNodeFollowsPlansInTheirOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t, Limits{})
	if m := r.step(0, 20); m != Alone || !r.inForce.Equal(pair(7, 1)) {
		t.Errorf("before any plan: got mode %s and %v, want what the node does alone", m, r.inForce)
	}
	for _, c := range []struct {
		name       string
		epoch, seq uint64
		plan, want weights.Set
	}{
		{"the first plan", 5, 1, pair(1, 2), pair(1, 2)},
		{"the next", 5, 2, pair(1, 3), pair(1, 3)},
		{"an old one that comes late", 5, 1, pair(1, 2), pair(1, 3)},
		{"one of a centre that was replaced", 4, 9, pair(9, 1), pair(1, 3)},
		{"one of the next centre", 6, 1, pair(1, 4), pair(1, 4)},
	} {
		r.tell(c.epoch, c.seq, c.plan)
		if m := r.step(0, 20); m != Led || !r.inForce.Equal(c.want) {
			t.Errorf("%s: got mode %s and %v, want %v", c.name, m, r.inForce, c.want)
		}
	}
	if last := r.link.sent[len(r.link.sent)-1]; last.Epoch != 6 || last.Plan != 1 {
		t.Errorf("the node says that it follows %d.%d, want 6.1", last.Epoch, last.Plan)
	}
}

func TestNodeThatIsCutOff(t *testing.T) {
	t.Parallel()
	r := newRig(t, Limits{})
	r.link.students[3] = &Student{Version: 3, Groups: []string{"u"}, Rows: []Lesson{
		{RatePerSec: []float64{10}, Weights: pair(1, 1)}, {RatePerSec: []float64{70}, Weights: pair(1, 5)}}}
	r.tell(1, 1, pair(1, 3))
	r.link.plan.Policy, r.link.plan.RatePerSec = Stage{Stable: 3}, map[string]float64{"u": 66.7}
	r.step(0, 20)
	if m := r.step(0, 20); m != Led || !r.inForce.Equal(pair(1, 3)) {
		t.Fatalf("got mode %s and %v, want the plan", m, r.inForce)
	}
	for range 10 {
		r.step(0, 20)
	}
	if m := r.step(0, 20); m != Pupil || !r.inForce.Equal(pair(1, 5)) {
		t.Errorf("cut off: got mode %s and %v, want what the student says of this load", m, r.inForce)
	}
	for range 30 { // five times as slow as it was under the plan
		r.step(0, 100)
	}
	if m := r.step(0, 100); m != Alone || !r.inForce.Equal(pair(7, 1)) {
		t.Errorf("cut off and slow: got mode %s and %v, want what the node does alone", m, r.inForce)
	}
	r.tell(1, 2, pair(2, 3))
	if m := r.step(0, 20); m != Led || !r.inForce.Equal(pair(2, 3)) {
		t.Errorf("healed: got mode %s and %v, want the new plan", m, r.inForce)
	}
}

func TestNodeGuardsItselfAgainstAServerThatFails(t *testing.T) {
	t.Parallel()
	r := newRig(t, Limits{})
	r.tell(1, 1, pair(6, 2))
	r.step(0, 20)
	r.tell(1, 1, pair(6, 2))
	r.step(0.9, 20)
	if !r.inForce.Equal(pair(1, 2)) {
		t.Errorf("got %v, want next to nothing for the server that fails here", r.inForce)
	}
	for range 11 {
		r.tell(1, 1, pair(6, 2))
		r.step(0, 20)
	}
	if !r.inForce.Equal(pair(6, 2)) {
		t.Errorf("got %v, want the plan again", r.inForce)
	}
}

func TestNodeChecksPlans(t *testing.T) {
	t.Parallel()
	down := pair(1, 1)
	down["u"]["a"] = weights.Setting{Down: true}
	allDown := weights.Set{"u": {"a": {Down: true}, "b": {Down: true}}}
	other := weights.Set{"u": {"a": {}, "c": {}}}
	most := Limits{Share: func(_, server string) weights.Limits {
		if server == "a" {
			return weights.Limits{Max: 0.3}
		}
		return weights.Limits{}
	}}
	for _, c := range []struct {
		name   string
		plan   Plan
		limits Limits
		want   error
	}{
		{"a plan like any other", Plan{Weights: pair(1, 2)}, Limits{}, nil},
		{"one of an hour ago", Plan{Weights: pair(1, 2), IssuedMS: noon.Add(-time.Hour).UnixMilli()}, Limits{}, ErrStalePlan},
		{"one of an hour ahead", Plan{Weights: pair(1, 2), IssuedMS: noon.Add(time.Hour).UnixMilli()}, Limits{}, ErrFuturePlan},
		{"one for another node", Plan{Node: "m", Weights: pair(1, 2)}, Limits{}, ErrOtherPlan},
		{"one for all but this node", Plan{Apart: []string{"n"}, Weights: pair(1, 2)}, Limits{}, ErrOtherPlan},
		{"other servers", Plan{Weights: other}, Limits{}, ErrBeyondLimit},
		{"every server down", Plan{Weights: allDown}, Limits{Eject: true}, ErrBeyondLimit},
		{"a server down where that is not allowed", Plan{Weights: down}, Limits{}, ErrBeyondLimit},
		{"a server down where it is", Plan{Weights: down}, Limits{Eject: true}, nil},
		{"more than the operator allows", Plan{Weights: pair(2, 1)}, most, ErrBeyondLimit},
		{"just as much as he allows", Plan{Weights: pair(3, 7)}, most, nil},
		{"another weight of a server that is the operator's", Plan{Weights: pair(1, 2)},
			Limits{Keep: func(string, string) bool { return true }}, ErrBeyondLimit},
		{"a group that is not tuned here", Plan{Weights: weights.Set{"other": {"x": {}}}}, Limits{}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.plan.IssuedMS == 0 {
				c.plan.IssuedMS = noon.UnixMilli()
			}
			if err := c.limits.Check(&c.plan, "n", pair(1, 1), noon); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestCentreKeepsTheLimitsOfNodes(t *testing.T) {
	t.Parallel()
	policy := &wish{control.Fixed{Decision: control.Decision{Weights: pair(9, 1)}}}
	c, err := NewCentre(CentreConfig{Policy: policy, Epoch: 1})
	if err != nil {
		t.Fatal(err)
	}
	c.Meet(Hello{Schema: Schema, Node: "tight", Shares: map[string]map[string]weights.Limits{"u": {"a": {Max: 0.5}}}})
	c.Meet(Hello{Schema: 1, Node: "old"})
	for _, name := range []string{"tight", "old", "free"} {
		if q := c.Receive(sampleOf(name, 1, noon, 50, 50), noon); q != nil {
			t.Fatal(q)
		}
	}
	plans := c.Step(noon)
	if len(plans) != 3 || len(plans[0].Apart) != 2 || !plans[0].Weights.Equal(pair(9, 1)) {
		t.Fatalf("got %+v, want one plan for all and two for single nodes", plans)
	}
	for _, p := range plans[1:] {
		switch p.Node {
		case "tight":
			if s := p.Weights["u"].Shares()["a"]; s > 0.5 {
				t.Errorf("a node that allows a share of 0.5 is told %.2f", s)
			}
		case "old":
			if p.Schema != 1 || !p.Weights.Equal(pair(9, 1)) {
				t.Errorf("got %+v, want the plan as version 1 has it", p)
			}
		}
	}
}

func TestDecisionsCountOnceNodesOfHalfTheLoadFollow(t *testing.T) {
	t.Parallel()
	policy := &counting{wish: wish{control.Fixed{Decision: control.Decision{Weights: pair(3, 1)}}}}
	c, err := NewCentre(CentreConfig{Policy: policy, Epoch: 1})
	if err != nil {
		t.Fatal(err)
	}
	at := noon
	for seq := uint64(1); seq <= 4; seq++ {
		for i, name := range []string{"one", "two", "three"} {
			s := sampleOf(name, seq, at, 60, 20)
			if seq >= 3 && i < 2 { // two of three
				s.Groups[0].Weights = []int{3, 1}
			}
			c.Receive(s, at)
		}
		c.Step(at)
		if want := seq >= 3; (policy.n > 0) != want {
			t.Errorf("interval %d: %d commitments, want any: %t", seq, policy.n, want)
		}
		at = at.Add(3 * time.Second)
	}
}

func TestNodesThatFollowOneByOneAreNobodysEdit(t *testing.T) {
	t.Parallel()
	policy := &counting{wish: wish{control.Fixed{Decision: control.Decision{Weights: pair(3, 1)}}}}
	c, err := NewCentre(CentreConfig{Policy: policy, Epoch: 1})
	if err != nil {
		t.Fatal(err)
	}
	at := noon
	for seq := uint64(1); seq <= 5; seq++ {
		for i, name := range []string{"one", "two", "three", "four", "five"} {
			s := sampleOf(name, seq, at, 60, 20)
			if seq > uint64(i)+1 { // one more in each interval
				s.Groups[0].Weights = []int{3, 1}
			}
			c.Receive(s, at)
		}
		c.Step(at)
		want, told := pair(1, 1), policy.told
		if seq >= 4 { // three of five
			want = pair(3, 1)
		}
		if !told.Equal(want) || want.Equal(pair(3, 1)) != (policy.n > 0) {
			t.Errorf("interval %d: the policy is told %v after %d commitments, want %v", seq, told, policy.n, want)
		}
		at = at.Add(3 * time.Second)
	}
}

// counting counts commitments.
type counting struct {
	wish
	n    int
	told weights.Set
}

func (c *counting) Observe(_ vts.Sample, in weights.Set) { c.told = in }

func (c *counting) Committed(control.Receipt) { c.n++ }

func TestRollout(t *testing.T) {
	t.Parallel()
	nodes := []string{"n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8"}
	for _, c := range []struct {
		name   string
		worse  float64 // factor of the cost at nodes that try it
		others float64 // of that at all, which is nobody's fault
		stable uint64  // in the end
		halted string
	}{
		{"one that costs the same comes to all", 1, 1, 2, ""},
		{"one that helps comes to all", 0.8, 1, 2, ""},
		{"one that costs 40 % more is taken back at the first node", 1.4, 1, 1, "at n1"},
		{"one that ruins a node is taken back at once", 20, 1, 1, "at n1"},
		{"what all nodes pay is not its fault", 1, 3, 2, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := NewRollout(RolloutConfig{}, 1)
			costs := func() map[string]float64 {
				out := map[string]float64{}
				for i, n := range nodes {
					out[n] = 20 + float64(i)
					if r.Stage().Candidate > 0 {
						out[n] *= c.others
					}
					if _, trial := r.Stage().Of(n); trial {
						out[n] *= c.worse
					}
				}
				return out
			}
			for range 20 {
				r.Step(costs(), 3*time.Second)
			}
			if !r.Begin(2, "n1") || r.Begin(3, "n1") {
				t.Fatal("want one candidate at a time")
			}
			most := 0
			for range 60 {
				trials := 0
				for _, n := range nodes {
					if _, trial := r.Stage().Of(n); trial {
						trials++
					}
				}
				most = max(most, trials)
				r.Step(costs(), 3*time.Second)
			}
			_, why := r.Halted()
			if r.Stage().Stable != c.stable || r.Stage().Candidate != 0 || !strings.HasPrefix(why, c.halted) || (why == "") != (c.halted == "") {
				t.Errorf("got %+v, halted %q, want version %d, halted %q", r.Stage(), why, c.stable, c.halted)
			}
			if most > len(nodes)/2+1 {
				t.Errorf("%d of %d nodes tried it at once", most, len(nodes))
			}
		})
	}
}

func BenchmarkStudent(b *testing.B) {
	b.ReportAllocs()
	s := &Student{Version: 1, Groups: []string{"u"}}
	for i := range lessons() {
		s.Rows = append(s.Rows, Lesson{RatePerSec: []float64{float64(10 * (i + 1))}, Weights: pair(1, i+1)})
	}
	v, _ := Sum(partsOf(sampleOf("n", 1, noon, 100, 100)), noon, 3*time.Second)
	for b.Loop() {
		s.Decide(&v, 0.1)
	}
}
