package arena

import (
	"fmt"
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Band is the mean of a learning curve over seeds with its 95 % confidence interval (Student's t).
type Band struct {
	Episode int      `json:"episode"`
	Score   Estimate `json:"score"`
}

// Bands are the means of the curves at every evaluation. A learner that has ended keeps its best score: that is the model it leaves.
func Bands(curves []Curve) []Band {
	longest := Curve{}
	for _, c := range curves {
		if len(c.Points) > len(longest.Points) {
			longest = c
		}
	}
	var out []Band
	for i, p := range longest.Points {
		var x []float64
		for _, c := range curves {
			switch {
			case i < len(c.Points):
				x = append(x, c.Points[i].Score)
			case len(c.Points) > 0:
				x = append(x, c.Best.Score)
			}
		}
		out = append(out, Band{Episode: p.Episode, Score: estimate(x)})
	}
	return out
}

// Plot draws the learning curves: the mean over seeds with its band, each seed thin, equal weights and the best static weights as
// lines. The distance to the latter is the gap to the optimum. It returns a PNG.
func (t *Training) Plot(kind, scenario string) ([]byte, error) {
	p := newPlot(fmt.Sprintf("%s on %s: evaluations without exploring, %d seeds, band 95 %%", kind, scenario, len(t.Curves)),
		"episodes", "score, less is better")
	logY(p)
	bands := Bands(t.Curves)
	if len(bands) == 0 {
		return nil, fmt.Errorf("plot the training of %s: no evaluations", kind)
	}
	const least = 1e-6 // of a logarithmic axis
	upper, mean := plotter.XYs{}, plotter.XYs{}
	var lower plotter.XYs
	for _, b := range bands {
		x := float64(b.Episode)
		low, high := b.Score.Mean, b.Score.Mean
		if b.Score.N > 1 {
			low, high = b.Score.Low, b.Score.High
		}
		mean = append(mean, plotter.XY{X: x, Y: max(b.Score.Mean, least)})
		upper = append(upper, plotter.XY{X: x, Y: max(high, least)})
		lower = append(lower, plotter.XY{X: x, Y: max(low, b.Score.Mean/20, least)})
	}
	for i := len(lower) - 1; i >= 0; i-- {
		upper = append(upper, lower[i])
	}
	band, err := plotter.NewPolygon(upper)
	if err != nil {
		return nil, fmt.Errorf("plot the training of %s: %w", kind, err)
	}
	band.Color, band.LineStyle.Width = color.NRGBA{0, 114, 178, 50}, 0
	p.Add(band)
	for _, c := range t.Curves {
		xy := plotter.XYs{}
		for _, v := range c.Points {
			xy = append(xy, plotter.XY{X: float64(v.Episode), Y: max(v.Score, least)})
		}
		if len(xy) == 0 {
			continue
		}
		line, err := plotter.NewLine(xy)
		if err != nil {
			return nil, fmt.Errorf("plot the training of %s: %w", kind, err)
		}
		line.LineStyle = draw.LineStyle{Color: color.NRGBA{90, 90, 90, 110}, Width: vg.Points(0.5)}
		p.Add(line)
	}
	lines := []struct {
		name string
		xy   plotter.XYs
	}{{kind + ", mean", mean}}
	ends := func(y float64) plotter.XYs {
		return plotter.XYs{{X: mean[0].X, Y: max(y, least)}, {X: mean[len(mean)-1].X, Y: max(y, least)}}
	}
	lines = append(lines, struct {
		name string
		xy   plotter.XYs
	}{"equal weights", ends(t.Equal.Score)})
	if t.Oracle.Score > 0 {
		lines = append(lines, struct {
			name string
			xy   plotter.XYs
		}{"best static weights", ends(t.Oracle.Score)})
	}
	for i, l := range lines {
		line, err := plotter.NewLine(l.xy)
		if err != nil {
			return nil, fmt.Errorf("plot the training of %s: %w", kind, err)
		}
		line.LineStyle = lineStyle(i)
		p.Add(line)
		p.Legend.Add(l.name, line)
	}
	return render([]*plot.Plot{p}, 24*vg.Centimeter, 12*vg.Centimeter, "png")
}
