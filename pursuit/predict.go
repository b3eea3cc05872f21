package pursuit

import (
	"math"

	"trimtab/objective"
	"trimtab/tuner/plan"
	"trimtab/tuner/queueing"
)

// forecastHorizon is the time over which a queue beyond full use grows in a prediction, s.
const forecastHorizon = 20.0

// chance is by how much the delay of a service differs from interval to interval: its standard deviation, and what the
// worst of several paths is later than each on average, s.
type chance struct{ sd, worst float64 }

// Predict says by the formulas of package tuner/queueing what a setting gives over intervals of so many seconds, and
// what is chance. Servers are queues of several slots that all services share (Sakasegawa 1977 with Allen and Cunneen);
// what a round robin of a stream with the squared coefficient of variation ca² sends a server with the share x has
// ca²·x, and what a blocking share b leaves of a stream has (1−b)·ca²+b.
func (w *World) Predict(s *Setting, terms map[string]objective.Terms, seconds float64) (out objective.Outcome,
	luck []chance) {
	n := len(w.Services)
	out = objective.Outcome{Services: make([]objective.Service, n), Capacity: w.capacity(s)}
	luck = make([]chance, n)
	shares := make([][]float64, n)
	admitted, regular := make([]float64, n), make([]float64, n)
	for k := range w.Services {
		v := &w.Services[k]
		shares[k] = w.share(s, k)
		admitted[k] = v.OfferedPerSec * (1 - s.Blocked[k])
		regular[k] = (1-s.Blocked[k])*scvOf(v.Arrival) + s.Blocked[k]
		out.Services[k] = objective.Service{Name: v.Name, OfferedPerSec: v.OfferedPerSec, CarriedPerSec: admitted[k]}
	}
	paths := make([]int, n)
	for j := range w.Servers {
		srv := &w.Servers[j]
		rate, work, square, arrivals, aware := 0.0, 0.0, 0.0, 0.0, false
		for k := range w.Services {
			for i, l := range w.Services[k].Links {
				if l.Server != j || shares[k][i] <= 0 || admitted[k] <= 0 {
					continue
				}
				r := admitted[k] * shares[k][i]
				rate += r
				work += r * srv.ServiceSec[k]
				square += r * srv.ServiceSec[k] * srv.ServiceSec[k] * (1 + srv.SCV)
				arrivals += r * regular[k] * shares[k][i]
				aware = aware || w.Services[k].Method.LoadAware()
			}
		}
		if rate <= 0 {
			continue
		}
		c := float64(w.slots(s, j))
		mean, rho := work/rate, work/c
		flow := queueing.Flow{Arrivals: arrivals / rate, Service: math.Max(square*rate/work/work-1, 0)}
		if aware {
			flow = plan.FlowTo(plan.LeastConn, 0, srv.SCV)
		}
		wait, _ := queueing.Planned(rho, c, mean, flow, forecastHorizon)
		// Waits of one interval go together: their mean is known as if there were fewer.
		spread := wait * wait * (2/math.Max(math.Min(rho, 1), 0.05) - 1) * (1 + rho) / math.Max(1-rho, 0.05)
		for k := range w.Services {
			for i, l := range w.Services[k].Links {
				if l.Server != j || shares[k][i] <= 0 || admitted[k] <= 0 {
					continue
				}
				service := srv.ServiceSec[k]
				own := srv.SCV*service*service + spread
				d := service + wait
				if q := terms[w.Services[k].Name].Quantile; q > 0 {
					d = objective.LognormalQuantile(d, srv.SCV*service*service+wait*wait*(2/math.Max(math.Min(rho, 1),
						0.05)-1), q)
				}
				o := &out.Services[k]
				if rho > 1 {
					o.CarriedPerSec -= admitted[k] * shares[k][i] * (1 - 1/rho)
				}
				if t := terms[o.Name].Deadline.Seconds(); t > 0 {
					o.Tardiness += shares[k][i] * objective.Tardiness(service+wait, own, t)
				}
				if d > o.DelaySec {
					o.DelaySec = d
					luck[k].sd = math.Sqrt(own / math.Max(1, admitted[k]*shares[k][i]*seconds))
				}
				paths[k]++
			}
		}
	}
	for k := range luck {
		if paths[k] > 1 {
			luck[k].worst = worstOfTwo * luck[k].sd
		}
	}
	return out, luck
}

// worstOfTwo is the mean of the larger of two standard normal deviates, 1/√π.
const worstOfTwo = 0.5642

// scvOf is the squared coefficient of variation of the times between arrivals of a kind.
func scvOf(arrival string) float64 {
	switch arrival {
	case "fixed":
		return 0
	case "norm":
		return normCV * normCV
	}
	return 1
}

// normCV is the coefficient of variation of the kind norm.
const normCV = 0.3

// expected is the mean reward of an outcome whose delays differ by chance from interval to interval: Gauss and
// Hermite's three points, the same for all services.
func expected(o objective.Objective, out objective.Outcome, luck []chance) float64 {
	sum := 0.0
	delays := make([]float64, len(out.Services))
	for k := range delays {
		delays[k] = out.Services[k].DelaySec
	}
	for _, p := range [...]struct{ z, weight float64 }{{-math.Sqrt(3), 1.0 / 6}, {0, 2.0 / 3},
		{math.Sqrt(3), 1.0 / 6}} {
		for k := range delays {
			out.Services[k].DelaySec = math.Max(0, delays[k]+luck[k].worst+p.z*luck[k].sd)
		}
		sum += p.weight * o.Reward(out)
	}
	for k := range delays {
		out.Services[k].DelaySec = delays[k]
	}
	return sum
}
