package vts

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// scanner walks over a JSON text without building anything from it. Every method leaves pos behind what it read, or
// sets err once and turns the methods that follow into no-ops, so that callers check err where a loop ends.
type scanner struct {
	buf []byte
	pos int
	err error

	bounds  []float64 // of the last histogram: nearly always also those of the next
	scratch []float64

	ctx  context.Context // nil: reading never has to end early
	look int             // where ctx is looked at next
}

// lookEvery is how many bytes are read between two looks at the context: some tenths of a millisecond.
const lookEvery = 64 << 10

// inTime reports whether reading may go on; pos is looked at only every lookEvery bytes.
func (s *scanner) inTime() bool {
	if s.pos < s.look || s.ctx == nil {
		return s.err == nil
	}
	s.look = s.pos + lookEvery
	if err := s.ctx.Err(); err != nil && s.err == nil {
		s.err = &RejectError{Reason: ReasonTimeout, Err: fmt.Errorf("at byte %d of %d: %w", s.pos, len(s.buf), err)}
	}
	return s.err == nil
}

func (s *scanner) fail(format string, args ...any) {
	if s.err == nil {
		s.err = reject(ReasonMalformed, "byte %d: "+format, append([]any{s.pos}, args...)...)
	}
}

// peek skips blanks and returns the next byte without consuming it, 0 at the end or after an error.
func (s *scanner) peek() byte {
	if s.err != nil {
		return 0
	}
	for s.pos < len(s.buf) {
		switch c := s.buf[s.pos]; c {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// expect consumes the byte c.
func (s *scanner) expect(c byte) {
	if got := s.peek(); got != c {
		s.unexpected(strconv.QuoteRune(rune(c)))
		return
	}
	s.pos++
}

func (s *scanner) unexpected(want string) {
	if s.pos >= len(s.buf) {
		s.fail("the text is cut off: want %s", want)
		return
	}
	s.fail("got %q, want %s", s.buf[s.pos], want)
}

// key returns the next key of the object that is being read, or ok = false at its end. Call it with first = true right
// after the opening brace. The key is valid until the buffer changes.
func (s *scanner) key(first bool) (key []byte, ok bool) {
	if !s.inTime() {
		return nil, false
	}
	c := s.peek()
	if c == '}' {
		s.pos++
		return nil, false
	}
	if !first {
		s.expect(',')
		if s.err == nil && s.peek() != '"' {
			s.unexpected("a key")
		}
	}
	key = s.str()
	s.expect(':')
	return key, s.err == nil
}

// more reports whether the array that is being read has another element.
func (s *scanner) more(first bool) bool {
	if !s.inTime() {
		return false
	}
	if s.peek() == ']' {
		s.pos++
		return false
	}
	if !first {
		s.expect(',')
		if s.err == nil && s.peek() == ']' {
			s.unexpected("a value")
		}
	}
	return s.err == nil
}

// str returns the next string. Escapes are resolved into new memory; text without any is returned in place. Names are
// written by nginx-module-vts as they stand in the configuration, older modules without any escaping: control bytes
// and escapes that JSON does not have stand for themselves, so that a name that nobody asks for cannot hide the rest
// of the page.
func (s *scanner) str() []byte {
	if s.peek() != '"' {
		s.unexpected("a string")
		return nil
	}
	s.pos++
	start := s.pos
	for i := start; i < len(s.buf); i++ {
		switch c := s.buf[i]; {
		case c == '"':
			s.pos = i + 1
			return s.buf[start:i]
		case c == '\\':
			return s.escaped(start, i)
		}
	}
	s.pos = len(s.buf)
	s.unexpected("the end of a string")
	return nil
}

// escaped finishes a string whose first backslash stands at i.
func (s *scanner) escaped(start, i int) []byte {
	out := append([]byte(nil), s.buf[start:i]...)
	for i < len(s.buf) {
		c := s.buf[i]
		switch {
		case c == '"':
			s.pos = i + 1
			return out
		case c != '\\':
			out = append(out, c)
			i++
			continue
		}
		if i+1 >= len(s.buf) {
			break
		}
		switch e := s.buf[i+1]; e {
		case '"', '\\', '/':
			out = append(out, e)
		case 'b', 'f', 'n', 'r', 't':
			out = append(out, "\b\f\n\r\t"[strings.IndexByte("bfnrt", e)])
		case 'u':
			if i+6 > len(s.buf) {
				i = len(s.buf)
				continue
			}
			r, err := strconv.ParseUint(string(s.buf[i+2:i+6]), 16, 16)
			if err != nil {
				out = append(out, '\\', 'u')
				break
			}
			out = utf8.AppendRune(out, rune(r)) // a lone surrogate becomes U+FFFD
			i += 4
		default:
			out = append(out, '\\', e)
		}
		i += 2
	}
	s.pos = len(s.buf)
	s.unexpected("the end of a string")
	return nil
}

// uint returns the next value, which must be a whole number from 0 to 2^64-1.
func (s *scanner) uint() uint64 {
	c := s.peek()
	if c < '0' || c > '9' {
		s.unexpected("a counter")
		return 0
	}
	var n uint64
	i := s.pos
	for ; i < len(s.buf); i++ {
		d := uint64(s.buf[i] - '0')
		if d > 9 {
			break
		}
		if n > math.MaxUint64/10 || n*10 > math.MaxUint64-d {
			s.fail("a counter above 2^64-1")
			return 0
		}
		n = n*10 + d
	}
	if c == '0' && i > s.pos+1 {
		s.fail("a counter with a leading zero")
		return 0
	}
	s.pos = i
	if i < len(s.buf) {
		if c := s.buf[i]; c == '.' || c == 'e' || c == 'E' {
			s.unexpected("the end of a counter")
		}
	}
	return n
}

// int returns the next value, which must be a whole number from 0 to 2^63-1.
func (s *scanner) int() int64 {
	n := s.uint()
	if n > math.MaxInt64 {
		s.fail("%d does not fit", n)
		return 0
	}
	return int64(n)
}

// float returns the next number, which must be finite and not negative.
func (s *scanner) float() float64 {
	if c := s.peek(); c < '0' || c > '9' {
		s.unexpected("a number from 0 up")
		return 0
	}
	i, whole := s.pos, uint64(0)
	for i < len(s.buf) && s.buf[i]-'0' <= 9 {
		whole = whole*10 + uint64(s.buf[i]-'0')
		i++
	}
	if i-s.pos <= 15 && (i == len(s.buf) || s.buf[i] != '.' && s.buf[i]|0x20 != 'e') {
		s.pos = i
		return float64(whole) // below 2^53, so exact
	}
	for i < len(s.buf) && strings.IndexByte("0123456789.eE+-", s.buf[i]) >= 0 {
		i++
	}
	f, err := strconv.ParseFloat(string(s.buf[s.pos:i]), 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		s.fail("bad number %q", s.buf[s.pos:i])
		return 0
	}
	s.pos = i
	return f
}

// null reads null if it comes next, and reports whether it did.
func (s *scanner) null() bool {
	s.peek()
	if s.err != nil || len(s.buf)-s.pos < 4 || string(s.buf[s.pos:s.pos+4]) != "null" {
		return false
	}
	s.pos += 4
	return true
}

// flag returns the next value, which must be true, false, 1 or 0: the older recorder wrote numbers.
func (s *scanner) flag() bool {
	s.peek()
	if s.err != nil {
		return false
	}
	for _, f := range [...]struct {
		text  string
		value bool
	}{{"true", true}, {"false", false}, {"1", true}, {"0", false}} {
		if rest := s.buf[s.pos:]; len(rest) >= len(f.text) && string(rest[:len(f.text)]) == f.text {
			s.pos += len(f.text)
			return f.value
		}
	}
	s.unexpected("true or false")
	return false
}

// maxDepth bounds the nesting of values that are skipped; a status page nests 5 deep.
const maxDepth = 64

// skip passes over the next value whatever it is. Brackets must match and strings be sound; the bytes of bare numbers
// and words are looked at only as far as is needed to find the value's end, since nothing is read from them.
func (s *scanner) skip() {
	var closers [maxDepth]byte
	depth := 0
	for s.inTime() {
		switch c := s.peek(); c {
		case '"':
			s.skipString()
		case '{', '[':
			if depth == maxDepth {
				s.fail("nested deeper than %d", maxDepth)
				return
			}
			closers[depth] = c + 2 // '[' + 2 is ']', '{' + 2 is '}'
			depth++
			s.pos++
			continue
		case '}', ']':
			if depth == 0 || closers[depth-1] != c {
				s.unexpected("a value")
				return
			}
			depth--
			s.pos++
		case ',', ':':
			if depth == 0 {
				s.unexpected("a value")
				return
			}
			s.pos++
			continue
		default:
			s.skipWord(depth > 0)
		}
		if s.err != nil {
			return
		}
		if depth == 0 {
			return
		}
	}
}

// skipString passes over the next string without resolving its escapes.
func (s *scanner) skipString() {
	for i := s.pos + 1; i < len(s.buf); i++ {
		switch c := s.buf[i]; {
		case c == '"':
			s.pos = i + 1
			return
		case c == '\\':
			i++
		}
	}
	s.pos = len(s.buf)
	s.unexpected("the end of a string")
}

// skipWord passes over numbers and bare words; inside a container, over a whole run of them with their commas, which is
// what the rings of recent times are made of.
func (s *scanner) skipWord(run bool) {
	i := s.pos
	limit := uint8(inWord)
	if run {
		limit = inRun
	}
	for i < len(s.buf) && class[s.buf[i]]-1 < limit {
		i++
	}
	if i == s.pos {
		s.unexpected("a value")
		return
	}
	s.pos = i
}

const (
	inWord = 1 // may be part of a number, true, false or null
	inRun  = 2 // may stand between numbers
)

var class = func() (t [256]uint8) {
	for _, c := range []byte("0123456789+-.eEtrufalsn") {
		t[c] = inWord
	}
	t[','] = inRun
	return t
}()
