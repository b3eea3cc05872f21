package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// rows are what a terminal of so many columns shows after a text: it knows \r, \n and the escape that clears a line. A
// line that is too wide wraps.
func rows(text string, columns int) []string {
	out := []string{""}
	column := 0
	for text != "" {
		if rest, ok := strings.CutPrefix(text, "\x1b[K"); ok {
			last := []rune(out[len(out)-1])
			out[len(out)-1] = string(last[:min(len(last), column)])
			text = rest
			continue
		}
		r, n := utf8.DecodeRuneInString(text)
		text = text[n:]
		switch r {
		case '\r':
			column = 0
		case '\n':
			out, column = append(out, ""), 0
		default:
			if column == columns {
				out, column = append(out, ""), 0
			}
			last := []rune(out[len(out)-1])
			for len(last) <= column {
				last = append(last, ' ')
			}
			last[column] = r
			out[len(out)-1] = string(last)
			column++
		}
	}
	return out
}

func TestLogLinesNeverTearTheBar(t *testing.T) {
	for _, columns := range []int{80, 120, 40} {
		t.Run(fmt.Sprintf("%d columns", columns), func(t *testing.T) {
			var raw bytes.Buffer
			s := &screen{w: &raw, width: func() int { return columns }}
			e := &env{stdout: &raw, stderr: s, screen: s}
			line := newStatusLine(e)
			log := slog.New(slog.NewTextHandler(s, nil))
			for i := range 20 {
				line.show(time.Duration(i)*time.Second, fmt.Sprintf("%s %d of 20 · %s", bar(float64(i)/20, 20), i,
					strings.Repeat("weights 1:2:4 ", 12)))
				if i%3 == 0 {
					log.Warn("short")
				}
				if i == 7 {
					fmt.Fprint(s, "a line in ")
					fmt.Fprint(s, "two parts\n")
				}
			}
			line.done()
			got := rows(raw.String(), columns)
			bars := 0
			for _, row := range got {
				if strings.Contains(row, "[#") || strings.Contains(row, "[.") {
					bars++
					if utf8.RuneCountInString(row) >= columns || !strings.HasPrefix(row, "[") {
						t.Errorf("a bar of %d columns in %d, or not at the beginning: %q",
							utf8.RuneCountInString(row), columns, row)
					}
				}
			}
			if bars != 1 {
				t.Errorf("%d bars are left, want the last one only:\n%s", bars, strings.Join(got, "\n"))
			}
			text := strings.Join(got, "\n")
			if n := strings.Count(text, "msg=short"); n != 7 || !strings.Contains(text, "a line in two parts") {
				t.Errorf("%d log lines, want 7 whole ones and the one in two parts:\n%s", n, text)
			}
		})
	}
}
