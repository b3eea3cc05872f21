package loadgen

import (
	"testing"

	"gonum.org/v1/plot/plotter"
)

// The axis goes on to the right of the data, below the legend: its labels do not.
func TestNoLabelIsBeyondTheData(t *testing.T) {
	for _, c := range []struct {
		name      string
		end, axis float64
		want      string // last label
	}{
		{"a load of six seconds", 6, 7.3, "6"},
		{"its last second ends a little early", 5.9995, 7.3, "6"},
		{"five minutes", 300, 366, "300"},
		{"a load between two labels", 95, 116, "90"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ticks := wholeTicks{c.end}.Ticks(0, c.axis)
			if got := ticks[len(ticks)-1].Label; got != c.want {
				t.Errorf("got the last label %s, want %s", got, c.want)
			}
		})
	}
}

func TestLegendStandsBesideTheData(t *testing.T) {
	p := newPlot("t", "seconds")
	if err := addLine(p, "max", 0, plotter.XYs{{X: 1, Y: 2}, {X: 10, Y: 9}}); err != nil {
		t.Fatal(err)
	}
	p.X.Min = 0
	widen(p)
	if room := p.X.Max - 10; room < 0.2*10 || p.X.Min != 0 {
		t.Errorf("got an axis from %g to %g for data up to 10: want a fifth more for the legend", p.X.Min, p.X.Max)
	}
	if p.Y.Max < 9 {
		t.Errorf("got a vertical axis up to %g, want 9 or more", p.Y.Max)
	}
}
