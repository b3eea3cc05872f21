package arena

import (
	"fmt"
	"image/color"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Band is the geometric mean of a learning curve over seeds with its 95 % confidence interval (Student's t of the
// logarithms: scores go over orders of magnitude).
type Band struct {
	Episode int      `json:"episode"`
	Score   Estimate `json:"score"`
}

// leastScore is what scores are drawn as that are less: the axis is logarithmic.
const leastScore = 1e-6

// Bands are the means of the curves at every evaluation. A learner that has ended keeps its best score: that is the
// model it leaves.
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
				x = append(x, math.Log(max(c.Points[i].Score, leastScore)))
			case len(c.Points) > 0:
				x = append(x, math.Log(max(c.Best.Score, leastScore)))
			}
		}
		out = append(out, Band{Episode: p.Episode, Score: exponential(estimate(x))})
	}
	return out
}

// mostBand is how many times the mean a band may reach: with few seeds an interval is wider than anything there is.
const mostBand = 100

// Plot draws the learning curves: the mean over seeds with its band, each seed thin, equal weights and the best static
// weights as lines. The distance to the latter is the gap to the optimum. It returns a PNG.
func (t *Training) Plot(kind, scenario string) ([]byte, error) {
	p := newPlot(fmt.Sprintf("%s on %s: evaluations without exploring, %d seeds, band 95 %%", kind, scenario,
		len(t.Curves)),
		"episodes", "score, less is better")
	logY(p)
	p.X.Tick.Marker = wholeTicks{}
	bands := Bands(t.Curves)
	if len(bands) == 0 {
		return nil, fmt.Errorf("plot the training of %s: no evaluations", kind)
	}
	upper, mean := plotter.XYs{}, plotter.XYs{}
	var lower plotter.XYs
	for _, b := range bands {
		x := float64(b.Episode)
		low, high := b.Score.Mean, b.Score.Mean
		if b.Score.N > 1 {
			low, high = b.Score.Low, b.Score.High
		}
		mean = append(mean, plotter.XY{X: x, Y: b.Score.Mean})
		upper = append(upper, plotter.XY{X: x, Y: min(high, b.Score.Mean*mostBand)})
		lower = append(lower, plotter.XY{X: x, Y: max(low, b.Score.Mean/mostBand)})
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
			xy = append(xy, plotter.XY{X: float64(v.Episode), Y: max(v.Score, leastScore)})
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
		return plotter.XYs{{X: mean[0].X, Y: max(y, leastScore)}, {X: mean[len(mean)-1].X, Y: max(y, leastScore)}}
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

// mostTicks is how many numbers stand on an axis at most.
const mostTicks = 10

// wholeTicks marks whole numbers, 1, 2 or 5 times a power of ten apart.
type wholeTicks struct{}

func (wholeTicks) Ticks(low, high float64) []plot.Tick {
	apart := 1.0
	for k := 0; (high-low)/apart > mostTicks; k++ {
		apart *= []float64{2, 2.5, 2}[k%3]
	}
	var out []plot.Tick
	for v := math.Ceil(low/apart) * apart; v <= high; v += apart {
		out = append(out, plot.Tick{Value: v, Label: strconv.Itoa(int(v))})
	}
	return out
}
