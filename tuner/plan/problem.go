package plan

import (
	"math"

	"trimtab/objective"
	"trimtab/tuner/estimate"
	"trimtab/tuner/params"
)

// Method is how NGINX balances an upstream group, as far as it decides what a weight does.
type Method string

// The methods. What is none of them is planned for as round robin.
const (
	RoundRobin Method = "round_robin"
	LeastConn  Method = "least_conn"
	LeastTime  Method = "least_time"
)

// LoadAware reports whether the method goes by the requests that servers hold.
func (m Method) LoadAware() bool { return m == LeastConn || m == LeastTime }

// Problem is what weights are sought for.
type Problem struct {
	Params  *params.Params
	Table   *objective.Table
	Beliefs []estimate.Belief // by server of the pool
	Groups  []Group
	// Demand are the loads that the plan is made for; empty: the present one.
	Demand []Demand
	// ErrorTardiness is what a failed request costs, in deadlines.
	ErrorTardiness float64
	Urgent         bool // a server is overloaded or fails: the present counts more
}

// Demand is a load that may come.
type Demand struct {
	Load        float64 `json:"load"` // in units of the present rates, or of RatePerSec
	Probability float64 `json:"probability"`
	// RatePerSec are requests per second by group; nil: the present ones.
	RatePerSec []float64 `json:"rate_per_s,omitempty"`
}

// Loads are those that a plan is made for where nothing is known of what comes: first a load with headroom, 1 being the
// present one, then those that nearly fill the servers that do not fail, as one group after the other grows and the
// others stay: what fits the present mix only fails when another crowd comes. In an emergency the first one weighs
// more. They are none where nobody asks, or nobody serves.
func (p *Problem) Loads(load float64) []Demand {
	capacity := p.Capacity()
	if math.IsInf(capacity, 1) || capacity <= 0 {
		return nil
	}
	crowded := p.Params.StressShare
	if p.Urgent {
		crowded = p.Params.UrgentStress
	}
	spare := p.Params.Stress - load/capacity // of all servers
	if spare <= 0 {
		return []Demand{{Load: load, Probability: 1}}
	}
	// Headroom ends where the servers are nearly full: there a plan would be made for a queue that is not there.
	out := []Demand{{Load: min(load*p.Params.Headroom, p.Params.Stress*capacity), Probability: 1 - crowded}}
	crowds := min(len(p.Groups), crowdsMost)
	for k := range crowds {
		d := Demand{Load: 1, Probability: crowded / float64(crowds), RatePerSec: make([]float64, len(p.Groups))}
		for g := range p.Groups {
			d.RatePerSec[g] = load * p.Groups[g].RatePerSec
			if g%crowds == k {
				d.RatePerSec[g] += spare * p.serves(g) / float64((len(p.Groups)-k+crowds-1)/crowds)
			}
		}
		out = append(out, d)
	}
	return out
}

// crowdsMost is how many loads that nearly fill the servers are planned for: where there are more groups, some grow
// together.
const crowdsMost = 4

// demand are the loads that the plan is made for.
func (p *Problem) demand() []Demand {
	if len(p.Demand) == 0 {
		return []Demand{{Load: 1, Probability: 1}}
	}
	return p.Demand
}

// rate is how many requests per second of a group the demand asks for.
func (p *Problem) rate(d *Demand, g int) float64 {
	if d.RatePerSec != nil {
		return d.Load * d.RatePerSec[g]
	}
	return d.Load * p.Groups[g].RatePerSec
}

// Group is one upstream group of a pool.
type Group struct {
	Method      Method
	RatePerSec  float64 // requests that arrive
	DeadlineSec float64
	SCV         float64 // squared coefficient of variation of service times
	Links       []Link  // its servers
}

// Link is one server of a group.
type Link struct {
	Server int  // index into Problem.Beliefs
	Class  int  // index of the group among the classes of that server
	Off    bool // takes no requests: down, or passed over by NGINX
	Needed bool // it fails, and the others cannot carry what it would refuse
}

// Shares are shares of requests by group and link; those of a group sum to 1.
type Shares [][]float64

// NewShares makes room for the shares of a problem.
func (p *Problem) NewShares() Shares {
	x := make(Shares, len(p.Groups))
	for g := range p.Groups {
		x[g] = make([]float64, len(p.Groups[g].Links))
	}
	return x
}

// normalise scales x to sum 1, and is equal over what is not off when there is nothing to scale.
func (g *Group) normalise(x []float64) {
	sum, live := 0.0, 0
	for i, l := range g.Links {
		if l.Off {
			x[i] = 0
			continue
		}
		live++
		sum += x[i]
	}
	for i, l := range g.Links {
		switch {
		case l.Off:
		case sum > 0:
			x[i] /= sum
		default:
			x[i] = 1 / float64(live)
		}
	}
}
