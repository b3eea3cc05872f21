// Package draw draws what package cluster found on one page, PNG or SVG: the intervals and regimes along two
// principal components, the rates and the regime over time, the curve by which K was chosen, and the transition
// matrix. Panels without data are left out.
//
// Colours are those of Okabe and Ito, which people with colour-vision deficiencies can tell apart; more regimes than
// colours differ by the shape of their points, and every regime carries its number.
package draw
