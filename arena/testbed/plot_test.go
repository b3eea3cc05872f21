package testbed

import (
	"bytes"
	"image"
	"image/png"
	"testing"

	"trimtab/weights"
)

// plotted is the picture of a run of 30 s that is tuned from 12 s on, with reloads at the ends of some intervals.
func plotted(t *testing.T, reloads ...float64) image.Image {
	t.Helper()
	set := weights.Set{"u": {"a": {}, "b": {}}}
	r := &Report{Scenario: "s", Policy: "tuned", DurationS: 30, Addresses: map[string]string{"a": "", "b": ""},
		Weights: set, Before: Part{ToS: 12}, Tuned: Part{Requests: 1}}
	for at := 3.0; at <= 30; at += 3 {
		i := Interval{AtS: at, RatePerSec: 10, P50: 20, P99: 900, Weights: set}
		for _, reload := range reloads {
			i.Reloaded = i.Reloaded || reload == at
		}
		r.Intervals = append(r.Intervals, i)
	}
	var out bytes.Buffer
	if err := r.writePNG(&out); err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(&out)
	if err != nil {
		t.Fatal(err)
	}
	return picture
}

// The first reload comes where tuning begins: it must be seen on top of that line, and the line beside it.
func TestAReloadWhereTuningBeginsIsSeen(t *testing.T) {
	with, without := plotted(t, 12, 21), plotted(t, 21)
	dark, pale := 0, 0 // of the column with most reload in it
	for x := with.Bounds().Min.X; x < with.Bounds().Max.X*6/10; x++ {
		n, around := 0, 0
		for y := with.Bounds().Min.Y; y < with.Bounds().Max.Y; y++ {
			a, _, _, _ := with.At(x, y).RGBA()
			b, _, _, _ := without.At(x, y).RGBA()
			if a>>8 < 0x90 && b>>8 > 0xb0 {
				n++
			}
			if a == b && a>>8 > 0xb0 && a>>8 < 0xe0 {
				around++
			}
		}
		if n > dark {
			dark, pale = n, around
		}
	}
	if height := with.Bounds().Dy(); dark < height/6 || pale < height/12 {
		t.Errorf("got %d dark and %d pale dots in the column of both lines, %d high: want both to be seen", dark, pale,
			height)
	}
}
