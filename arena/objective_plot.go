package arena

import (
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"trimtab/deathstarbench"
)

// objectivePlots are the course of a run with an objective: the delay of each service with its bound, and below it what
// it carried of what was offered, the shares that were refused and that the first server was sent, and the capacity
// where it is a control. Intervals that the machine disturbed are left out.
func objectivePlots(sc *deathstarbench.Scenario, t *Trace) (out []*plot.Plot, err error) {
	line := func(p *plot.Plot, i int, name string, dashed bool, value func(*Point) float64) {
		var xy plotter.XYs
		for k := range t.Points {
			q := &t.Points[k]
			if q.Objective == nil || (Interval{Late: toDuration(q.Objective.LateMS),
				LateMost: toDuration(q.Objective.LateMostMS)}).Disturbed() {
				continue
			}
			if v := value(q); !math.IsNaN(v) {
				xy = append(xy, plotter.XY{X: q.AtSec, Y: v})
			}
		}
		if len(xy) == 0 {
			return
		}
		l, e := plotter.NewLine(xy)
		if e != nil {
			err = e
			return
		}
		l.LineStyle = lineStyle(i)
		if dashed { // darker, so that it is seen on the full line of the same colour
			l.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
			l.Color = darker(l.Color)
		}
		p.Add(l)
		p.Legend.Add(name, l)
	}
	panel := func(title, y string) *plot.Plot {
		p := newPlot(title, "s", y)
		p.X.Tick.Marker = timeTicks{}
		p.X.Min, p.X.Max = 0, sc.Duration.Std().Seconds()
		p.Y.Min = 0
		out = append(out, p)
		return p
	}
	delay := panel(sc.Name+", "+t.Policy+": delay of the slowest path", "ms")
	carried := panel("offered (dashed) and carried", "requests per s")
	shares := panel("share refused, and (dashed) sent to the first server", "share")
	shares.Y.Max = 1
	most := 0.0
	for i := range sc.Upstreams {
		u := &sc.Upstreams[i]
		service := func(q *Point) (delayMS, offered, carried float64) {
			for _, v := range q.Objective.Services {
				if v.Name == u.Name {
					return v.DelaySec * 1e3, v.OfferedPerSec, v.CarriedPerSec
				}
			}
			return math.NaN(), math.NaN(), math.NaN()
		}
		bound := u.Objective.Bound.Std().Seconds() * 1e3
		most = math.Max(most, bound)
		line(delay, i, u.Name, false, func(q *Point) float64 { d, _, _ := service(q); return d })
		line(delay, i, u.Name+", bound", true, func(*Point) float64 { return bound })
		line(carried, i, u.Name, false, func(q *Point) float64 { _, _, c := service(q); return c })
		line(carried, i, u.Name+", offered", true, func(q *Point) float64 { _, o, _ := service(q); return o })
		line(shares, i, u.Name+", refused", false, func(q *Point) float64 { return q.Objective.Levels.Blocked[u.Name] })
		if len(u.Servers) > 1 {
			line(shares, i, u.Name+", to "+u.Servers[0], true, func(q *Point) float64 {
				return q.Weights[u.Name].Shares()[u.Servers[0]]
			})
		}
	}
	delay.Y.Max = 2 * most // what is far beyond the bound is only beyond it
	for i := range sc.Servers {
		if sc.Servers[i].Capacity.Max == 0 {
			continue
		}
		if len(out) == 3 {
			panel("capacity", "units")
		}
		line(out[3], i, sc.Servers[i].Name, false, func(q *Point) float64 {
			return float64(q.Objective.Levels.Capacity[sc.Servers[i].Name])
		})
	}
	return out, err
}

// darker is a colour of half its light.
func darker(c color.Color) color.Color {
	r, g, b, a := c.RGBA()
	return color.RGBA64{R: uint16(r / 2), G: uint16(g / 2), B: uint16(b / 2), A: uint16(a)}
}
