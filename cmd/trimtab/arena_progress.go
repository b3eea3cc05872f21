package main

import (
	"fmt"
	"time"
)

// arenaProgress tells on stderr how many cells are finished: as a bar on a terminal, else every 15 s.
type arenaProgress struct {
	line  *statusLine
	total int
	done  int
	began time.Time
}

func newArenaProgress(e *env, total int) *arenaProgress {
	return &arenaProgress{line: newStatusLine(e), total: total, began: time.Now()}
}

// add counts one cell.
func (p *arenaProgress) add() {
	p.done++
	took := time.Since(p.began)
	if p.done == p.total {
		p.line.last = -plainEvery // the last one is always said
	}
	text := fmt.Sprintf("arena: %d of %d cells after %s", p.done, p.total, took.Round(time.Second))
	if p.line.e.terminal() {
		left := time.Duration(float64(took) * float64(p.total-p.done) / float64(p.done))
		text = fmt.Sprintf("%s %s, about %s left", bar(float64(p.done)/float64(p.total), 16), text,
			left.Round(time.Second))
	}
	p.line.show(took, text)
}

// end takes the bar away and returns how long it all took.
func (p *arenaProgress) end() time.Duration {
	p.line.clear()
	return time.Since(p.began)
}
