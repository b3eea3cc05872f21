package draw

import (
	"fmt"
	"image/color"
	"math"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"trimtab/cluster"
)

// timeline draws the rate of every group and below it the regime, over time.
func (p Page) timeline(c draw.Canvas) error {
	span := p.Intervals[len(p.Intervals)-1].Sample.At.Sub(p.Intervals[0].Sample.At)
	unit, name := time.Minute, "minutes"
	switch {
	case span < 5*time.Minute:
		unit, name = time.Second, "seconds"
	case span > 5*time.Hour:
		unit, name = time.Hour, "hours"
	}
	begin := p.Intervals[0].Sample.At.Add(-p.Intervals[0].Sample.Interval)
	at := func(t time.Time) float64 { return float64(t.Sub(begin)) / float64(unit) }

	rates := newPlot("Rates and regimes over time", "", "requests/s")
	for g, group := range p.Intervals[0].Sample.Groups {
		var run plotter.XYs
		first := true
		flush := func() error {
			if len(run) == 0 {
				return nil
			}
			line, err := plotter.NewLine(run)
			if err != nil {
				return err
			}
			line.Color, line.Width = colourOf(g), vg.Points(1.2)
			line.Dashes = dashes(g)
			rates.Add(line)
			if first {
				rates.Legend.Add(cluster.ShortName(group.Name), line)
				first = false
			}
			run = nil
			return nil
		}
		for _, in := range p.Intervals {
			if !in.Follows {
				if err := flush(); err != nil {
					return err
				}
			}
			if g >= len(in.Sample.Groups) {
				continue
			}
			if s := in.Sample.Interval.Seconds(); s > 0 {
				run = append(run, plotter.XY{X: at(in.Sample.At), Y: float64(in.Sample.Groups[g].Requests()) / s})
			}
		}
		if err := flush(); err != nil {
			return err
		}
	}
	rates.Legend.Top = true
	rates.Y.Min = 0
	above(rates, 0.12*float64(len(p.Intervals[0].Sample.Groups)))

	regimes := newPlot("", fmt.Sprintf("time since the first interval, %s", name), "regime")
	k := p.Model.Mixture.K
	var last *bar
	for i, in := range p.Intervals {
		a := p.Assigned[i]
		from, to := at(in.Sample.At.Add(-in.Sample.Interval)), at(in.Sample.At)
		if last != nil && in.Follows && last.regime == a.Regime && last.novel == a.Novel {
			last.to = to // one bar per visit: seams would show
			continue
		}
		last = &bar{from: from, to: to, regime: a.Regime, novel: a.Novel}
		regimes.Add(last)
	}
	regimes.Y.Min, regimes.Y.Max = -0.6, float64(k)-0.4
	regimes.Y.Tick.Marker = plot.ConstantTicks(everyRegime(k, 14))
	for _, pl := range []*plot.Plot{rates, regimes} {
		pl.X.Min, pl.X.Max = 0, at(p.Intervals[len(p.Intervals)-1].Sample.At)
	}
	rates.X.Tick.Marker, regimes.X.Tick.Marker, rates.Y.Tick.Marker = shortTicks{}, shortTicks{}, shortTicks{}
	grid := plotter.NewGrid()
	rates.Add(grid)
	regimes.Add(grid)

	canvases := plot.Align([][]*plot.Plot{{rates}, {regimes}}, draw.Tiles{Rows: 2, Cols: 1, PadY: 0.05 * vg.Inch}, c)
	rates.Draw(canvases[0][0])
	regimes.Draw(canvases[1][0])
	return nil
}

// dashes tells lines apart without colour.
func dashes(g int) []vg.Length {
	switch g % 3 {
	case 1:
		return []vg.Length{vg.Points(5), vg.Points(2)}
	case 2:
		return []vg.Length{vg.Points(1.5), vg.Points(1.5)}
	}
	return nil
}

// everyRegime is a tick per regime, labelled in steps so that at most most labels are drawn.
func everyRegime(k, most int) []plot.Tick {
	step := max(1, int(math.Ceil(float64(k)/float64(most))))
	var ticks []plot.Tick
	for i := range k {
		t := plot.Tick{Value: float64(i)}
		if i%step == 0 {
			t.Label = fmt.Sprint(i)
		}
		ticks = append(ticks, t)
	}
	return ticks
}

// bar is a run of intervals of one regime, a black line below those that are novel.
type bar struct {
	from, to float64
	regime   int
	novel    bool
}

func (b *bar) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	x0, x1, at := x(b.from), max(x(b.to), x(b.from)+vg.Points(0.6)), float64(b.regime)
	fill := func(colour color.Color, low, high vg.Length) {
		c.FillPolygon(colour, []vg.Point{{X: x0, Y: low}, {X: x1, Y: low}, {X: x1, Y: high}, {X: x0, Y: high}})
	}
	fill(colourOf(b.regime), y(at-0.4), y(at+0.4))
	if b.novel {
		fill(color.Black, c.Min.Y, c.Min.Y+4)
	}
}

func (b *bar) DataRange() (xmin, xmax, ymin, ymax float64) {
	return b.from, b.to, float64(b.regime) - 0.5, float64(b.regime) + 0.5
}
