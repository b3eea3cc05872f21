package main

import (
	"bytes"
	"io"
	"os"
	"sync"
	"unicode/utf8"

	"golang.org/x/term"
)

// leastWidth is the width that everything fits where the real one cannot be known.
const leastWidth = 80

// screen is a terminal on which one line shows progress, below everything else that is written. Log lines do not tear
// it: it is taken away before each and drawn again after it.
type screen struct {
	mu    sync.Mutex
	w     io.Writer
	width func() int
	line  string // that is drawn now
	torn  bool   // what was written last did not end its line
}

// newScreen returns a screen when w is a terminal; nil otherwise.
func newScreen(w io.Writer) *screen {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return &screen{w: w, width: func() int { return widthOf(f) }}
}

// widthOf is the number of columns of a terminal.
func widthOf(f *os.File) int {
	if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
		return n
	}
	return leastWidth
}

const clearLine = "\r\x1b[K"

// Write implements io.Writer: p is written above the line.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.line == "" || s.torn {
		s.torn = !bytes.HasSuffix(p, []byte("\n")) && len(p) > 0
		return s.w.Write(p)
	}
	text := append([]byte(clearLine), p...)
	s.torn = !bytes.HasSuffix(p, []byte("\n"))
	if !s.torn {
		text = append(text, s.line...)
	}
	if _, err := s.w.Write(text); err != nil {
		return 0, err
	}
	return len(p), nil
}

// show replaces the line; "" takes it away.
func (s *screen) show(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.torn {
		return // somebody is in the middle of a line
	}
	was := s.line
	// The last column stays free: some terminals wrap as soon as it is written.
	s.line = fit(text, max(1, s.width()-1))
	if was != "" || s.line != "" {
		_, _ = io.WriteString(s.w, clearLine+s.line)
	}
}

// keep ends the line and leaves it where it is.
func (s *screen) keep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.line != "" {
		_, _ = io.WriteString(s.w, "\n")
		s.line = ""
	}
}

// fit cuts a text that is wider than so many columns.
func fit(text string, columns int) string {
	if utf8.RuneCountInString(text) <= columns {
		return text
	}
	runes := []rune(text)
	return string(runes[:max(0, columns-1)]) + "…"
}

// bar draws how much of something is done in so many cells.
func bar(done float64, cells int) string {
	filled := int(float64(cells) * min(1, max(0, done)))
	return "[" + string(bytes.Repeat([]byte("#"), filled)) + string(bytes.Repeat([]byte("."), cells-filled)) + "]"
}
