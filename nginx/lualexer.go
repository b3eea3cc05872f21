package nginx

import "bytes"

// luaBlock skips the body of a *_by_lua_block whose { has just been read, by the rules of the Lua module: braces
// nest, and those inside strings, long brackets and comments do not count.
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
			end := luaString(data, pos)
			l.line += bytes.Count(data[pos:end], []byte{'\n'})
			pos = end
			continue
		case '-':
			if pos+1 < len(data) && data[pos+1] == '-' {
				if end, ok := longBracket(data, pos+2); ok {
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
				l.line += bytes.Count(data[pos:end], []byte{'\n'})
				pos = end
				continue
			}
		}
		pos++
	}
	return l.fail(start, "unexpected end of file in a Lua block, expecting \"}\"")
}

// luaString returns the position behind the quoted string that begins at pos.
func luaString(data []byte, pos int) int {
	quote := data[pos]
	for i := pos + 1; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case quote:
			return i + 1
		}
	}
	return len(data)
}

// longBracket returns the position behind the long bracket [[…]], [=[…]=] that begins at pos, if one does.
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
		return len(data), true
	}
	return from + end + len(closing), true
}
