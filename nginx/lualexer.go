package nginx

import "bytes"

// luaBlock skips the body of a *_by_lua_block whose { has just been read. The Lua module (util/gen-lexer-c) looks for
// the leftmost of { } [=*[ --[=*[ ]=*] --… "…" '…', strings not spanning lines; braces nest.
func (l *lexer) luaBlock() error {
	data, pos, depth, start := l.data, l.pos, 1, l.line
	for pos < len(data) {
		switch c := data[pos]; c {
		case '\n':
			l.line++
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				l.pos = pos + 1
				return nil
			}
		case '"', '\'':
			if end, ok := luaString(data, pos); ok {
				pos = end
				continue
			}
		case '-':
			if pos+1 < len(data) && data[pos+1] == '-' {
				if end, ok := longBracket(data, pos+2); ok {
					if end > len(data) {
						return l.fail(l.line, "missing closing long bracket in a Lua block")
					}
					l.line += bytes.Count(data[pos:end], []byte{'\n'})
					pos = end
					continue
				}
				eol := bytes.IndexByte(data[pos:], '\n')
				if eol < 0 {
					pos = len(data)
				} else {
					pos += eol
				}
				continue
			}
		case '[':
			if end, ok := longBracket(data, pos); ok {
				if end > len(data) {
					return l.fail(l.line, "missing closing long bracket in a Lua block")
				}
				l.line += bytes.Count(data[pos:end], []byte{'\n'})
				pos = end
				continue
			}
		}
		pos++
	}
	return l.fail(start, "unexpected end of file in a Lua block, expecting \"}\"")
}

// luaString returns the position behind the quoted string that begins at pos. A string that does not end on its line
// is none: the module then takes the quote for an ordinary byte.
func luaString(data []byte, pos int) (int, bool) {
	quote := data[pos]
	for i := pos + 1; i < len(data); i++ {
		switch data[i] {
		case quote:
			return i + 1, true
		case '\n':
			return 0, false
		case '\\':
			if i++; i < len(data) && data[i] == '\n' {
				return 0, false
			}
		}
	}
	return 0, false
}

// longBracket returns the position behind the long bracket [[…]], [=[…]=] that begins at pos, if one does; a position
// behind the end of data when it is never closed.
func longBracket(data []byte, pos int) (int, bool) {
	if pos >= len(data) || data[pos] != '[' {
		return 0, false
	}
	level := 0
	for pos+1+level < len(data) && data[pos+1+level] == '=' {
		level++
	}
	if open := pos + 1 + level; open >= len(data) || data[open] != '[' {
		return 0, false
	}
	closing := append(append([]byte{']'}, bytes.Repeat([]byte{'='}, level)...), ']')
	from := pos + 2 + level
	end := bytes.Index(data[from:], closing)
	if end < 0 {
		return len(data) + 1, true
	}
	return from + end + len(closing), true
}
