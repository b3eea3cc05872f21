package emulated

import (
	"context"
	"slices"
	"sync"
)

// Gate lets in so many at once; the others wait, first come, first served. All of it may be used by many goroutines.
type Gate struct {
	mu      sync.Mutex
	most    int
	inside  int
	waiting []chan struct{}
}

// NewGate returns one that lets in so many.
func NewGate(most int) *Gate { return &Gate{most: most} }

// Resize changes how many are let in. Those that are inside stay.
func (g *Gate) Resize(most int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.most = most
	g.admit()
}

func (g *Gate) admit() {
	for len(g.waiting) > 0 && g.inside < g.most {
		close(g.waiting[0])
		g.waiting = g.waiting[1:]
		g.inside++
	}
}

// Enter waits until the caller is let in, who must Leave; false: the context ended before.
func (g *Gate) Enter(ctx context.Context) bool {
	turn := make(chan struct{})
	g.mu.Lock()
	g.waiting = append(g.waiting, turn)
	g.admit()
	g.mu.Unlock()
	select {
	case <-turn:
		return true
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.waiting, turn); i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
		return false
	}
	g.inside-- // its turn came meanwhile
	g.admit()
	return false
}

// Leave lets the next one in.
func (g *Gate) Leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	g.admit()
}

// Count is how many are inside and how many wait now.
func (g *Gate) Count() (inside, waiting int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inside, len(g.waiting)
}
