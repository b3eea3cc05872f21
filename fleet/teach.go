package fleet

import (
	"math"
	"slices"
	"time"

	"trimtab/vts"
	"trimtab/weights"
)

// Teacher is a policy that can say what it would plan for other loads than the present one.
type Teacher interface {
	// PlanFor returns the settings that would be planned for the given multiple of the present load; nil: it does not
	// know yet.
	PlanFor(load float64) weights.Set
}

// teaching says when the next student is due.
type teaching struct {
	steps    int     // since the start
	since    float64 // s since the last lesson
	reward   float64 // of late: minus the logarithm of the mean response time
	taught   float64 // the reward when the last student was made
	rates    []float64
	why      string
	observed bool
}

// When a student is made anew.
const (
	firstLesson = 30 * time.Second // of observation
	lessonEvery = 5 * time.Minute  // at most
	rewardSec   = 60.0             // memory of the reward
	rewardFalls = 0.25             // of the mean response time
	loadMoves   = 0.5              // of the logarithm: beyond half of the range of the lessons
	outdated    = 0.1              // of the requests would go elsewhere than the plan sends them
)

// lessons are the multiples of the present load that a student is taught.
func lessons() []float64 { return []float64{0.3, 0.5, 0.7, 0.85, 1, 1.15, 1.35, 1.6} }

// learn takes an interval in and makes a student when one is due: the first one, when rewards fall, when the load has
// moved, or when what is planned is no longer what the student would do.
func (c *Centre) learn(s *vts.Sample) {
	teacher, ok := c.policy.(Teacher)
	if !ok {
		return
	}
	t := &c.teach
	sec := s.Interval.Seconds()
	t.since += sec
	t.steps++
	ms, n := 0.0, 0.0
	for i := range s.Groups {
		for j := range s.Groups[i].Peers {
			p := &s.Groups[i].Peers[j]
			ms += float64(p.ResponseMsec) * (1 + failureCost*float64(p.Responses.Errors())/math.Max(1,
				float64(p.Requests)))
			n += float64(p.Requests)
		}
	}
	if n > 0 {
		r := -math.Log(math.Max(ms/n, 1e-3))
		if !t.observed {
			t.reward, t.observed = r, true
		}
		t.reward += (r - t.reward) * -math.Expm1(-sec/rewardSec)
	}
	if why := c.due(s); why != "" && c.rollout.Stage().Candidate == 0 {
		c.lesson(teacher, s, why)
	}
}

func (c *Centre) due(s *vts.Sample) string {
	t := &c.teach
	if c.student == nil {
		if float64(t.steps)*s.Interval.Seconds() >= firstLesson.Seconds() {
			return "the first"
		}
		return ""
	}
	if t.since < lessonEvery.Seconds() {
		return ""
	}
	if t.reward < t.taught-rewardFalls {
		return "rewards have fallen"
	}
	for i := range s.Groups {
		if i < len(t.rates) && math.Abs(math.Log((float64(s.Groups[i].Requests())+1)/(t.rates[i]+1))) > loadMoves {
			return "the load has moved"
		}
	}
	would := c.student.Decide(s, 1)
	for name, want := range c.plan.Weights {
		if moved(want, would[name]) > outdated {
			return "the plan has changed"
		}
	}
	return ""
}

// moved is the share of requests that go elsewhere under b than under a.
func moved(a, b weights.Group) float64 {
	x, y, sum := a.Shares(), b.Shares(), 0.0
	for server, share := range x {
		sum += math.Abs(share-y[server]) / 2
	}
	return sum
}

// lesson makes a student and puts it on trial at the node of median load.
func (c *Centre) lesson(teacher Teacher, s *vts.Sample, why string) {
	next := &Student{Version: c.version + 1}
	rates := make([]float64, len(s.Groups))
	for i := range s.Groups {
		next.Groups = append(next.Groups, s.Groups[i].Name)
		rates[i] = float64(s.Groups[i].Requests()) / s.Interval.Seconds()
	}
	for _, load := range lessons() {
		want := teacher.PlanFor(load)
		if len(want) == 0 {
			return
		}
		l := Lesson{Weights: want, RatePerSec: make([]float64, len(rates))}
		for i := range rates {
			l.RatePerSec[i] = rates[i] * load
		}
		next.Rows = append(next.Rows, l)
	}
	if !c.rollout.Begin(next.Version, c.canary()) {
		return
	}
	c.version, c.student = next.Version, next
	t := &c.teach
	t.since, t.taught, t.why = 0, t.reward, why
	t.rates = t.rates[:0]
	for i := range s.Groups {
		t.rates = append(t.rates, float64(s.Groups[i].Requests()))
	}
}

// canary is the node of median load among those that read students and have no limits of their own.
func (c *Centre) canary() string {
	var names []string
	for name, n := range c.nodes {
		if n.ratePerSec > 0 && len(n.hello.Shares) == 0 && (n.hello.Schema == 0 || n.hello.Schema >= Schema) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := c.nodes[a].ratePerSec - c.nodes[b].ratePerSec; d != 0 {
			return int(math.Copysign(1, d))
		}
		if a < b {
			return -1
		}
		return 1
	})
	return names[len(names)/2]
}

// Student is the newest one; nil: there is none.
func (c *Centre) Student() *Student { return c.student }
