package main

import (
	"fmt"
	"io"
	"slices"

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
	p.X.Label.Text = "bounds, in units of those asked for"
	p.Y.Label.Text = "carried, requests per second"
	p.Y.Min = 0
	p.Legend.Top, p.Legend.Left = false, false
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
	w, err := p.WriterTo(18*vg.Centimeter, 11*vg.Centimeter, "png")
	if err != nil {
		return fmt.Errorf("draw the trade-off: %w", err)
	}
	_, err = w.WriteTo(out)
	return err
}
