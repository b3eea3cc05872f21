package main

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"
)

// arenaProgress tells on stderr how many cells are finished: as a bar on a terminal, else every 15 s.
type arenaProgress struct {
	e     *env
	total int
	done  int
	began time.Time
	bar   *progressbar.ProgressBar
	said  time.Time
}

func newArenaProgress(e *env, total int) *arenaProgress {
	p := &arenaProgress{e: e, total: total, began: time.Now()}
	if e.terminal() {
		p.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(e.stderr),
			progressbar.OptionSetDescription("arena"), progressbar.OptionShowCount(),
			progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish())
	}
	return p
}

// add counts one cell.
func (p *arenaProgress) add() {
	p.done++
	if p.bar != nil {
		_ = p.bar.Add(1)
	} else if now := time.Now(); now.Sub(p.said) >= 15*time.Second || p.done == p.total {
		p.said = now
		took := now.Sub(p.began).Round(time.Second)
		fmt.Fprintf(p.e.stderr, "arena: %d of %d cells after %s\n", p.done, p.total, took)
	}
}

// end takes the bar away and returns how long it all took.
func (p *arenaProgress) end() time.Duration {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	return time.Since(p.began)
}
