package arena

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"slices"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"trimtab/deathstarbench"
)

// palette is Okabe and Ito's, which people with any colour vision can tell apart, and four more.
var palette = []color.RGBA{
	{0, 114, 178, 255}, {230, 159, 0, 255}, {0, 158, 115, 255}, {213, 94, 0, 255}, {204, 121, 167, 255},
	{86, 180, 233, 255},
	{90, 90, 90, 255}, {140, 86, 75, 255}, {148, 103, 189, 255}, {188, 189, 34, 255}, {23, 190, 207, 255},
	{0, 0, 0, 255},
}

// lineStyle tells the i-th line from the others, by dashes too once the colours are used up.
func lineStyle(i int) draw.LineStyle {
	s := draw.LineStyle{Color: palette[i%len(palette)], Width: vg.Points(1.4)}
	switch (i / len(palette)) % 3 {
	case 1:
		s.Dashes = []vg.Length{vg.Points(5), vg.Points(2)}
	case 2:
		s.Dashes = []vg.Length{vg.Points(1.5), vg.Points(2)}
	}
	return s
}

func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.TextStyle.Font.Size = vg.Points(11)
	p.Legend.Top = true
	p.Legend.TextStyle.Font.Size = vg.Points(8)
	p.Legend.ThumbnailWidth = vg.Points(18)
	p.Legend.Padding = vg.Points(2)
	grid := plotter.NewGrid()
	grid.Vertical.Color = color.Gray{225}
	grid.Horizontal.Color = color.Gray{225}
	p.Add(grid)
	return p
}

// logTicks marks powers of ten, and 2 and 5 times them when there are few decades.
type logTicks struct{}

func (logTicks) Ticks(low, high float64) []plot.Tick {
	var out []plot.Tick
	few := math.Log10(high/low) < 3
	for e := math.Floor(math.Log10(low)); e <= math.Ceil(math.Log10(high)); e++ {
		for _, m := range []float64{1, 2, 5} {
			v := m * math.Pow(10, e)
			if v < low*0.999 || v > high*1.001 {
				continue
			}
			t := plot.Tick{Value: v}
			if m == 1 || few {
				t.Label = fmt.Sprintf("%g", v)
			}
			out = append(out, t)
		}
	}
	return out
}

// timeTicks marks whole seconds in round steps.
type timeTicks struct{}

func (timeTicks) Ticks(low, high float64) (out []plot.Tick) {
	step := 1.0
	for _, s := range []float64{1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600} {
		if step = s; (high-low)/s <= 12 {
			break
		}
	}
	for t := math.Ceil(low/step) * step; t <= high; t += step {
		out = append(out, plot.Tick{Value: t, Label: fmt.Sprintf("%g", t)})
	}
	return out
}

func logY(p *plot.Plot) {
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, logTicks{}
}

// bands shades the regimes of a scenario's load in blue, the same regime in the same shade, and its faults in orange.
// It lies behind the lines and spans the plot.
type bands struct {
	scenario *deathstarbench.Scenario
}

func (b bands) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	clip := func(v vg.Length) vg.Length { return min(max(v, c.Min.X), c.Max.X) }
	shade := func(from, to time.Duration, colour color.Color) {
		left, right := clip(x(from.Seconds())), clip(x(to.Seconds()))
		if right > left {
			c.FillPolygon(colour, []vg.Point{{X: left, Y: c.Min.Y}, {X: right, Y: c.Min.Y}, {X: right, Y: c.Max.Y},
				{X: left, Y: c.Max.Y}})
		}
	}
	for _, f := range b.scenario.Faults {
		until := f.Until.Std()
		if until == 0 {
			until = b.scenario.Duration.Std()
		}
		shade(f.At.Std(), until, color.NRGBA{213, 94, 0, 30})
	}
	phases := Phases(b.scenario)
	for i, regime := range regimesOf(phases) {
		if regime > 0 {
			shade(phases[i].From, phases[i].To, color.NRGBA{0, 114, 178, uint8(14 + 16*((regime-1)%4))})
		}
	}
}

// styles tells policies apart, the same way in every plot of a page.
type styles []string

func (s styles) of(policy string) draw.LineStyle { return lineStyle(max(0, slices.Index(s, policy))) }

// course draws one value of every trace over time, on a logarithmic axis; what is not positive is left out.
func (s styles) course(sc *deathstarbench.Scenario, title, unit string, traces []*Trace,
	of func([]Point, int) float64) (*plot.Plot, error) {
	p := newPlot(title, "time, s", unit)
	p.Add(bands{sc})
	p.X.Min, p.X.Max = 0, sc.Duration.Std().Seconds()
	p.X.Tick.Marker = timeTicks{}
	drawn := false
	for _, t := range traces {
		var xy plotter.XYs
		for j := range t.Points {
			y := of(t.Points, j)
			if !(y > 0) || math.IsInf(y, 0) {
				continue
			}
			xy = append(xy, plotter.XY{X: t.Points[j].AtSec, Y: y})
		}
		if len(xy) == 0 {
			continue
		}
		line, err := plotter.NewLine(xy)
		if err != nil {
			return nil, fmt.Errorf("plot %s of %s: %w", unit, t.Policy, err)
		}
		line.LineStyle = s.of(t.Policy)
		p.Add(line)
		p.Legend.Add(t.Policy, line)
		drawn = true
	}
	if drawn {
		logY(p)
	}
	return p, nil
}

// percentiles draws latency over the percentile, on an axis that gives every further nine the same room.
func (s styles) percentiles(sc *deathstarbench.Scenario, traces []*Trace) (*plot.Plot, error) {
	p := newPlot(sc.Name+": latency by percentile", "percentile", "latency, ms")
	levels := QuantileLevels()
	nines := func(q float64) float64 { return -math.Log10(1 - q) }
	top := 0.9999
	for _, t := range traces {
		var xy plotter.XYs
		for j, q := range levels {
			if q >= 0.1 && q <= top && j < len(t.Quantiles) {
				xy = append(xy, plotter.XY{X: nines(q), Y: math.Max(t.Quantiles[j], 0.01)})
			}
		}
		if len(xy) == 0 {
			continue
		}
		line, err := plotter.NewLine(xy)
		if err != nil {
			return nil, fmt.Errorf("plot percentiles of %s: %w", t.Policy, err)
		}
		line.LineStyle = s.of(t.Policy)
		p.Add(line)
		p.Legend.Add(t.Policy, line)
	}
	var ticks plot.ConstantTicks
	for _, q := range []float64{0.1, 0.5, 0.9, 0.99, 0.999, 0.9999} {
		ticks = append(ticks, plot.Tick{Value: nines(q), Label: fmt.Sprintf("p%g", math.Round(q*1e6)/1e4)})
	}
	p.X.Tick.Marker = ticks
	logY(p)
	return p, nil
}

// bars draws ART per request of every policy with its confidence interval.
func (s styles) bars(title string, summaries []Summary) (*plot.Plot, error) {
	p := newPlot(title, "", "ART per request")
	names := make([]string, len(summaries))
	var intervals plotter.XYs
	errors := plotter.YErrors{}
	low, high := math.Inf(1), 0.0
	for i, sum := range summaries {
		names[i] = sum.Policy
		// On a logarithmic axis nothing is 0: what is below a tenth of a per mille is drawn there.
		v := math.Max(sum.ART.Mean, 1e-4)
		low, high = math.Min(low, v), math.Max(high, math.Max(v, sum.ART.High))
		bar, err := plotter.NewLine(plotter.XYs{{X: float64(i), Y: 1e-5}, {X: float64(i), Y: v}})
		if err != nil {
			return nil, fmt.Errorf("plot ART: %w", err)
		}
		bar.LineStyle = draw.LineStyle{Color: s.of(sum.Policy).Color, Width: vg.Points(14)}
		p.Add(bar)
		intervals = append(intervals, plotter.XY{X: float64(i), Y: v})
		errors = append(errors, struct{ Low, High float64 }{v - math.Max(sum.ART.Low, v/10),
			math.Max(0, sum.ART.High-v)})
	}
	bars, err := plotter.NewYErrorBars(struct {
		plotter.XYs
		plotter.YErrors
	}{intervals, errors})
	if err != nil {
		return nil, fmt.Errorf("plot ART: %w", err)
	}
	p.Add(bars)
	p.Y.Min, p.Y.Max = math.Pow(10, math.Floor(math.Log10(low))), high*1.5
	logY(p)
	p.NominalX(names...)
	p.X.Tick.Label.Rotation = math.Pi / 5
	p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = draw.XRight, draw.YCenter
	p.X.Min, p.X.Max = -0.7, float64(len(names))-0.3
	return p, nil
}

// sharePlot draws the shares of the servers of one group, as the weights in force would have them.
func sharePlot(sc *deathstarbench.Scenario, group string, t *Trace) (*plot.Plot, error) {
	p := newPlot(fmt.Sprintf("%s: %s, shares by weight", t.Policy, group), "time, s", "share")
	p.Add(bands{sc})
	i := slices.IndexFunc(sc.Upstreams, func(u deathstarbench.Upstream) bool { return u.Name == group })
	for n, server := range sc.Upstreams[i].Servers {
		var xy plotter.XYs
		for _, pt := range t.Points {
			xy = append(xy, plotter.XY{X: pt.AtSec, Y: pt.Weights[group].Shares()[server]})
		}
		line, err := plotter.NewLine(xy)
		if err != nil {
			return nil, fmt.Errorf("plot shares of %s: %w", t.Policy, err)
		}
		line.StepStyle = plotter.PreStep
		line.LineStyle = lineStyle(n)
		p.Add(line)
		p.Legend.Add(server, line)
	}
	p.Y.Min, p.Y.Max = 0, 1
	p.X.Min, p.X.Max = 0, sc.Duration.Std().Seconds()
	p.X.Tick.Marker = timeTicks{}
	return p, nil
}

// render draws plots one below the other as "png" or "svg", each with its legend at the right.
func render(plots []*plot.Plot, width, height vg.Length, format string) ([]byte, error) {
	canvas, err := draw.NewFormattedCanvas(width, height, format)
	if err != nil {
		return nil, fmt.Errorf("draw %q: %w", plots[0].Title.Text, err)
	}
	c := draw.New(canvas)
	c.FillPolygon(color.White, []vg.Point{c.Min, {X: c.Max.X, Y: c.Min.Y}, c.Max, {X: c.Min.X, Y: c.Max.Y}})
	strip := height / vg.Length(len(plots))
	for i, p := range plots {
		drawPlot(p, draw.Crop(c, vg.Points(4), -vg.Points(4), height-vg.Length(i+1)*strip+vg.Points(4),
			-vg.Length(i)*strip-vg.Points(4)))
	}
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("draw %q: %w", plots[0].Title.Text, err)
	}
	return b.Bytes(), nil
}

// drawPlot draws a plot with its legend at the right of it.
func drawPlot(p *plot.Plot, c draw.Canvas) {
	legend, without := p.Legend, *p
	without.Legend = plot.NewLegend()
	room := legend.Rectangle(c)
	w := room.Max.X - room.Min.X
	if w <= 0 {
		without.Draw(c)
		return
	}
	w += vg.Points(8)
	without.Draw(draw.Crop(c, 0, -w, 0, 0))
	legend.Draw(draw.Crop(c, c.Max.X-c.Min.X-w, 0, 0, -vg.Points(18)))
}
