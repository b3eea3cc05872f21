package plain

import "strings"

// Fit makes a text fit into so many columns. Aligned tables that are wider are folded: the columns that do not fit
// follow below, each time with the first column again. Other lines that are wider are wrapped.
func Fit(text string, columns int) string {
	lines := strings.Split(text, "\n")
	var out []string
	for i := 0; i < len(lines); {
		end := i
		for end < len(lines) && strings.TrimSpace(lines[end]) != "" {
			end++
		}
		out = append(out, fitParagraph(lines[i:end], columns)...)
		if end < len(lines) {
			out = append(out, lines[end])
		}
		i = end + 1
	}
	return strings.Join(out, "\n")
}

// fitParagraph fits lines of which none is empty.
func fitParagraph(lines []string, columns int) []string {
	wide := false
	for _, line := range lines {
		wide = wide || len([]rune(line)) > columns
	}
	if !wide {
		return lines
	}
	// The largest table in it, with what stands above and below it.
	for n := len(lines); n >= 2; n-- {
		for from := 0; from+n <= len(lines); from++ {
			if folded := fold(lines[from:from+n], columns); folded != nil {
				out := fitParagraph(lines[:from], columns)
				out = append(append([]string{}, out...), folded...)
				return append(out, fitParagraph(lines[from+n:], columns)...)
			}
		}
	}
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = wrapLine(line, columns, 2)
	}
	return out
}

// apart is how many blank columns are between two columns of a table.
const apart = 2

// cell is a column of a table, from a place in the line to another.
type cell struct{ from, to int }

// columnsOf are the columns of a table: what is between blanks that all lines have.
func columnsOf(lines [][]rune) []cell {
	width := 0
	for _, line := range lines {
		width = max(width, len(line))
	}
	var out []cell
	blank := apart
	for at := range width {
		empty := true
		for _, line := range lines {
			empty = empty && (at >= len(line) || line[at] == ' ')
		}
		switch {
		case empty:
			blank++
		case blank >= apart:
			out = append(out, cell{at, at + 1})
			blank = 0
		default:
			out[len(out)-1].to = at + 1
			blank = 0
		}
	}
	return out
}

// fold returns a table that is too wide in several parts; nil: it is none, or not one that can be folded.
func fold(lines []string, columns int) []string {
	table := make([][]rune, len(lines))
	wide := false
	for i, line := range lines {
		table[i] = []rune(strings.TrimRight(line, " "))
		wide = wide || len(table[i]) > columns
	}
	cells := columnsOf(table)
	if !wide || len(cells) < 3 {
		return nil
	}
	first := cells[0].to
	if first > columns/2 {
		return nil
	}
	var out []string
	for i := 1; i < len(cells); {
		end, width := i, first
		for end < len(cells) && width+apart+cells[end].to-cells[end].from <= columns {
			width += apart + cells[end].to - cells[end].from
			end++
		}
		if end == i {
			return nil // a single one is too wide
		}
		if i > 1 {
			out = append(out, "")
		}
		for _, line := range table {
			row := padded(line, cell{0, first})
			for _, c := range cells[i:end] {
				row += strings.Repeat(" ", apart) + padded(line, c)
			}
			out = append(out, strings.TrimRight(row, " "))
		}
		i = end
	}
	return out
}

// padded is what a line has in a column.
func padded(line []rune, c cell) string {
	part := line[min(c.from, len(line)):min(c.to, len(line))]
	return string(part) + strings.Repeat(" ", c.to-c.from-len(part))
}
