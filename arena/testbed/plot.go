package testbed

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// palette is Okabe and Ito's, which people with colour-blindness can tell apart.
var palette = []color.RGBA{
	{R: 0x00, G: 0x72, B: 0xb2, A: 0xff}, {R: 0xd5, G: 0x5e, B: 0x00, A: 0xff}, {R: 0x00, G: 0x9e, B: 0x73, A: 0xff},
	{R: 0xcc, G: 0x79, B: 0xa7, A: 0xff}, {R: 0xe6, G: 0x9f, B: 0x00, A: 0xff}, {R: 0x56, G: 0xb4, B: 0xe9, A: 0xff},
}

const (
	plotWidth  = 9 * vg.Inch
	plotHeight = 2.6 * vg.Inch
)

// plots returns the charts of the report from top to bottom: latency, the weights of every group, rate; all over
// the time since the start of the load.
func (r *Report) plots() ([]*plot.Plot, error) {
	latency, err := r.latencyPlot()
	if err != nil {
		return nil, err
	}
	out := []*plot.Plot{latency}
	for _, group := range sortedKeys(r.Weights) {
		p, err := r.weightsPlot(group)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	rate, err := r.ratePlot()
	if err != nil {
		return nil, err
	}
	return append(out, rate), nil
}

func (r *Report) newPlot(title, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	p.Title.TextStyle.Font.Size = 11
	p.X.Label.Text = "time since the start of the load (s)"
	p.Y.Label.Text = y
	// The legend stands to the right of the data.
	p.X.Min, p.X.Max = 0, max(r.DurationS, 1)*1.17
	p.X.Tick.Marker = upTo{r.DurationS}
	p.Legend.Top = true
	p.Legend.XOffs, p.Legend.YOffs = -vg.Points(8), -vg.Points(4)
	p.Legend.Padding = vg.Points(1)
	p.Legend.TextStyle.Font.Size = 9
	grid := plotter.NewGrid()
	grid.Vertical.Color = color.Gray{Y: 0xe4}
	grid.Horizontal.Color = color.Gray{Y: 0xe4}
	p.Add(grid)
	return p
}

// upTo are the usual ticks without those beyond a value.
type upTo struct{ last float64 }

// Ticks implements plot.Ticker.
func (u upTo) Ticks(low, _ float64) []plot.Tick {
	return plot.DefaultTicks{}.Ticks(low, max(u.last, low+1))
}

// decades are the ticks of a logarithmic axis, labelled 1, 10, 100, 1000.
type decades struct{}

// Ticks implements plot.Ticker.
func (decades) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for decade := math.Pow(10, math.Floor(math.Log10(low))); decade <= high*1.001; decade *= 10 {
		ticks = append(ticks, plot.Tick{Value: decade, Label: strconv.FormatFloat(decade, 'f', -1, 64)})
		for k := 2.0; k < 10 && decade*k <= high; k++ {
			ticks = append(ticks, plot.Tick{Value: decade * k})
		}
	}
	return ticks
}

// series draws y over the ends of the intervals, leaving out what keep refuses.
func (r *Report) series(p *plot.Plot, name string, c color.Color, step plotter.StepKind,
	y func(Interval) (float64, bool)) error {
	var xys plotter.XYs
	for _, i := range r.Intervals {
		if v, ok := y(i); ok {
			xys = append(xys, plotter.XY{X: i.AtS, Y: v})
		}
	}
	if len(xys) == 0 {
		return nil
	}
	line, err := plotter.NewLine(xys)
	if err != nil {
		return fmt.Errorf("plot %s: %w", name, err)
	}
	line.Color = c
	line.Width = vg.Points(1.6)
	line.StepStyle = step
	p.Add(line)
	p.Legend.Add(name, line)
	return nil
}

// Looks of the vertical lines. The first reload often stands where tuning begins: its dashes are dark enough, and the
// other line wide and pale enough, to be seen on top of each other.
var (
	tuningLine = draw.LineStyle{Color: color.Gray{Y: 0xcc}, Width: vg.Points(4.5)}
	reloadLine = draw.LineStyle{Color: color.Gray{Y: 0x50}, Width: vg.Points(0.9),
		Dashes: []vg.Length{vg.Points(2), vg.Points(2)}}
)

// marks draws a vertical line where tuning began, and one at every reload.
func (r *Report) marks(p *plot.Plot, low, high float64) error {
	vertical := func(name string, style draw.LineStyle, at ...float64) error {
		for i, x := range at {
			line, err := plotter.NewLine(plotter.XYs{{X: x, Y: low}, {X: x, Y: high}})
			if err != nil {
				return fmt.Errorf("plot %s: %w", name, err)
			}
			line.LineStyle = style
			p.Add(line)
			if i == 0 {
				p.Legend.Add(name, line)
			}
		}
		return nil
	}
	var began, reloads []float64
	if r.Tuned.Requests+r.Transition.Requests > 0 {
		began = append(began, r.Before.ToS)
	}
	for _, i := range r.Intervals {
		if i.Reloaded {
			reloads = append(reloads, i.AtS)
		}
	}
	if err := vertical("tuning begins", tuningLine, began...); err != nil {
		return err
	}
	return vertical("reload", reloadLine, reloads...)
}

func (r *Report) latencyPlot() (*plot.Plot, error) {
	p := r.newPlot(fmt.Sprintf("%s, policy %s: latency from the due time", r.Scenario, r.Policy), "latency (ms)")
	p.Y.Scale = plot.LogScale{}
	p.Y.Tick.Marker = decades{}
	low, high := math.Inf(1), math.Inf(-1)
	for _, i := range r.Intervals {
		if i.P50 > 0 {
			low, high = min(low, i.P50), max(high, i.P99)
		}
	}
	if math.IsInf(low, 1) {
		low, high = 1, 10
	}
	// Whole decades, so that the logarithmic axis has labels.
	low, high = math.Pow(10, math.Floor(math.Log10(low))), math.Pow(10, math.Ceil(math.Log10(high)+1e-9))
	p.Y.Min, p.Y.Max = low, high
	err := r.series(p, "p99", palette[1], plotter.NoStep, func(i Interval) (float64, bool) { return i.P99, i.P99 > 0 })
	if err == nil {
		err = r.series(p, "p50", palette[0], plotter.NoStep, func(i Interval) (float64, bool) {
			return i.P50, i.P50 > 0
		})
	}
	if err == nil {
		err = r.marks(p, low, high)
	}
	return p, err
}

func (r *Report) weightsPlot(group string) (*plot.Plot, error) {
	p := r.newPlot(group+": weights", "share of requests (%)")
	p.Y.Min, p.Y.Max = 0, 100
	for n, server := range sortedKeys(r.Addresses) {
		if _, ok := r.Weights[group][server]; !ok {
			continue
		}
		err := r.series(p, "server "+server, palette[n%len(palette)], plotter.PreStep,
			func(i Interval) (float64, bool) {
				share, known := i.Weights[group].Shares()[server]
				return 100 * share, known
			})
		if err != nil {
			return nil, err
		}
	}
	return p, r.marks(p, 0, 100)
}

func (r *Report) ratePlot() (*plot.Plot, error) {
	p := r.newPlot("requests due", "rate (requests/s)")
	p.Y.Min = 0
	high := 1.0
	for _, i := range r.Intervals {
		high = max(high, i.RatePerSec)
	}
	p.Y.Max = math.Ceil(high*1.1/100) * 100
	err := r.series(p, "all workloads", palette[2], plotter.NoStep, func(i Interval) (float64, bool) {
		return i.RatePerSec, true
	})
	if err == nil {
		err = r.marks(p, 0, p.Y.Max)
	}
	return p, err
}

// drawRows draws the charts below each other with their axes aligned.
func drawRows(rows []*plot.Plot, canvas draw.Canvas) {
	grid := make([][]*plot.Plot, len(rows))
	for i, p := range rows {
		grid[i] = []*plot.Plot{p}
	}
	tiles := draw.Tiles{Rows: len(rows), Cols: 1, PadTop: 6, PadBottom: 6, PadLeft: 6, PadRight: 12, PadY: 10}
	for i, row := range plot.Align(grid, tiles, canvas) {
		rows[i].Draw(row[0])
	}
}

// writePNG writes the charts of latency and of the first group's weights as one picture.
func (r *Report) writePNG(w io.Writer) error {
	plots, err := r.plots()
	if err != nil {
		return err
	}
	rows := plots[:min(2, len(plots))]
	img := vgimg.NewWith(vgimg.UseWH(plotWidth, vg.Length(len(rows))*plotHeight), vgimg.UseDPI(110),
		vgimg.UseBackgroundColor(color.White))
	drawRows(rows, draw.New(img))
	_, err = vgimg.PngCanvas{Canvas: img}.WriteTo(w)
	return err
}
