package control

import (
	"testing"

	"trimtab/vts"
)

func TestInForceShowsWhatThePageShowed(t *testing.T) {
	got := InForce(vts.Sample{Groups: []vts.GroupSample{{Name: "u", Peers: []vts.PeerSample{
		{Server: "a", Weight: 4}, {Server: "b", Weight: 7, Down: true}, {Server: "c", Weight: 1000},
	}}}})
	for _, c := range []struct {
		server string
		weight int
		down   bool
		what   string
	}{
		{"a", 4, false, "a weight is taken over"},
		{"b", 7, true, "an ejected server stays ejected"},
		{"c", 100, false, "a weight no proposal could have is clamped"},
	} {
		s, ok := got["u"][c.server]
		if !ok || s.Weight.Int() != c.weight || s.Down != c.down {
			t.Errorf("%s: got %v (present %t), want weight %d, down %t", c.what, s, ok, c.weight, c.down)
		}
	}
}
