package trimtab_test

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// mostWords is how long all documents outside docs/lab may be together, without generated lists: what is longer is not
// read.
const mostWords = 12_000

// generated is a list that make docs writes: it is looked up, not read, and does not count.
var generated = regexp.MustCompile(`(?s)<!-- \w+:begin -->.*?<!-- \w+:end -->`)

// longestLine is that of prose, in characters; a table's row and a line of output are as long as they are.
const longestLine = 120

// document is a Markdown file, its code blocks apart.
type document struct {
	path  string
	text  string
	prose []line // outside of code blocks
}

type line struct {
	number int
	text   string
}

func (d *document) at(l line) string { return fmt.Sprintf("%s:%d", d.path, l.number) }

// documents are all Markdown files of the project.
func documents(t *testing.T) []*document {
	t.Helper()
	var out []*document
	err := filepath.WalkDir(".", func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && foreign(path):
			return filepath.SkipDir
		case e.IsDir() || filepath.Ext(path) != ".md":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		out = append(out, parse(path, string(text)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 10 {
		t.Fatalf("found %d documents: this test runs in the root of the project", len(out))
	}
	return out
}

// foreign reports whether a folder holds what is not of the project: what was built, and git's own.
func foreign(path string) bool { return path == "bin" || path == "out" || path == ".git" }

func parse(path, text string) *document {
	d := &document{path: path, text: text}
	fenced := false
	for i, s := range strings.Split(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(s), "```") {
			fenced = !fenced
			continue
		}
		if !fenced && !strings.HasPrefix(s, "    ") {
			d.prose = append(d.prose, line{i + 1, s})
		}
	}
	return d
}

var (
	code    = regexp.MustCompile("`[^`]*`")
	links   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`^#{1,6} +(.*)$`)
	html    = regexp.MustCompile(`<a id="([^"]+)">`)
)

// anchors are the names that a heading of a document can be linked by, as GitHub makes them.
func (d *document) anchors() []string {
	var out []string
	for _, l := range d.prose {
		for _, m := range html.FindAllStringSubmatch(l.text, -1) {
			out = append(out, m[1])
		}
		m := heading.FindStringSubmatch(l.text)
		if m == nil {
			continue
		}
		var b strings.Builder
		for _, r := range strings.ToLower(links.ReplaceAllString(m[1], "]")) {
			switch {
			case r == ' ':
				b.WriteByte('-')
			case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_':
				b.WriteRune(r)
			}
		}
		name := b.String()
		for n := 1; slices.Contains(out, name); n++ {
			name = fmt.Sprintf("%s-%d", b.String(), n)
		}
		out = append(out, name)
	}
	return out
}

func TestLinksOfDocumentsLeadSomewhere(t *testing.T) {
	all := documents(t)
	byPath := map[string]*document{}
	for _, d := range all {
		byPath[d.path] = d
	}
	for _, d := range all {
		for _, l := range d.prose {
			for _, m := range links.FindAllStringSubmatch(code.ReplaceAllString(l.text, "``"), -1) {
				u, err := url.Parse(m[1])
				if err != nil {
					t.Errorf("%s: %v", d.at(l), err)
					continue
				}
				if u.Scheme != "" {
					continue
				}
				target := d.path
				if u.Path != "" {
					target = filepath.Join(filepath.Dir(d.path), u.Path)
				}
				if _, err := os.Stat(target); err != nil {
					t.Errorf("%s: %s: there is no such file", d.at(l), m[1])
					continue
				}
				if to := byPath[target]; u.Fragment != "" && to != nil && !slices.Contains(to.anchors(), u.Fragment) {
					t.Errorf("%s: %s: no heading has this name", d.at(l), m[1])
				}
			}
		}
	}
}

// Every document is found from the index, over as many links as it takes.
func TestIndexLeadsToEveryDocument(t *testing.T) {
	byPath := map[string]*document{}
	for _, d := range documents(t) {
		byPath[d.path] = d
	}
	seen, next := map[string]bool{"docs/README.md": true}, []string{"docs/README.md"}
	for len(next) > 0 {
		d := byPath[next[0]]
		next = next[1:]
		if d == nil {
			t.Fatal("there is no docs/README.md")
		}
		for _, m := range links.FindAllStringSubmatch(d.text, -1) {
			path, _, _ := strings.Cut(m[1], "#")
			if to := filepath.Join(filepath.Dir(d.path), path); byPath[to] != nil && !seen[to] {
				seen[to], next = true, append(next, to)
			}
		}
	}
	for path := range byPath {
		if strings.HasPrefix(path, "docs/") && !seen[path] {
			t.Errorf("%s: no link leads there from docs/README.md", path)
		}
	}
}

// Paths and tests that documents and comments name are there.
func TestWhatDocumentsNameIsThere(t *testing.T) {
	tests, named := map[string]bool{}, regexp.MustCompile(`^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	docs := regexp.MustCompile(`\bdocs/[\w./-]+\.(?:md|py|png)\b`)
	err := filepath.WalkDir(".", func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && foreign(path):
			return filepath.SkipDir
		case e.IsDir():
			return nil
		}
		name, kind := e.Name(), filepath.Ext(path)
		if kind != ".go" && kind != ".sh" && name != "Makefile" && kind != ".toml" && kind != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for i, s := range strings.Split(string(text), "\n") {
			if m := named.FindStringSubmatch(s); m != nil {
				tests[m[1]] = true
			}
			if name == "CHANGELOG.md" || strings.HasPrefix(path, "docs/decisions/") {
				continue // which tell what was
			}
			for _, doc := range docs.FindAllString(s, -1) {
				if _, err := os.Stat(doc); err != nil {
					t.Errorf("%s:%d: %s: there is no such document", path, i+1, doc)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	inCode := regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w+)`")
	for _, d := range documents(t) {
		for _, l := range d.prose {
			for _, m := range inCode.FindAllStringSubmatch(l.text, -1) {
				if !tests[m[1]] {
					t.Errorf("%s: %s: there is no such test", d.at(l), m[1])
				}
			}
		}
	}
}

// A target of make that a document names is one of the Makefile.
func TestMakeTargetsOfDocumentsExist(t *testing.T) {
	text, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^([a-z0-9_-]+):`).FindAllStringSubmatch(string(text), -1) {
		targets[m[1]] = true
	}
	if !targets["test"] {
		t.Fatal("the Makefile has no target test")
	}
	inline := regexp.MustCompile("`(?:sudo )?make ([^`]*)`")
	block := regexp.MustCompile(`(?m)^(?:    |\s*)(?:sudo )?make +([a-zA-Z][^#\n]*)`)
	word := regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)
	for _, d := range documents(t) {
		var uses []string
		for _, m := range inline.FindAllStringSubmatch(d.text, -1) {
			uses = append(uses, m[1])
		}
		for _, b := range d.blocks() {
			for _, m := range block.FindAllStringSubmatch(b, -1) {
				uses = append(uses, m[1])
			}
		}
		for _, use := range uses {
			use, _, _ = strings.Cut(use, "&&")
			for _, target := range strings.Fields(use) {
				if word.MatchString(target) && !targets[target] {
					t.Errorf("%s: make %s: there is no such target", d.path, target)
				}
			}
		}
	}
}

// blocks are the code blocks of a document.
func (d *document) blocks() []string {
	var out []string
	var b strings.Builder
	fenced := false
	flush := func() {
		if b.Len() > 0 {
			out = append(out, b.String())
			b.Reset()
		}
	}
	for _, s := range strings.Split(d.text, "\n") {
		switch {
		case strings.HasPrefix(strings.TrimSpace(s), "```"):
			fenced = !fenced
			flush()
		case fenced:
			b.WriteString(s + "\n")
		case strings.HasPrefix(s, "    "):
			b.WriteString(s[4:] + "\n")
		case s != "":
			flush()
		}
	}
	flush()
	return out
}

func TestDocumentsAreNoLongerThanIsRead(t *testing.T) {
	words := 0
	for _, d := range documents(t) {
		for _, l := range d.prose {
			short := len([]rune(l.text)) <= longestLine || strings.HasPrefix(l.text, "|") || strings.HasPrefix(l.text, "!")
			if !short && strings.HasPrefix(d.path, "docs/") && !strings.HasPrefix(d.path, "docs/lab/") {
				t.Errorf("%s: a line of %d characters, want at most %d", d.at(l), len([]rune(l.text)), longestLine)
			}
		}
		if !strings.HasPrefix(d.path, "docs/") || strings.HasPrefix(d.path, "docs/lab/") {
			continue
		}
		n := 0
		for _, w := range strings.Fields(generated.ReplaceAllString(d.text, "")) {
			if strings.ContainsFunc(w, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
				n++
			}
		}
		words += n
		t.Logf("%5d %s", n, d.path)
	}
	t.Logf("%5d in all", words)
	if words > mostWords {
		t.Errorf("docs has %d words outside docs/lab, want at most %d: shorten, or move measurements there", words, mostWords)
	}
}

// What a reader cannot follow: papers that are not there, and what was before.
func TestDocumentsSpeakOfWhatIs(t *testing.T) {
	private := regexp.MustCompile(`(?i)\bthe design\b|\bthe build before\b|\.\./shared/|` +
		`\b(as|is|was|were) asked\b|\basked (was|were|rate)\b|\| asked\b`)
	for _, d := range documents(t) {
		if !strings.HasPrefix(d.path, "docs/") && d.path != "README.md" {
			continue
		}
		for _, l := range d.prose {
			if m := private.FindString(l.text); m != "" {
				t.Errorf("%s: %q: no reader has that", d.at(l), m)
			}
		}
	}
}
