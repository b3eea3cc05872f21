package tuner

import (
	"fmt"
	"math"
	"slices"
	"time"

	"trimtab/control"
	"trimtab/objective"
	"trimtab/tuner/estimate"
	"trimtab/tuner/forecast"
	"trimtab/tuner/gate"
	"trimtab/tuner/learn"
	"trimtab/tuner/load"
	"trimtab/vts"
	"trimtab/weights"
)

// Standing is where a tuner stands between two intervals, beside what it has learned: who is ejected and until when,
// what is left of the budget, whose the weights are, what is on its way to be noticed. A tuner that is restored with it
// decides as if it had never stopped, as long as the groups and servers are the same; else who fails or is ejected is
// all that is taken over. A forecast that waits to be judged, what was observed towards the next fit of regimes, and
// how novel the last intervals were to the present ones are lost.
type Standing struct {
	At         time.Time      `json:"at"` // of the last sample
	ElapsedSec float64        `json:"elapsed_s"`
	Changes    float64        `json:"changes_left"` // below 0: lent in an emergency
	Pools      []PoolStanding `json:"pools"`
}

// PoolStanding is where groups that share servers stand.
type PoolStanding struct {
	Gate          gate.State       `json:"gate"`
	QuietSec      float64          `json:"quiet_s"`
	QuietPerSec   []float64        `json:"quiet_per_s"`
	TypicalSec    []float64        `json:"typical_s"`
	ForecastScore forecast.Score   `json:"forecast_score"`
	Visit         Visit            `json:"visit"`
	Groups        []GroupStanding  `json:"groups"`
	Servers       []ServerStanding `json:"servers"`
}

// GroupStanding is where one group stands.
type GroupStanding struct {
	Name string    `json:"name"`
	Rate load.Rate `json:"rate"`
	course
	LearnedRequests float64        `json:"learned_requests"` // behind the deadline
	LearnedSum      float64        `json:"learned_sum_s"`
	LearnedSquare   float64        `json:"learned_square_s2"`
	ledger                         // whose the weights are
	Links           []LinkStanding `json:"links"`
}

// LinkStanding is where one server of one group stands.
type LinkStanding struct {
	Server string `json:"server"`
	linkState
}

// ServerStanding is where one server stands.
type ServerStanding struct {
	Address string            `json:"address"`
	Groups  []string          `json:"groups"`
	Known   estimate.Standing `json:"known"`
}

// standing returns where the tuner stands.
func (t *Tuner) standing() *Standing {
	s := &Standing{At: t.explain.At, ElapsedSec: t.elapsed, Changes: t.budget.Level}
	if t.budget.Unlimited { // nothing was spent
		s.Changes = t.budget.Most
	}
	for _, p := range t.pools {
		ps := PoolStanding{Gate: p.gate, QuietSec: p.quietSec, QuietPerSec: slices.Clone(p.quiet),
			TypicalSec:    slices.Clone(p.typical),
			ForecastScore: p.outlook.score, Visit: p.experience.standing()}
		for _, g := range p.groups {
			gs := GroupStanding{Name: g.name, Rate: g.rate, course: g.course, LearnedRequests: g.learned.N,
				LearnedSum: g.learned.Sum, LearnedSquare: g.learned.Square, ledger: g.ledger.clone()}
			for _, l := range g.links {
				gs.Links = append(gs.Links, LinkStanding{l.server.address, l.linkState})
			}
			ps.Groups = append(ps.Groups, gs)
		}
		for _, sv := range p.servers {
			ps.Servers = append(ps.Servers, ServerStanding{Address: sv.address, Groups: names(sv.groups),
				Known: sv.known.Standing()})
		}
		s.Pools = append(s.Pools, ps)
	}
	return s
}

// check reports what is wrong with a standing.
func (s *Standing) check() error {
	if !sound(s.ElapsedSec, math.Abs(s.Changes)) {
		return fmt.Errorf("standing after %v s with %v changes left: not usable", s.ElapsedSec, s.Changes)
	}
	for i := range s.Pools {
		if err := s.Pools[i].check(); err != nil {
			return err
		}
	}
	return nil
}

func (p *PoolStanding) check() error {
	if !sound(p.Gate.LastedSec, p.Gate.SinceSec, p.Gate.IdleSec, float64(p.Gate.Changes), p.QuietSec) ||
		!sound(p.QuietPerSec...) ||
		!sound(p.TypicalSec...) {
		return fmt.Errorf("standing of a pool with %+v: not usable", p.Gate)
	}
	if err := p.ForecastScore.Check(); err != nil {
		return err
	}
	if v := p.Visit; !sound(v.Sec, math.Abs(v.Sum)) || v.Regime >= 0 && !slices.Contains(learn.Actions(), v.Action) {
		return fmt.Errorf("standing with a visit of %v s and the action %q: not usable", v.Sec, v.Action)
	}
	for _, g := range p.Groups {
		if !sound(g.Rate.Mean, g.Rate.Sec, g.course.Variance, g.course.Seconds, math.Abs(g.course.Log), g.LearnedRequests,
			g.LearnedSum, g.LearnedSquare) {
			return fmt.Errorf("standing of group %s: not usable", g.Name)
		}
		for _, l := range g.Links {
			if !soundTally(l.Tally) || !soundTally(l.Suspect) ||
				!sound(l.tail.Requests, l.tail.Sum, l.Eject.SinceSec, l.Eject.WaitSec) {
				return fmt.Errorf("standing of server %s in group %s: not usable", l.Server, g.Name)
			}
		}
	}
	for _, sv := range p.Servers {
		if err := sv.Known.Check(len(sv.Groups)); err != nil {
			return fmt.Errorf("server %s: %w", sv.Address, err)
		}
	}
	return nil
}

// sound reports whether all are finite and none is negative.
func sound(x ...float64) bool {
	return !slices.ContainsFunc(x, func(v float64) bool { return !(v >= 0) || math.IsInf(v, 1) })
}

func soundTally(t vts.Tally) bool {
	return sound(t.Requests, t.ClientErrors, t.Errors, t.RequestMsec, t.ResponseMsec)
}

// longestGap is the longest time in seconds that passes while a tuner stands still: a clock may jump.
const longestGap = 24 * 3600

// resume makes the tuner stand where another one stood, at its first sample. The time since passes.
func (t *Tuner) resume(s *Standing, sample *vts.Sample) {
	since := sample.Interval.Seconds()
	if !s.At.IsZero() {
		since = max(since, min(sample.At.Sub(s.At).Seconds(), longestGap))
	}
	t.elapsed = s.ElapsedSec + since
	t.budget.Level = max(-t.budget.Most, min(t.budget.Most, s.Changes))
	t.budget.Advance(since)
	t.remember(s)
	for _, p := range t.pools {
		i := slices.IndexFunc(s.Pools, func(o PoolStanding) bool { return o.of(p) })
		if i < 0 {
			continue
		}
		from := &s.Pools[i]
		p.gate, p.quietSec = from.Gate, from.QuietSec
		if len(from.QuietPerSec) == len(p.groups) {
			p.quiet = slices.Clone(from.QuietPerSec)
		}
		if len(from.TypicalSec) == len(p.groups) {
			p.typical = slices.Clone(from.TypicalSec)
		}
		p.outlook.score = from.ForecastScore
		p.experience.resume(from.Visit)
		now := control.InForce(*sample)
		for j, g := range p.groups {
			if ours := g.resume(&from.Groups[j], now[g.name]); !ours {
				p.gate, p.quietSec = gate.State{}, 0
			}
		}
		for j, sv := range p.servers {
			sv.known.Resume(from.Servers[j].Known)
		}
	}
}

// of reports whether it is the standing of the groups and servers of a pool.
func (p *PoolStanding) of(own *pool) bool {
	return slices.EqualFunc(p.Groups, own.groups, func(a GroupStanding, b *group) bool {
		return a.Name == b.name && len(a.Links) == len(b.links) && !slices.ContainsFunc(a.Links, func(l LinkStanding) bool {
			return !slices.ContainsFunc(b.links, func(o *link) bool { return o.server.address == l.Server })
		})
	}) && slices.EqualFunc(p.Servers, own.servers, func(a ServerStanding, b *server) bool {
		return a.Address == b.address && slices.Equal(a.Groups, names(b.groups))
	})
}

// resume reports whether the weights in force are those that the tuner left. Else what is found is the operator's, as
// at any start.
func (g *group) resume(from *GroupStanding, now weights.Group) (ours bool) {
	g.rate, g.course = from.Rate, from.course
	g.learned = objective.Moments{N: from.LearnedRequests, Sum: from.LearnedSum, Square: from.LearnedSquare}
	if ours = now.Equal(from.InForce) || now.Equal(from.Asked); ours {
		g.ledger = from.ledger.clone()
	}
	return ours
}

// remember takes over who fails, hangs or is ejected, also where groups or servers are no longer those of the standing.
func (t *Tuner) remember(s *Standing) {
	known := map[[2]string]linkState{}
	for _, p := range s.Pools {
		for _, g := range p.Groups {
			for _, l := range g.Links {
				known[[2]string{g.Name, l.Server}] = l.linkState
			}
		}
	}
	for _, p := range t.pools {
		for _, g := range p.groups {
			for _, l := range g.links {
				if from, ok := known[[2]string{g.name, l.server.address}]; ok {
					l.linkState = from
				}
			}
		}
	}
}
