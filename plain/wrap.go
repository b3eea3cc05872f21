package plain

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Wrap breaks lines that are wider than so many columns between words; what follows is indented as the line is, and by
// two columns more. A word that is wider stays whole.
func Wrap(text string, columns int) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = wrapLine(line, columns, 2)
	}
	return strings.Join(lines, "\n")
}

// wrapLine wraps one line; what follows is indented as it is and by so many columns more.
func wrapLine(line string, columns, more int) string {
	if utf8.RuneCountInString(line) <= columns {
		return line
	}
	indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
	var b strings.Builder
	b.WriteString(indent)
	at := len(indent)
	for i, word := range strings.Fields(line) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case at+1+n > columns:
			b.WriteString("\n" + indent + strings.Repeat(" ", more))
			at = len(indent) + more
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String()
}

// Hang puts a text behind a head, wrapped to so many columns: what follows begins below the text. Where the head leaves
// less than half of the columns, the text is wrapped as Wrap does.
func Hang(head, text string, columns int) string {
	indent := utf8.RuneCountInString(head)
	if 2*indent > columns {
		return Wrap(head+text, columns)
	}
	below := strings.Repeat(" ", indent)
	lines := strings.Split(wrapLine(text, columns-indent, 0), "\n")
	for i, line := range lines {
		lines[i] = below + strings.TrimLeft(line, " ")
	}
	lines[0] = head + strings.TrimLeft(lines[0], " ")
	return strings.Join(lines, "\n")
}

// Count is a number of things: "1 file", "2 files".
func Count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}
