package draw

import (
	"fmt"
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"trimtab/cluster"
)

// matrix draws the transition probabilities, whatever the control.
func (p Page) matrix(c draw.Canvas) error {
	t := p.Transitions
	k := len(t.Labels)
	pl := newPlot(fmt.Sprintf("Transition probabilities per interval (%.3g s), all controls", t.Interval.Seconds()),
		"to regime", "from regime")
	pl.Add(&cells{chain: t.All, k: k})
	ticks := everyRegime(k, 27)
	pl.X.Tick.Marker, pl.Y.Tick.Marker = plot.ConstantTicks(ticks), plot.ConstantTicks(ticks)
	pl.X.Min, pl.X.Max, pl.Y.Min, pl.Y.Max = -0.5, float64(k)-0.5, -0.5, float64(k)-0.5
	width := c.Max.X - c.Min.X
	pl.Draw(draw.Crop(c, 0, -0.13*width, 0, 0))
	scale(draw.Crop(c, 0.9*width, 0, 60, -40))
	return nil
}

// cells draws the matrix; rows never seen are grey with a cross.
type cells struct {
	chain cluster.Chain
	k     int
}

func (m *cells) DataRange() (xmin, xmax, ymin, ymax float64) {
	return -0.5, float64(m.k) - 0.5, -0.5, float64(m.k) - 0.5
}

func (m *cells) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	style := p.X.Tick.Label
	style.Font.Size = vg.Length(min(11, 90/float64(m.k)))
	style.XAlign, style.YAlign = draw.XCenter, draw.YCenter
	for from := range m.k {
		_, row, seen := m.chain.Row(from)
		for to := range m.k {
			box := []vg.Point{
				{X: x(float64(to) - 0.5), Y: y(float64(from) - 0.5)},
				{X: x(float64(to) + 0.5), Y: y(float64(from) - 0.5)},
				{X: x(float64(to) + 0.5), Y: y(float64(from) + 0.5)},
				{X: x(float64(to) - 0.5), Y: y(float64(from) + 0.5)},
			}
			if !seen {
				c.FillPolygon(color.Gray{Y: 215}, box)
				continue
			}
			c.FillPolygon(heat(row[to]), box)
			if row[to] > 0 && m.k <= 14 {
				style.Color = color.Black
				if row[to] > 0.5 {
					style.Color = color.White
				}
				c.FillText(style, vg.Point{X: x(float64(to)), Y: y(float64(from))}, fmt.Sprintf("%.2f", row[to]))
			}
		}
		if !seen {
			style.Color = color.Black
			c.FillText(style, vg.Point{X: x(float64(m.k)/2 - 0.5), Y: y(float64(from))}, "never left")
		}
	}
	line := draw.LineStyle{Color: color.Gray{Y: 200}, Width: vg.Points(0.4)}
	for i := 0; i <= m.k; i++ {
		at := float64(i) - 0.5
		c.StrokeLine2(line, x(at), c.Min.Y, x(at), c.Max.Y)
		c.StrokeLine2(line, c.Min.X, y(at), c.Max.X, y(at))
	}
}

// scale draws the colours of the probabilities.
func scale(c draw.Canvas) {
	const steps = 60
	width := vg.Points(14)
	height := c.Max.Y - c.Min.Y
	for i := range steps {
		// overlapping: no seams
		low, high := c.Min.Y+height*vg.Length(i)/steps, min(c.Max.Y, c.Min.Y+height*vg.Length(i+2)/steps)
		c.FillPolygon(heat((float64(i)+0.5)/steps), []vg.Point{{X: c.Min.X, Y: low}, {X: c.Min.X + width, Y: low},
			{X: c.Min.X + width, Y: high}, {X: c.Min.X, Y: high}})
	}
	style := newPlot("", "", "").Legend.TextStyle
	style.YAlign = draw.YCenter
	c.StrokeLines(draw.LineStyle{Color: color.Gray{Y: 120}, Width: vg.Points(0.5)}, []vg.Point{
		{X: c.Min.X, Y: c.Min.Y}, {X: c.Min.X + width, Y: c.Min.Y}, {X: c.Min.X + width, Y: c.Max.Y},
		{X: c.Min.X, Y: c.Max.Y}, {X: c.Min.X, Y: c.Min.Y},
	})
	for _, v := range []float64{0, 0.25, 0.5, 0.75, 1} {
		c.FillText(style, vg.Point{X: c.Min.X + width + 4, Y: c.Min.Y + height*vg.Length(v)}, fmt.Sprintf("%g", v))
	}
}
