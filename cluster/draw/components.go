package draw

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// maxPoints bounds the points of the scatter plot; more are thinned evenly.
const maxPoints = 6000

// ellipse95 is the radius of the ellipse that holds 95 % of a plane Gaussian: √ of the chi-square quantile, 5.991.
var ellipse95 = math.Sqrt(5.991464547107979)

// components draws rows and regimes along the first two principal components of the standardised features.
func (p Page) components(c draw.Canvas) error {
	z := p.Model.Scaler.Transform(p.X)
	n, d := z.Dims()
	axes := mat.NewDense(d, 2, nil)
	axes.Set(0, 0, 1)
	var share [2]float64
	var pc stat.PC
	if n > 1 && d > 1 && pc.PrincipalComponents(z, nil) {
		var vectors mat.Dense
		pc.VectorsTo(&vectors)
		_, have := vectors.Dims()
		variances := pc.VarsTo(nil)
		var total float64
		for _, v := range variances {
			total += v
		}
		for i := range min(2, have) {
			axes.SetCol(i, mat.Col(nil, i, &vectors))
			if total > 0 {
				share[i] = variances[i] / total
			}
		}
	}
	pl := newPlot("Intervals and regimes along two principal components",
		fmt.Sprintf("first principal component (%.0f %% of the variance), standard deviations", 100*share[0]),
		fmt.Sprintf("second (%.0f %%), standard deviations", 100*share[1]))

	var xy mat.Dense
	xy.Mul(z, axes)
	points := make([]plotter.XYs, p.Model.Mixture.K)
	var novel plotter.XYs
	step := float64(max(n, maxPoints)) / maxPoints
	for f := 0.0; int(f) < n; f += step {
		i := int(f)
		at := plotter.XY{X: xy.At(i, 0), Y: xy.At(i, 1)}
		if p.Assigned[i].Novel {
			novel = append(novel, at)
		}
		points[p.Assigned[i].Regime] = append(points[p.Assigned[i].Regime], at)
	}
	for k, xys := range points {
		if len(xys) == 0 {
			continue
		}
		s, err := plotter.NewScatter(xys)
		if err != nil {
			return err
		}
		s.GlyphStyle = glyph(k, pointRadius(n))
		s.Color = faint(colourOf(k), 0.55)
		pl.Add(s)
	}
	if len(novel) > 0 {
		s, err := plotter.NewScatter(novel)
		if err != nil {
			return err
		}
		s.GlyphStyle = draw.GlyphStyle{Color: colourOf(6), Radius: 3.5, Shape: draw.RingGlyph{}}
		pl.Add(s)
		pl.Legend.Add("novel", s)
		pl.Legend.Top = true
	}
	var numbers plotter.XYLabels
	for k := range p.Model.Mixture.K {
		centre, outline := projectedEllipse(p.Model.Mixture.Mean(k), p.Model.Mixture.CovarianceOf(k), axes)
		line, err := plotter.NewLine(outline)
		if err != nil {
			return err
		}
		line.Color, line.Width = colourOf(k), vg.Points(1.3)
		pl.Add(line)
		numbers.XYs = append(numbers.XYs, centre)
		numbers.Labels = append(numbers.Labels, fmt.Sprint(k))
	}
	labels, err := plotter.NewLabels(numbers)
	if err != nil {
		return err
	}
	for i := range labels.TextStyle {
		labels.TextStyle[i].Font.Size = 12
		labels.TextStyle[i].XAlign, labels.TextStyle[i].YAlign = draw.XCenter, draw.YCenter
	}
	pl.Add(plotter.NewGrid(), labels)
	if len(novel) > 0 {
		above(pl, 0.08)
	}
	pl.Draw(c)
	return nil
}

// projectedEllipse returns the centre and outline of the 95 % ellipse of a Gaussian seen along the axes, d×2.
func projectedEllipse(mean []float64, cov *mat.SymDense, axes *mat.Dense) (plotter.XY, plotter.XYs) {
	d := len(mean)
	var centre mat.Dense
	centre.Mul(mat.NewDense(1, d, mean), axes)
	var half, plane mat.Dense
	half.Mul(cov, axes)
	plane.Mul(axes.T(), &half)
	// The Cholesky factor of the 2×2 matrix maps the unit circle to the ellipse.
	a := math.Sqrt(max(plane.At(0, 0), 0))
	var b float64
	if a > 0 {
		b = plane.At(1, 0) / a
	}
	e := math.Sqrt(max(plane.At(1, 1)-b*b, 0))
	at := plotter.XY{X: centre.At(0, 0), Y: centre.At(0, 1)}
	var outline plotter.XYs
	for i := 0; i <= 72; i++ {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / 72)
		outline = append(outline, plotter.XY{X: at.X + ellipse95*a*cos, Y: at.Y + ellipse95*(b*cos+e*sin)})
	}
	return at, outline
}

// pointRadius is smaller the more points there are.
func pointRadius(n int) vg.Length {
	if n < 500 {
		return vg.Points(2.6)
	}
	return vg.Points(1.7)
}
