package arena

import (
	"fmt"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"

	"trimtab/deathstarbench"
)

// PlotDay draws the course of traces of one recurring world as PNG: the p99 of all over time, and below it the shares
// of the servers of one group in the first; the regimes are shaded.
func PlotDay(sc *deathstarbench.Scenario, group string, traces []*Trace) ([]byte, error) {
	var policies styles
	smooth := make([]*Trace, len(traces))
	for i, t := range traces {
		policies = append(policies, t.Policy)
		smooth[i] = perMinute(t)
	}
	course, err := policies.course(sc, sc.Name+": p99 of a minute's worst interval, regimes shaded", "p99, ms", smooth,
		func(p []Point, i int) float64 { return p[i].P99MS })
	if err != nil {
		return nil, err
	}
	plots := []*plot.Plot{course}
	for _, t := range traces {
		p, err := sharePlot(sc, group, t)
		if err != nil {
			return nil, err
		}
		plots = append(plots, p)
	}
	out, err := render(plots, 26*vg.Centimeter, vg.Length(len(plots))*6.5*vg.Centimeter, "png")
	if err != nil {
		return nil, fmt.Errorf("draw a day: %w", err)
	}
	return out, nil
}

// perMinute keeps the worst interval of every minute: hours have more intervals than a picture has columns.
func perMinute(t *Trace) *Trace {
	out := *t
	out.Points = nil
	for _, p := range t.Points {
		n := len(out.Points)
		if n > 0 && int(p.AtSec/60) == int(out.Points[n-1].AtSec/60) {
			if p.P99MS > out.Points[n-1].P99MS {
				out.Points[n-1] = p
			}
			continue
		}
		out.Points = append(out.Points, p)
	}
	return &out
}
