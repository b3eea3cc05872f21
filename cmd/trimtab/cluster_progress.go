package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"trimtab/cluster"
)

// fitProgress shows how far a long fit is: a bar on a terminal, otherwise a line every ten seconds.
type fitProgress struct {
	mu   sync.Mutex
	e    *env
	bar  *progressbar.ProgressBar
	k    int
	last time.Time
}

const fitProgressEvery = 10 * time.Second

func newFitProgress(e *env) *fitProgress {
	p := &fitProgress{e: e, last: time.Now()}
	if e.terminal() {
		p.bar = progressbar.NewOptions(-1, progressbar.OptionSetWriter(e.stderr), progressbar.OptionClearOnFinish(),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSpinnerType(14), progressbar.OptionSetWidth(10))
	}
	return p
}

// step is the Progress hook of a fit; starts call it side by side.
func (p *fitProgress) step(s cluster.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := fmt.Sprintf("fit k=%d: start %d, iteration %d, log-likelihood %.4f per row", p.k, s.Restart+1, s.Iteration, s.LogLikelihoodPerSample)
	if p.bar != nil {
		p.bar.Describe(text)
		p.bar.Add(1)
		return
	}
	if time.Since(p.last) >= fitProgressEvery {
		p.last = time.Now()
		fmt.Fprintln(p.e.stderr, text)
	}
}

// begin says which k the following steps belong to.
func (p *fitProgress) begin(k int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.k = k
}

// done removes the bar.
func (p *fitProgress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		p.bar.Finish()
		p.bar = nil
	}
}
