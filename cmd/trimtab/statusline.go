package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"trimtab/arena/testbed"
)

// statusLine shows where a long job stands: one line that is redrawn in a terminal, a plain line every fifteen
// seconds elsewhere.
type statusLine struct {
	e     *env
	last  time.Duration
	width int
	drawn bool

	tuneAt  time.Duration // of a trial
	mu      sync.Mutex
	weights map[string]map[string]int
}

const plainEvery = 14 * time.Second // shows come about once a second: no gap exceeds fifteen

func newStatusLine(e *env) *statusLine { return &statusLine{e: e, last: -plainEvery} }

// show replaces the line by text; elapsed paces the plain lines.
func (s *statusLine) show(elapsed time.Duration, text string) {
	if s.e.terminal() {
		fmt.Fprintf(s.e.stderr, "\r%-*s", s.width, text)
		s.width, s.drawn = len(text), true
		return
	}
	if elapsed-s.last >= plainEvery {
		s.last = elapsed
		fmt.Fprintln(s.e.stderr, text)
	}
}

// done leaves the line.
func (s *statusLine) done() {
	if s.drawn {
		fmt.Fprintln(s.e.stderr)
		s.drawn = false
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
	const cells = 20
	filled := int(float64(cells) * p.Elapsed.Seconds() / p.Total.Seconds())
	part := "starting weights"
	if p.Elapsed >= s.tuneAt {
		part = "tuning"
	}
	s.mu.Lock()
	weights := s.weights
	s.mu.Unlock()
	text := fmt.Sprintf("[%s%s] %s, %s left · %s · %.0f requests/s · p99 so far %.0f ms",
		strings.Repeat("#", filled), strings.Repeat(".", cells-filled), p.Elapsed.Round(time.Second), (p.Total - p.Elapsed).Round(time.Second),
		part, p.RatePerSec, p.P99MS)
	if len(weights) > 0 {
		text += " · weights " + weightsText(weights)
	}
	s.show(p.Elapsed, text)
}

// weightsText renders weights as "compose 1:2:4 home 1:2:4", servers in the order of their names.
func weightsText(weights map[string]map[string]int) string {
	var groups []string
	for _, group := range slices.Sorted(maps.Keys(weights)) {
		var vector []string
		for _, server := range slices.Sorted(maps.Keys(weights[group])) {
			vector = append(vector, fmt.Sprint(weights[group][server]))
		}
		name, _, _ := strings.Cut(group, "_")
		groups = append(groups, name+" "+strings.Join(vector, ":"))
	}
	return strings.Join(groups, " ")
}

func printJSON(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) }
