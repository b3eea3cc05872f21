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

// blues are anchors of Brewer's sequential palette, from white to dark: even steps of lightness in one hue.
var blues = [...]color.RGBA{
	{R: 247, G: 251, B: 255, A: 255}, {R: 222, G: 235, B: 247, A: 255}, {R: 198, G: 219, B: 239, A: 255},
	{R: 158, G: 202, B: 225, A: 255}, {R: 107, G: 174, B: 214, A: 255}, {R: 66, G: 146, B: 198, A: 255},
	{R: 33, G: 113, B: 181, A: 255}, {R: 8, G: 81, B: 156, A: 255}, {R: 8, G: 48, B: 107, A: 255},
}

// heat is the colour of v in 0…1: white for 0, and at least a tint for anything above.
func heat(v float64) color.RGBA {
	v = min(max(v, 0), 1)
	if v == 0 {
		return color.RGBA{R: 255, G: 255, B: 255, A: 255}
	}
	at := 1 + v*float64(len(blues)-2)
	i := min(int(at), len(blues)-2)
	f := at - float64(i)
	mix := func(a, b uint8) uint8 { return uint8(float64(a)*(1-f) + float64(b)*f + 0.5) }
	a, b := blues[i], blues[i+1]
	return color.RGBA{R: mix(a.R, b.R), G: mix(a.G, b.G), B: mix(a.B, b.B), A: 255}
}
