package draw

import (
	"image/color"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// okabeIto are the colours of Okabe and Ito (2008) without yellow, which is too light for points on white.
var okabeIto = [...]color.RGBA{
	{R: 0, G: 114, B: 178, A: 255},
	{R: 213, G: 94, B: 0, A: 255},
	{R: 0, G: 158, B: 115, A: 255},
	{R: 204, G: 121, B: 167, A: 255},
	{R: 230, G: 159, B: 0, A: 255},
	{R: 86, G: 180, B: 233, A: 255},
	{R: 80, G: 80, B: 80, A: 255},
}

var shapes = [...]draw.GlyphDrawer{
	draw.CircleGlyph{}, draw.BoxGlyph{}, draw.PyramidGlyph{}, draw.CrossGlyph{}, draw.PlusGlyph{},
}

// colourOf is the colour of regime or line k.
func colourOf(k int) color.RGBA { return okabeIto[k%len(okabeIto)] }

// faint is a colour at a share of its opacity.
func faint(c color.RGBA, share float64) color.NRGBA {
	return color.NRGBA{R: c.R, G: c.G, B: c.B, A: uint8(255 * share)}
}

// glyph is the point of regime k.
func glyph(k int, radius vg.Length) draw.GlyphStyle {
	return draw.GlyphStyle{Color: colourOf(k), Radius: radius, Shape: shapes[k/len(okabeIto)%len(shapes)]}
}

// viridis are anchors of the palette of van der Walt and Smith (2015): even steps of lightness.
var viridis = [...]color.RGBA{
	{R: 68, G: 1, B: 84, A: 255}, {R: 72, G: 40, B: 120, A: 255}, {R: 62, G: 74, B: 137, A: 255},
	{R: 49, G: 104, B: 142, A: 255}, {R: 38, G: 130, B: 142, A: 255}, {R: 31, G: 158, B: 137, A: 255},
	{R: 53, G: 183, B: 121, A: 255}, {R: 109, G: 205, B: 89, A: 255}, {R: 180, G: 222, B: 44, A: 255},
	{R: 253, G: 231, B: 37, A: 255},
}

// heat is the colour of v in 0…1, light for little so that most of a sparse matrix stays white.
func heat(v float64) color.RGBA {
	v = min(max(v, 0), 1)
	if v == 0 {
		return color.RGBA{R: 255, G: 255, B: 255, A: 255}
	}
	at := (1 - v) * float64(len(viridis)-1)
	i := min(int(at), len(viridis)-2)
	f := at - float64(i)
	mix := func(a, b uint8) uint8 { return uint8(float64(a)*(1-f) + float64(b)*f + 0.5) }
	a, b := viridis[i], viridis[i+1]
	return color.RGBA{R: mix(a.R, b.R), G: mix(a.G, b.G), B: mix(a.B, b.B), A: 255}
}
