package draw

import (
	"fmt"
	"io"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"trimtab/cluster"
)

// Page is what is drawn.
type Page struct {
	Title       string
	Model       *cluster.Model
	X           *mat.Dense           // n×d raw features
	Assigned    []cluster.Assignment // n
	Intervals   []cluster.Interval   // n, or nil: no timeline
	Curve       []cluster.Choice     // nil: no curve
	Transitions *cluster.Transitions // nil: no matrix
}

const (
	pageWidth = 13 * vg.Inch
	bandTitle = 0.45 * vg.Inch
	timeline  = 4.6 * vg.Inch
	panels    = 6.2 * vg.Inch
	margin    = 0.18 * vg.Inch
	dpi       = 110
)

// Write draws the page in the format, png or svg.
func Write(w io.Writer, format string, p Page) error {
	height := bandTitle + panels
	if p.Intervals != nil {
		height += timeline
	}
	second := p.Curve != nil && p.Transitions != nil
	if second {
		height += panels
	}
	switch format {
	case "png":
		c := vgimg.NewWith(vgimg.UseWH(pageWidth, height), vgimg.UseDPI(dpi))
		if err := p.draw(draw.New(c), second); err != nil {
			return err
		}
		_, err := vgimg.PngCanvas{Canvas: c}.WriteTo(w)
		return err
	case "svg":
		c := vgsvg.New(pageWidth, height)
		if err := p.draw(draw.New(c), second); err != nil {
			return err
		}
		_, err := c.WriteTo(w)
		return err
	}
	return fmt.Errorf("picture format %q: want png or svg", format)
}

// draw lays the panels out from top to bottom.
func (p Page) draw(dc draw.Canvas, second bool) error {
	title := plot.New().Title.TextStyle
	title.Font.Size = 15
	title.YAlign = draw.YTop
	dc.FillText(title, vg.Point{X: dc.Center().X, Y: dc.Max.Y - margin}, p.Title)
	top := dc.Max.Y - bandTitle
	band := func(height vg.Length) draw.Canvas {
		c := draw.Crop(dc, margin, -margin, top-height-dc.Min.Y+margin/2, top-dc.Max.Y-margin/2)
		top -= height
		return c
	}
	if p.Intervals != nil {
		if err := p.timeline(band(timeline)); err != nil {
			return err
		}
	}
	row := band(panels)
	if p.Curve == nil && p.Transitions == nil {
		return p.components(row)
	}
	left, right := halves(row)
	if err := p.components(left); err != nil {
		return err
	}
	if p.Transitions != nil {
		if err := p.matrix(right); err != nil {
			return err
		}
	} else {
		return p.curve(right)
	}
	if second {
		left, right = halves(band(panels))
		if err := p.curve(left); err != nil {
			return err
		}
		p.legend(right)
	}
	return nil
}

func halves(c draw.Canvas) (left, right draw.Canvas) {
	width := c.Max.X - c.Min.X
	return draw.Crop(c, 0, -width/2-margin, 0, 0), draw.Crop(c, width/2+margin, 0, 0, 0)
}

// newPlot returns a plot with the page's type sizes and a light grid.
func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.TextStyle.Font.Size = 13
	p.Title.Padding = 4
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Label.TextStyle.Font.Size = 12
		a.Tick.Label.Font.Size = 11
	}
	p.Legend.TextStyle.Font.Size = 11
	p.Legend.Padding = 3
	p.Legend.ThumbnailWidth = 26
	return p
}

// above makes room for the legend above the data, as a part of their range.
func above(p *plot.Plot, part float64) { p.Y.Max += part * (p.Y.Max - p.Y.Min) }

// legend lists the regimes.
func (p Page) legend(c draw.Canvas) {
	style := newPlot("", "", "").Legend.TextStyle
	style.YAlign = draw.YCenter
	line := min(c.Max.Y-c.Min.Y, vg.Inch*5.8) / vg.Length(max(len(p.Model.Regimes)+1, 16))
	y := c.Max.Y - line
	heading := style
	heading.Font.Size = 13
	c.FillText(heading, vg.Point{X: c.Min.X + 20, Y: c.Max.Y}, "Regimes")
	for k, r := range p.Model.Regimes {
		y -= line
		c.DrawGlyph(glyph(k, 5), vg.Point{X: c.Min.X + 26, Y: y})
		at := vg.Point{X: c.Min.X + 40, Y: y}
		c.FillText(style, at, fit(style, c.Max.X-at.X, fmt.Sprintf("%d   %5.1f %%   %s", k, 100*r.Share, r.Label)))
	}
}

// fit cuts text that is wider than width.
func fit(style draw.TextStyle, width vg.Length, text string) string {
	if style.Width(text) <= width {
		return text
	}
	runes := []rune(text)
	for len(runes) > 1 && style.Width(string(runes)+"…") > width {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + "…"
}
