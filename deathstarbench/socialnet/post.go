package socialnet

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// User is a user as posts name it.
type User struct {
	ID   int64
	Name string
}

// Media is an attachment of a post.
type Media struct {
	ID   int64
	Type string
}

// URL is a link of a post.
type URL struct{ Short, Expanded string }

// Post is a published post.
type Post struct {
	ID        int64
	Creator   User
	RequestID int64
	Text      string
	Mentions  []User
	Media     []Media
	URLs      []URL
	Timestamp int64 // ms since the Unix epoch
	Type      int
}

// appendJSON appends the post as timelines show it: ids and the timestamp as strings.
func (p *Post) appendJSON(b []byte) []byte {
	b = slices.Grow(b, 512+len(p.Text)+140*len(p.URLs)+60*(len(p.Media)+len(p.Mentions)))
	b = append(b, `{"post_id":"`...)
	b = strconv.AppendInt(b, p.ID, 10)
	b = append(b, `","creator":`...)
	b = p.Creator.appendJSON(b)
	b = append(b, `,"req_id":"`...)
	b = strconv.AppendInt(b, p.RequestID, 10)
	b = append(b, `","text":`...)
	b = appendString(b, p.Text)
	b = append(b, `,"user_mentions":[`...)
	for i, m := range p.Mentions {
		b = m.appendJSON(comma(b, i))
	}
	b = append(b, `],"media":[`...)
	for i, m := range p.Media {
		b = append(comma(b, i), `{"media_id":"`...)
		b = strconv.AppendInt(b, m.ID, 10)
		b = append(b, `","media_type":`...)
		b = append(appendString(b, m.Type), '}')
	}
	b = append(b, `],"urls":[`...)
	for i, u := range p.URLs {
		b = append(comma(b, i), `{"shortened_url":`...)
		b = appendString(b, u.Short)
		b = append(b, `,"expanded_url":`...)
		b = append(appendString(b, u.Expanded), '}')
	}
	b = append(b, `],"timestamp":"`...)
	b = strconv.AppendInt(b, p.Timestamp, 10)
	b = append(b, `","post_type":`...)
	b = strconv.AppendInt(b, int64(p.Type), 10)
	return append(b, '}')
}

func (u User) appendJSON(b []byte) []byte {
	b = append(b, `{"user_id":"`...)
	b = strconv.AppendInt(b, u.ID, 10)
	b = append(b, `","username":`...)
	return append(appendString(b, u.Name), '}')
}

func comma(b []byte, i int) []byte {
	if i > 0 {
		return append(b, ',')
	}
	return b
}

// appendString appends s as a JSON string; bytes that are not UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20 || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += size
			continue
		}
		i++
	}
	return append(b, '"')
}

// mentions returns the names that the text mentions as @name, each once, in order.
func mentions(text string) []string {
	var names []string
	for {
		_, rest, ok := strings.Cut(text, "@")
		if !ok {
			return names
		}
		n := span(rest, func(c byte) bool { return isAlphanumeric(c) || c == '-' || c == '_' })
		if name := rest[:n]; n > 0 && !slices.Contains(names, name) {
			names = append(names, name)
		}
		text = rest[n:]
	}
}

const shortURL = "http://short-url/"

// shorten replaces every URL of the text by a short one.
func shorten(text string) (string, []URL) {
	var urls []URL
	var b strings.Builder
	for {
		i := strings.Index(text, "http")
		if i < 0 {
			break
		}
		scheme := 0
		for _, s := range []string{"http://", "https://"} {
			if strings.HasPrefix(text[i:], s) {
				scheme = len(s)
			}
		}
		n := 0
		if scheme > 0 {
			n = span(text[i+scheme:], func(c byte) bool {
				return isAlphanumeric(c) || strings.IndexByte("_!~*'().&=+$%-/:?#", c) >= 0
			})
		}
		if n == 0 {
			b.WriteString(text[:i+4])
			text = text[i+4:]
			continue
		}
		short := shortURL + randomName(10)
		urls = append(urls, URL{Short: short, Expanded: text[i : i+scheme+n]})
		b.WriteString(text[:i])
		b.WriteString(short)
		text = text[i+scheme+n:]
	}
	if urls == nil {
		return b.String() + text, nil
	}
	b.WriteString(text)
	return b.String(), urls
}

func span(s string, in func(byte) bool) int {
	for i := range len(s) {
		if !in(s[i]) {
			return i
		}
	}
	return len(s)
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func randomName(n int) string {
	const set = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	b := make([]byte, n)
	for i := range b {
		b[i] = set[rand.IntN(len(set))]
	}
	return string(b)
}
