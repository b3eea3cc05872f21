package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"

	"trimtab/objective"
	"trimtab/pursuit"
)

// drawTradeOff draws what the best setting carries over the bounds, in units of those asked for, a line for each
// capacity and one for the capacity that the objective chooses; the label of a point is the capacity in use where that
// is a control.
func drawTradeOff(out io.Writer, spec objective.Spec, points []pursuit.Point) error {
	p := plot.New()
	p.Title.Text = "Bound, carried load and capacity: objective " + spec.Kind
	p.Title.Padding = 2 * vg.Millimeter
	p.X.Label.Text = "bounds, as multiples of the given ones"
	p.Y.Label.Text = "carried, requests per second"
	p.Legend.Top, p.Legend.Padding = true, vg.Points(1)
	p.Legend.XOffs, p.Legend.YOffs = -vg.Points(4), -vg.Points(4)
	p.Add(plotter.NewGrid())
	offered := plotter.XYs{}
	var units []int
	for _, q := range points {
		if !slices.Contains(units, q.Units) {
			units = append(units, q.Units)
		}
	}
	for i, n := range units {
		var line plotter.XYs
		var labels []string
		for _, q := range points {
			if q.Units != n {
				continue
			}
			line = append(line, plotter.XY{X: q.Factor, Y: q.Carried})
			labels = append(labels, fmt.Sprintf("%.0f", q.Capacity))
			if i == 0 {
				offered = append(offered, plotter.XY{X: q.Factor, Y: q.Offered})
			}
		}
		l, dots, err := plotter.NewLinePoints(line)
		if err != nil {
			return fmt.Errorf("draw the trade-off: %w", err)
		}
		l.Color, dots.Color = plotutil.Color(i), plotutil.Color(i)
		name := "best setting"
		switch {
		case n > 0:
			name = fmt.Sprintf("%d units", n)
		case len(units) > 1:
			name = "units as chosen"
			if marks, err := plotter.NewLabels(plotter.XYLabels{XYs: line, Labels: labels}); err == nil {
				p.Add(marks)
			}
		}
		p.Add(l, dots)
		p.Legend.Add(name, l, dots)
	}
	l, err := plotter.NewLine(offered)
	if err != nil {
		return fmt.Errorf("draw the trade-off: %w", err)
	}
	l.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
	p.Add(l)
	p.Legend.Add("offered", l)
	// The axes end where the data do; the legend stands to the right of them.
	p.X.Tick.Marker, p.Y.Tick.Marker = plainTicks{p.X.Max}, plainTicks{p.Y.Max * 1.05}
	p.X.Max += 0.25 * (p.X.Max - p.X.Min)
	p.Y.Min, p.Y.Max = 0, p.Y.Max*1.05
	w, err := p.WriterTo(18*vg.Centimeter, 11*vg.Centimeter, "png")
	if err != nil {
		return fmt.Errorf("draw the trade-off: %w", err)
	}
	_, err = w.WriteTo(out)
	return err
}

// plainTicks are the usual ones up to a value, with labels that are no longer than they need to be.
type plainTicks struct{ end float64 }

// Ticks implements plot.Ticker.
func (t plainTicks) Ticks(low, high float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(low, min(high, t.end))
	for i := range ticks {
		if ticks[i].Label != "" {
			ticks[i].Label = strconv.FormatFloat(ticks[i].Value, 'g', 6, 64)
		}
	}
	return ticks
}
