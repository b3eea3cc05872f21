package draw

import (
	"fmt"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"trimtab/cluster"
)

// curve draws the information criteria over K.
func (p Page) curve(c draw.Canvas) error {
	pl := newPlot("Choice of the number of regimes", "number of regimes K", "criterion (nats × 2, lower is better)")
	best := p.Curve[0]
	for i, criterion := range []struct {
		name string
		of   func(cluster.Choice) float64
	}{
		{"BIC", func(c cluster.Choice) float64 { return c.BIC }},
		{"AIC", func(c cluster.Choice) float64 { return c.AIC }},
		{"ICL", func(c cluster.Choice) float64 { return c.ICL }},
	} {
		var xys plotter.XYs
		for _, choice := range p.Curve {
			xys = append(xys, plotter.XY{X: float64(choice.K), Y: criterion.of(choice)})
			if choice.BIC < best.BIC {
				best = choice
			}
		}
		line, points, err := plotter.NewLinePoints(xys)
		if err != nil {
			return err
		}
		line.Color, line.Width, line.Dashes = colourOf(i), vg.Points(1.4), dashes(i)
		points.GlyphStyle = glyph(i+i*len(okabeIto), 3)
		points.Color = colourOf(i)
		pl.Add(line, points)
		pl.Legend.Add(criterion.name, line, points)
	}
	mark, err := plotter.NewScatter(plotter.XYs{{X: float64(best.K), Y: best.BIC}})
	if err != nil {
		return err
	}
	mark.GlyphStyle = draw.GlyphStyle{Color: colourOf(6), Radius: 7, Shape: draw.RingGlyph{}}
	pl.Add(mark, plotter.NewGrid())
	pl.Legend.Add(fmt.Sprintf("least BIC: K = %d", best.K), mark)
	pl.Legend.Top = true
	above(pl, 0.25)
	pl.X.Tick.Marker, pl.Y.Tick.Marker = shortTicks{}, shortTicks{}
	pl.Draw(c)
	return nil
}

// shortTicks are ticks at whole numbers, six or so with labels, written without needless digits.
type shortTicks struct{}

func (shortTicks) Ticks(low, high float64) []plot.Tick {
	step := 1.0
	for (high-low)/step > 8 {
		for _, factor := range []float64{2, 2.5, 2} { // 1, 2, 5, 10, …
			if step *= factor; (high-low)/step <= 8 {
				break
			}
		}
	}
	var ticks []plot.Tick
	for v := math.Ceil(low/step) * step; v <= high; v += step {
		ticks = append(ticks, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'f', 0, 64)})
	}
	return ticks
}
