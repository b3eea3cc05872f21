package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"trimtab/arena/testbed"
	"trimtab/weights"
)

// statusLine shows where a long job stands: one line that is redrawn in a terminal, a plain line every fifteen
// seconds elsewhere.
type statusLine struct {
	e    *env
	last time.Duration

	tuneAt  time.Duration // of a trial
	mu      sync.Mutex
	weights weights.Set
}

// barCells leave room for the figures behind a bar at 80 columns.
const barCells = 10

const plainEvery = 14 * time.Second // shows come about once a second: no gap exceeds fifteen

func newStatusLine(e *env) *statusLine { return &statusLine{e: e, last: -plainEvery} }

// show replaces the line by text; elapsed paces the plain lines.
func (s *statusLine) show(elapsed time.Duration, text string) {
	if s.e.screen != nil {
		s.e.screen.show(text)
		return
	}
	if elapsed-s.last >= plainEvery {
		s.last = elapsed
		fmt.Fprintln(s.e.stderr, text)
	}
}

// done leaves the line.
func (s *statusLine) done() {
	if s.e.screen != nil {
		s.e.screen.keep()
	}
}

// clear takes the line away.
func (s *statusLine) clear() {
	if s.e.screen != nil {
		s.e.screen.show("")
	}
}

// interval takes over the weights in force.
func (s *statusLine) interval(i testbed.Interval) {
	s.mu.Lock()
	s.weights = i.Weights
	s.mu.Unlock()
}

// trial shows the progress of a trial.
func (s *statusLine) trial(p testbed.Progress) {
	part := "starting weights"
	if p.Elapsed >= s.tuneAt {
		part = "tuning"
	}
	s.mu.Lock()
	weights := s.weights
	s.mu.Unlock()
	text := fmt.Sprintf("%s %s, %s remaining · %s · %.0f/s · p99 %.0f ms",
		bar(p.Elapsed.Seconds()/p.Total.Seconds(), barCells),
		p.Elapsed.Round(time.Second), (p.Total - p.Elapsed).Round(time.Second), part, p.RatePerSec, p.P99MS)
	if len(weights) > 0 {
		text += " · " + sharesText(weights)
	}
	s.show(p.Elapsed, text)
}

// sharesText renders weights as "compose 14:29:57 % home 14:29:57 %", servers in the order of their names.
func sharesText(weights weights.Set) string {
	var groups []string
	for _, group := range slices.Sorted(maps.Keys(weights)) {
		name, _, _ := strings.Cut(group, "_")
		groups = append(groups, name+" "+testbed.Shares(weights[group]))
	}
	return strings.Join(groups, " ")
}
