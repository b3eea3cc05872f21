package main

import (
	"fmt"
	"sync"
	"time"

	"trimtab/cluster"
)

// fitProgress shows how far a long fit is: a line on a terminal, otherwise one every fifteen seconds.
type fitProgress struct {
	mu    sync.Mutex
	line  *statusLine
	began time.Time
	k     int
}

func newFitProgress(e *env) *fitProgress {
	p := &fitProgress{line: newStatusLine(e), began: time.Now()}
	p.line.last = 0 // a fit that takes less says nothing
	return p
}

// step is the Progress hook of a fit; starts call it side by side.
func (p *fitProgress) step(s cluster.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line.show(time.Since(p.began), fmt.Sprintf("fit k=%d: start %d, iteration %d, log-likelihood %.4f per row", p.k,
		s.Restart+1, s.Iteration,
		s.LogLikelihoodPerSample))
}

// begin says which k the following steps belong to.
func (p *fitProgress) begin(k int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.k = k
}

// done removes the line.
func (p *fitProgress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line.clear()
}
