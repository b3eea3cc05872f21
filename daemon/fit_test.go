package daemon

import (
	"io"
	"log/slog"
	"slices"
	"testing"

	"trimtab/vts"
)

func TestUpstreamOfWebSocketsIsLeftOutWhileItCarriesThem(t *testing.T) {
	s := &Session{log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	group := func(switched, answered uint64) vts.GroupSample {
		return vts.GroupSample{Name: "chat", Upgraded: switched, Ever: switched + answered}
	}
	for _, c := range []struct {
		name               string
		switched, answered uint64
		fits               bool
	}{
		{"plain answers fit", 0, 100, true},
		{"WebSockets do not", 50, 50, false},
		{"they are still left out", 100, 0, false},
		{"without them it fits again", 0, 100, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := s.fits(group(c.switched, c.answered)); got != c.fits {
				t.Errorf("got fits %t, want %t", got, c.fits)
			}
			if out := s.leftOut(); slices.Contains(out, "") || (len(out) == 0) != c.fits {
				t.Errorf("left out %q, want one upstream: %t", out, !c.fits)
			}
		})
	}
}
