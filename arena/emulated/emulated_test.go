package emulated

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheGateLetsInSoMany(t *testing.T) {
	for _, c := range []struct {
		name   string
		most   int
		change func(g *Gate, cancel func()) // after three have come
		want   int                          // inside and left waiting in the end
		wait   int
	}{
		{"all that fit go in", 3, func(*Gate, func()) {}, 3, 0},
		{"the others wait", 1, func(*Gate, func()) {}, 1, 2},
		{"who leaves lets the next one in", 1, func(g *Gate, _ func()) { g.Leave() }, 1, 1},
		{"a wider gate lets in more", 1, func(g *Gate, _ func()) { g.Resize(2) }, 2, 1},
		{"a narrower one sends nobody away", 3, func(g *Gate, _ func()) { g.Resize(1) }, 3, 0},
		{"who gives up waits no longer", 1, func(_ *Gate, cancel func()) { cancel() }, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				g := NewGate(c.most)
				for range 3 {
					go g.Enter(ctx)
				}
				synctest.Wait()
				c.change(g, cancel)
				synctest.Wait()
				if inside, waiting := g.Count(); inside != c.want || waiting != c.wait {
					t.Errorf("got %d inside and %d waiting, want %d and %d", inside, waiting, c.want, c.wait)
				}
			})
		})
	}
}

// A turn that comes while its owner gives up goes to the next one.
func TestATurnIsNotLost(t *testing.T) {
	g := NewGate(1)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 1000 {
		if g.Enter(gone) { // either may win: the turn or the end
			g.Leave()
		}
	}
	in := g.Enter(t.Context())
	if inside, waiting := g.Count(); !in || inside != 1 || waiting != 0 {
		t.Errorf("after those who gave up: got %d inside and %d waiting, want one who got in", inside, waiting)
	}
}

func TestAnAnswerTakesItsTime(t *testing.T) {
	gate := NewGate(1)
	s, err := Start(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		Serve(rw, r, gate, 0.01, func(normal float64) float64 { return 2 + normal })
	}))
	if err != nil {
		t.Fatal(err)
	}
	client := Client()
	defer client.CloseIdleConnections()
	began := time.Now()
	got, err := Ask(t.Context(), client, s.URL(0)+"/", 0.5, 1000)
	if took := time.Since(began); err != nil || got != 2.5 || took < 25*time.Millisecond {
		t.Errorf("got %v s in service after %s, error %v, want 2.5 s after 25 ms at least", got, took, err)
	}
	resp, err := client.Post(s.URL(0), "text/plain", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("without a deviate: got %s, want 400", resp.Status)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Ask(t.Context(), client, s.URL(0), 0, 0); err == nil {
		t.Error("a server that is gone: got no error")
	}
}
