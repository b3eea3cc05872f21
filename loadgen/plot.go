package loadgen

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

const (
	plotWidth  = 24 * vg.Centimeter
	plotHeight = 9 * vg.Centimeter
)

// palette are colours that remain apart for most colour-blind readers (Okabe and Ito 2008).
func palette() []color.Color {
	return []color.Color{
		color.RGBA{0x00, 0x72, 0xb2, 0xff}, color.RGBA{0xd5, 0x5e, 0x00, 0xff}, color.RGBA{0x00, 0x9e, 0x73, 0xff},
		color.RGBA{0xcc, 0x79, 0xa7, 0xff}, color.RGBA{0xe6, 0x9f, 0x00, 0xff}, color.RGBA{0x56, 0xb4, 0xe9, 0xff},
	}
}

// addLine adds a named line; points without a positive y, which a logarithmic axis cannot show, are left out.
func addLine(p *plot.Plot, name string, i int, points plotter.XYs) error {
	shown := points[:0:0]
	for _, xy := range points {
		if xy.Y > 0 && !math.IsInf(xy.X, 0) {
			shown = append(shown, xy)
		}
	}
	if len(shown) == 0 {
		return nil
	}
	line, err := plotter.NewLine(shown)
	if err != nil {
		return fmt.Errorf("plot %s: %w", name, err)
	}
	colors := palette()
	line.Color, line.Width = colors[i%len(colors)], vg.Points(1.2)
	p.Add(line)
	p.Legend.Add(name, line)
	return nil
}

// newPlot returns an empty plot with a logarithmic axis of milliseconds.
func newPlot(title, x string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, "ms"
	p.Title.Padding = 2 * vg.Millimeter
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, decades{}
	p.Legend.Top, p.Legend.Padding, p.Legend.YOffs = true, vg.Points(1), -vg.Points(4)
	p.Add(plotter.NewGrid())
	return p
}

// decades are the ticks of a logarithmic axis: each power of ten, and 2 and 5 times it while there are few decades.
type decades struct{}

// Ticks implements plot.Ticker.
func (decades) Ticks(low, high float64) (ticks []plot.Tick) {
	steps := []float64{1, 2, 5}
	if high/low > 1e3 {
		steps = steps[:1]
	}
	for e := math.Floor(math.Log10(low)); e <= math.Ceil(math.Log10(high)); e++ {
		for _, s := range steps {
			if v := s * math.Pow(10, e); v >= low*(1-1e-9) && v <= high*(1+1e-9) {
				ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprintf("%g", v)})
			}
		}
	}
	return ticks
}

// wholeTicks are at most about ten ticks of whole seconds, up to the end of what is drawn.
type wholeTicks struct{ end float64 }

// Ticks implements plot.Ticker.
func (w wholeTicks) Ticks(low, high float64) (ticks []plot.Tick) {
	high = min(high, w.end*1.001) // what ends at 5.999 s has a label 6
	step := 1.0
	for _, s := range []float64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200} {
		if step = s; (high-low)/s <= 10 {
			break
		}
	}
	for v := math.Ceil(low/step) * step; v <= high; v += step {
		ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprintf("%g", v)})
	}
	return ticks
}

// widen rounds the range of the y axis to whole steps of the ticks, so that it always has some, and makes room for the
// legend on the right.
func widen(p *plot.Plot) {
	defer func() { p.X.Max += 0.22 * (p.X.Max - p.X.Min) }()
	if !(p.Y.Min > 0 && p.Y.Min <= p.Y.Max) { // nothing was drawn
		p.Y.Min, p.Y.Max, p.X.Min, p.X.Max = 0.1, 1, 0, 1
	}
	p.Y.Min = math.Pow(10, math.Floor(math.Log10(p.Y.Min)))
	top := math.Pow(10, math.Floor(math.Log10(p.Y.Max)))
	for _, s := range []float64{1, 2, 5, 10} {
		if s*top >= p.Y.Max*(1-1e-9) && s*top > p.Y.Min {
			p.Y.Max = s * top
			break
		}
	}
}

// overTime plots latency over time, by the second in which requests completed.
func (r *Report) overTime() (*plot.Plot, error) {
	p := newPlot("Latency from the due time, by second of completion", "seconds")
	for i, line := range []struct {
		name string
		of   func(SecondTally) float64
	}{
		{"max", func(s SecondTally) float64 { return s.Latency.Max }},
		{"p99", func(s SecondTally) float64 { return s.Latency.P99 }},
		{"p50", func(s SecondTally) float64 { return s.Latency.P50 }},
		{"lateness p99", func(s SecondTally) float64 { return s.Lateness.P99 }},
	} {
		points := make(plotter.XYs, 0, len(r.Seconds))
		for _, s := range r.Seconds {
			if s.Total.Requests > 0 && (s.Length > 0.5 || len(r.Seconds) == 1) { // not the stump at the end
				points = append(points, plotter.XY{X: s.At, Y: line.of(s.Total)})
			}
		}
		if err := addLine(p, line.name, i, points); err != nil {
			return nil, err
		}
	}
	p.X.Min, p.X.Tick.Marker = 0, wholeTicks{p.X.Max}
	widen(p)
	return p, nil
}

// percentiles plots the latency distributions against −log10(1 − q), the axis of HDR histograms.
func (r *Report) percentiles() (*plot.Plot, error) {
	p := newPlot("Latency by percentile: from the due time, and raw (from the start of sending)", "percentile")
	curves := []struct {
		name string
		of   *Latencies
	}{{"from the due time", r.Timeline.Latency}, {"raw", r.Timeline.Raw}}
	if len(r.Workloads) > 1 {
		for i := range r.Workloads {
			curves = append(curves, struct {
				name string
				of   *Latencies
			}{r.Workloads[i].Name, r.Workloads[i].Timeline.Latency})
		}
	}
	for i, c := range curves {
		if err := addLine(p, c.name, i, c.of.curve()); err != nil {
			return nil, err
		}
	}
	p.Legend.Top, p.Legend.YOffs = false, vg.Points(4)
	var ticks plot.ConstantTicks
	for x, label := range []string{"0", "90", "99", "99.9", "99.99", "99.999", "99.9999", "99.99999"} {
		if float64(x) <= p.X.Max {
			ticks = append(ticks, plot.Tick{Value: float64(x), Label: label})
		}
	}
	p.X.Tick.Marker = ticks
	widen(p)
	return p, nil
}

// curve returns the quantiles in milliseconds over −log10(1 − q), up to the last value there is.
func (l *Latencies) curve() (points plotter.XYs) {
	if l.Count() == 0 {
		return nil
	}
	end := math.Log10(float64(l.Count()))
	for x := 0.0; x < end; x += 0.02 {
		points = append(points, plotter.XY{X: x,
			Y: float64(l.Quantile(1-math.Pow(10, -x))) / float64(time.Millisecond)})
	}
	return append(points, plotter.XY{X: end, Y: float64(l.Max()) / float64(time.Millisecond)})
}

// WritePNG writes latency over time and the percentiles as one picture.
func (r *Report) WritePNG(w io.Writer) error {
	over, err := r.overTime()
	if err != nil {
		return err
	}
	percentiles, err := r.percentiles()
	if err != nil {
		return err
	}
	canvas := vgimg.NewWith(vgimg.UseWH(plotWidth, 2*plotHeight), vgimg.UseDPI(120))
	dc := draw.New(canvas)
	tiles := draw.Tiles{Rows: 2, Cols: 1, PadY: 4 * vg.Millimeter, PadTop: 2 * vg.Millimeter,
		PadBottom: 2 * vg.Millimeter,
		PadLeft:   2 * vg.Millimeter, PadRight: 5 * vg.Millimeter}
	plots := [][]*plot.Plot{{over}, {percentiles}}
	for i, row := range plot.Align(plots, tiles, dc) {
		plots[i][0].Draw(row[0])
	}
	if _, err := (vgimg.PngCanvas{Canvas: canvas}).WriteTo(w); err != nil {
		return fmt.Errorf("write png: %w", err)
	}
	return nil
}
