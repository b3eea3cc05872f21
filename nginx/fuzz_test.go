package nginx

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// parseText reads one file as a whole configuration; includes are empty files.
func parseText(data []byte) (*Config, error) {
	r := &reader{
		config: &Config{Path: "/nginx.conf"}, byPath: map[string]*File{},
		load: func(path string) (*File, error) {
			f := &File{Path: path, Real: path, Visits: 1}
			if path == "/nginx.conf" {
				f.Data = data
			}
			f.Hash = hashOf(f.Data)
			return f, nil
		},
		glob: func(string) ([]string, error) { return nil, nil },
	}
	return r.config, r.file("/nginx.conf", place{}, 0)
}

// directive is one directive as the lexer reads it, with everything needed to print it again.
type directive struct {
	words  []string
	spans  [][2]int // of the words, quotes included
	how    ending
	line   int
	lua    string // body of a Lua block
	closed int    // position behind the directive
}

// lexAll splits a file into directives.
func lexAll(data []byte) ([]directive, error) {
	l := newLexer("f", data)
	var out []directive
	for {
		how, err := l.next()
		if err != nil || how == endOfFile {
			return out, err
		}
		d := directive{how: how, line: l.line}
		for _, t := range l.args {
			start := t.start
			if t.quoted {
				start--
			}
			d.words = append(d.words, t.value(data))
			d.spans = append(d.spans, [2]int{start, t.outerEnd()})
		}
		if len(l.args) > 0 {
			d.line = l.args[0].line
		}
		if how == blockOpen && strings.HasSuffix(d.words[0], "_by_lua_block") {
			from := l.pos
			if err := l.luaBlock(); err != nil {
				return out, err
			}
			d.lua = string(data[from : l.pos-1])
		}
		d.closed = l.pos
		out = append(out, d)
	}
}

// checkSpans checks that the directives cover the file: between two words there is nothing but blanks, comments and
// the one byte that ends a directive, so that printing words and gaps in turn gives the file.
func checkSpans(data []byte, ds []directive) error {
	var printed bytes.Buffer
	at := 0
	gap := func(to int, allowed string) error {
		g := data[at:to]
		for len(g) > 0 {
			switch c := g[0]; {
			case c == '#':
				eol := bytes.IndexByte(g, '\n')
				if eol < 0 {
					eol = len(g) - 1
				}
				g = g[eol+1:]
				continue
			case strings.IndexByte(" \t\r\n", c) >= 0:
			case allowed != "" && strings.IndexByte(allowed, c) >= 0:
				allowed = ""
			default:
				return fmt.Errorf("byte %d: %q belongs to no directive", to-len(g), c)
			}
			g = g[1:]
		}
		printed.Write(data[at:to])
		at = to
		return nil
	}
	for _, d := range ds {
		for _, s := range d.spans {
			if err := gap(s[0], ""); err != nil {
				return err
			}
			printed.Write(data[s[0]:s[1]])
			at = s[1]
		}
		end := d.closed
		if d.how == blockOpen && strings.HasSuffix(d.words[0], "_by_lua_block") {
			end -= len(d.lua) + 1
		}
		if err := gap(end, ";{}"); err != nil {
			return err
		}
		printed.Write(data[end:d.closed])
		at = d.closed
	}
	if err := gap(len(data), ""); err != nil {
		return err
	}
	if !bytes.Equal(printed.Bytes(), data) {
		return fmt.Errorf("printed %q, want %q", printed.Bytes(), data)
	}
	return nil
}

// checkEdit gives every server of every editable upstream another weight and checks that the new text holds the same
// servers with those weights and differs in digits alone.
func checkEdit(data []byte, cfg *Config) error {
	for _, u := range cfg.Upstreams {
		want := map[string]Setting{}
		for i, p := range u.Peers {
			want[p.Label()] = Setting{Weight: 1 + (p.Weight+i)%MaxWeight, Down: p.Down}
		}
		plan, err := cfg.Plan(Settings{u.Name: want}, PlanOptions{})
		if err != nil || plan.Empty() {
			continue // refused
		}
		after := plan.Files[0].Apply()
		again, err := parseText(after)
		if err != nil {
			return fmt.Errorf("after the edit: %w", err)
		}
		for i, v := range again.Upstreams {
			before := cfg.Upstreams[i]
			if v.Name != before.Name || len(v.Peers) != len(before.Peers) || v.Line != before.Line {
				return fmt.Errorf("upstream %q became %q", before.Name, v.Name)
			}
			for k, p := range v.Peers {
				expect := before.Peers[k].Weight
				if s, ok := plan.Weights[v.Name][p.Label()]; ok && v.Name == u.Name {
					expect = s.Weight
				}
				if p.Address != before.Peers[k].Address || p.Weight != expect || p.Down != before.Peers[k].Down ||
					p.Backup != before.Peers[k].Backup {
					return fmt.Errorf("server %q weight %d became %q weight %d, want %d", before.Peers[k].Address,
						before.Peers[k].Weight, p.Address, p.Weight, expect)
				}
			}
		}
		if a, b := withoutEdits(data, plan.Files[0].Edits, false), withoutEdits(after, plan.Files[0].Edits,
			true); !bytes.Equal(a, b) {
			return fmt.Errorf("other bytes changed: %q became %q", a, b)
		}
	}
	return nil
}

// withoutEdits cuts the replaced parts out of the text before, or after, the edits, having checked that they hold
// nothing but a weight.
func withoutEdits(data []byte, edits []Edit, after bool) []byte {
	var out []byte
	at, shift := 0, 0
	for _, e := range edits {
		cut := len(e.Old)
		if after {
			cut = len(e.New)
		}
		out = append(out, data[at:e.Offset+shift]...)
		if text := strings.TrimPrefix(string(data[e.Offset+shift:e.Offset+shift+cut]), " weight="); strings.Trim(text,
			"+0123456789") != "" {
			return []byte("edited more than digits: " + text)
		}
		at = e.Offset + shift + cut
		if after {
			shift += len(e.New) - len(e.Old)
		}
	}
	return append(out, data[at:]...)
}

// FuzzRead checks on any bytes: no panic; print∘parse is the identity; the same words when words are printed afresh in
// quotes; editing every weight leaves the same servers and every other byte.
func FuzzRead(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.conf")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, s := range []string{
		"http{upstream u{server a;server b weight=2;}}", "http { upstream \"u\" { server 'a' \"weight=3\" " +
			"weight=4 down; } }",
		"a \"b\"c;", "a ${b} \\; 'c\\'' ;", "# only\n", "init_by_lua_block { --[[ } ]] x = '}' }", "a{", "}", "a \"",
		"\\",
		"map $a $b { default foo}bar; }", "stream{upstream u{server a:1;}}http{upstream u{server a:1;}}",
		"if ($a = \"b\") { }",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ds, err := lexAll(data)
		if err == nil {
			if err := checkSpans(data, ds); err != nil {
				t.Fatal(err)
			}
			checkRequoted(t, ds)
		}
		cfg, err := parseText(data)
		if err != nil {
			return
		}
		if err := checkEdit(data, cfg); err != nil {
			t.Fatal(err)
		}
	})
}

// checkRequoted prints the directives afresh, every word in quotes, and checks that they read the same.
func checkRequoted(t *testing.T, ds []directive) {
	t.Helper()
	var b strings.Builder
	for _, d := range ds {
		for _, w := range d.words {
			if len(w) > bufferSize/4 {
				return // escapes could make it too long
			}
			b.WriteByte('"')
			for i := range len(w) {
				switch c := w[i]; c {
				case '\\', '"':
					b.WriteByte('\\')
					b.WriteByte(c)
				default:
					b.WriteByte(c)
				}
			}
			b.WriteString("\" ")
		}
		b.WriteByte(map[ending]byte{endSimple: ';', blockOpen: '{', blockClose: '}'}[d.how])
		if d.lua != "" || d.how == blockOpen && strings.HasSuffix(d.words[0], "_by_lua_block") {
			b.WriteString(d.lua + "}\n") // a quote in the body must not find its partner behind the block
		}
	}
	again, err := lexAll([]byte(b.String()))
	if err != nil {
		t.Fatalf("printed afresh: %v: %q", err, b.String())
	}
	if len(again) != len(ds) {
		t.Fatalf("printed afresh: got %d directives, want %d: %q", len(again), len(ds), b.String())
	}
	for i := range ds {
		if fmt.Sprintf("%q", again[i].words) != fmt.Sprintf("%q", ds[i].words) || again[i].how != ds[i].how ||
			again[i].lua != ds[i].lua {
			t.Fatalf("printed afresh: got %q, want %q", again[i].words, ds[i].words)
		}
	}
}
