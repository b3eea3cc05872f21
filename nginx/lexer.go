package nginx

import (
	"bytes"
	"fmt"
	"strings"
)

// bufferSize is the size of NGINX's read buffer (NGX_CONF_BUFFER). From the first byte of a word or comment on, it
// must hold everything up to the byte that NGINX has to see next.
const bufferSize = 4096

// token is one word of a directive. data[Start:End] is its text between the quotes, if any; the bytes outside, from
// Outer to OuterEnd, include them.
type token struct {
	start, end int
	line       int
	quoted     bool
	escaped    bool // holds a backslash
}

func (t token) outerEnd() int {
	if t.quoted {
		return t.end + 1
	}
	return t.end
}

// value is what NGINX makes of the token: \" \' \\ \t \r \n are replaced, any other backslash stays.
func (t token) value(data []byte) string {
	raw := data[t.start:t.end]
	if !t.escaped {
		return string(raw)
	}
	var b strings.Builder
	b.Grow(len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] == '\\' && i+1 < len(raw) {
			switch raw[i+1] {
			case '"', '\'', '\\':
				i++
			case 't':
				b.WriteByte('\t')
				i++
				continue
			case 'r':
				b.WriteByte('\r')
				i++
				continue
			case 'n':
				b.WriteByte('\n')
				i++
				continue
			}
		}
		b.WriteByte(raw[i])
	}
	return b.String()
}

// is reports whether the token's value is s; s must hold no backslash or quote.
func (t token) is(data []byte, s string) bool {
	return t.end-t.start == len(s) && string(data[t.start:t.end]) == s
}

// values are the words behind the directive's name.
func (l *lexer) values(data []byte) []string {
	var out []string
	for _, a := range l.args[1:] {
		out = append(out, a.value(data))
	}
	return out
}

// ending is how a directive ends.
type ending uint8

const (
	endOfFile  ending = iota // no more directives; no words
	endSimple                // ;
	blockOpen                // {
	blockClose               // }; no words
)

// lexer splits one file into directives by the rules of ngx_conf_read_token (src/core/ngx_conf_file.c).
type lexer struct {
	name string // for errors
	data []byte
	pos  int
	line int
	args []token // of the directive read last; reused
}

// SyntaxError is text that NGINX would refuse to read.
type SyntaxError struct {
	File string
	Line int
	Text string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("parse %s:%d: %s", e.File, e.Line, e.Text) }

func (l *lexer) fail(line int, format string, args ...any) error {
	return &SyntaxError{File: l.name, Line: line, Text: fmt.Sprintf(format, args...)}
}

func newLexer(name string, data []byte) *lexer { return &lexer{name: name, data: data, line: 1} }

// bareStop marks the bytes that need a decision inside a bare word.
var bareStop = [256]bool{' ': true, '\t': true, '\r': true, '\n': true, ';': true, '{': true, '\\': true, '$': true}

// next reads one directive: its words into l.args, and how it ends. After it l.pos is just behind the ; { or }.
func (l *lexer) next() (ending, error) {
	l.args = l.args[:0]
	data, pos := l.data, l.pos
	for {
		// Between words.
		for pos < len(data) {
			switch c := data[pos]; c {
			case '\n':
				l.line++
				pos++
				continue
			case ' ', '\t', '\r':
				pos++
				continue
			}
			break
		}
		if pos >= len(data) {
			l.pos = pos
			if len(l.args) > 0 {
				return endOfFile, l.fail(l.line, "unexpected end of file, expecting \";\" or \"}\"")
			}
			return endOfFile, nil
		}
		switch c := data[pos]; c {
		case ';', '{':
			if len(l.args) == 0 {
				return endOfFile, l.fail(l.line, "unexpected %q", c)
			}
			l.pos = pos + 1
			if c == '{' {
				return blockOpen, nil
			}
			return endSimple, nil
		case '}':
			if len(l.args) != 0 {
				return endOfFile, l.fail(l.line, "unexpected \"}\"")
			}
			l.pos = pos + 1
			return blockClose, nil
		case '#':
			eol := bytes.IndexByte(data[pos:], '\n')
			if eol < 0 {
				eol = len(data) - pos
			}
			if eol > bufferSize || eol == bufferSize && pos+eol < len(data) {
				return endOfFile, l.fail(l.line, "comment of %d bytes: NGINX reads at most %d", eol, bufferSize-1)
			}
			pos += eol
			continue
		}
		var err error
		var done ending
		if pos, done, err = l.word(pos); err != nil {
			return endOfFile, err
		}
		if done != endOfFile {
			l.pos = pos
			return done, nil
		}
	}
}

// word reads the word that begins at pos and appends it to l.args. It returns the position behind it and, when the
// word was ended by ; or {, how the directive ends.
func (l *lexer) word(pos int) (int, ending, error) {
	data := l.data
	t := token{start: pos, line: l.line}
	if c := data[pos]; c == '"' || c == '\'' {
		return l.quotedWord(pos, c)
	}
	variable := false // a { behind $ belongs to the word
	for i := pos; ; {
		for i < len(data) && !bareStop[data[i]] {
			i++
			variable = false
		}
		if i >= len(data) {
			return i, endOfFile, l.fail(l.line, "unexpected end of file, expecting \";\" or \"}\"")
		}
		switch c := data[i]; {
		case c == '{' && variable:
			i++
		case c == '\\':
			t.escaped, variable = true, false
			if i+1 < len(data) && data[i+1] == '\n' {
				l.line++
			}
			i += 2
		case c == '$':
			variable = true
			i++
		default:
			t.end = i
			need := t.end - t.start + 1 // the byte that ends the word
			if c != ';' && c != '{' {
				need++ // the byte behind it
			}
			if need > bufferSize {
				return i, endOfFile, l.fail(t.line, "word of %d bytes: too long for NGINX", t.end-t.start)
			}
			l.args = append(l.args, t)
			switch c {
			case ';':
				return i + 1, endSimple, nil
			case '{':
				return i + 1, blockOpen, nil
			}
			return i, endOfFile, nil
		}
	}
}

func (l *lexer) quotedWord(pos int, quote byte) (int, ending, error) {
	data := l.data
	t := token{start: pos + 1, line: l.line, quoted: true}
	i := pos + 1
scan:
	for {
		if i >= len(data) {
			return i, endOfFile, l.fail(t.line, "missing terminating %c", quote)
		}
		switch data[i] {
		case quote:
			break scan
		case '\n':
			l.line++
		case '\\':
			t.escaped = true
			if i+1 < len(data) && data[i+1] == '\n' {
				l.line++
			}
			i++
		}
		i++
	}
	t.end = i
	l.args = append(l.args, t)
	i++
	// A quoted word must be followed by a blank, ; { or ).
	if i >= len(data) {
		return i, endOfFile, l.fail(l.line, "unexpected end of file, expecting \";\" or \"}\"")
	}
	need := t.end - t.start + 2 // the closing quote and the byte behind it
	var how ending
	switch data[i] {
	case ';':
		how = endSimple
		i++
	case '{':
		how = blockOpen
		i++
	case ' ', '\t', '\r', '\n':
		need++ // the byte behind the blank
	case ')':
	default:
		return i, endOfFile, l.fail(l.line, "unexpected %q", data[i])
	}
	if need > bufferSize {
		return i, endOfFile, l.fail(t.line, "word of %d bytes: too long for NGINX", t.end-t.start)
	}
	return i, how, nil
}
