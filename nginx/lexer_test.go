package nginx

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"trimtab/nginx/instance"
)

var lexTests = []struct {
	what string
	text string
	want [][]string // words of each directive; nil: refused
}{
	{"two bare words", "a b;", [][]string{{"a", "b"}}},
	{"a quote inside a bare word is ordinary", `a b"c d;`, [][]string{{"a", `b"c`, "d"}}},
	{"a # inside a bare word is ordinary", "a b#c;", [][]string{{"a", "b#c"}}},
	{"a } inside a bare word is ordinary", "default foo}bar;", [][]string{{"default", "foo}bar"}}},
	{"a # at the start of a word begins a comment", "a # b;\nc;", [][]string{{"a", "c"}}},
	{"a { behind $ belongs to the word", "a ${b}c;", [][]string{{"a", "${b}c"}}},
	{"a blank behind ${ ends the word", "a ${b c};", [][]string{{"a", "${b", "c}"}}},
	{"a $ at the end of a word", "a b$ c;", [][]string{{"a", "b$", "c"}}},
	{"a backslash keeps a blank in the word, and itself", `a b\ c;`, [][]string{{"a", `b\ c`}}},
	{"a backslash keeps a semicolon in the word", `a b\;c;`, [][]string{{"a", `b\;c`}}},
	{"a backslash at the start of a word", `a \;b;`, [][]string{{"a", `\;b`}}},
	{"a backslash before a quote goes away", `a b\"c\'d;`, [][]string{{"a", `b"c'd`}}},
	{"two backslashes make one", `a b\\c;`, [][]string{{"a", `b\c`}}},
	{"an escaped letter stays as it is", `a b\.c\d;`, [][]string{{"a", `b\.c\d`}}},
	{"\\t, \\r and \\n are replaced in bare words too", `a b\tc\rd\ne;`, [][]string{{"a", "b\tc\rd\ne"}}},
	{"double quotes hold blanks, ; { } and #", `a "b ;{}# c";`, [][]string{{"a", "b ;{}# c"}}},
	{"single quotes hold double quotes", `a 'b"c';`, [][]string{{"a", `b"c`}}},
	{"an escaped quote in quotes", `a "b\"c";`, [][]string{{"a", `b"c`}}},
	{"an empty word in quotes", `a "";`, [][]string{{"a", ""}}},
	{"quotes over several lines", "a \"b\nc\";", [][]string{{"a", "b\nc"}}},
	{"a ) may follow a quote", `a ("b");`, [][]string{{"a", `("b")`}}},
	{"a ) behind a quoted word begins the next word", `a "b") c;`, [][]string{{"a", "b", ")", "c"}}},
	{"a letter behind a quoted word", `a "b"c;`, nil},
	{"a quote behind a quoted word", `a "b""c";`, nil},
	{"CR counts as a blank", "a\r\nb\r\n;\r\n", [][]string{{"a", "b"}}},
	{"a form feed does not count as a blank", "a b\fc;", [][]string{{"a", "b\fc"}}},
	{"no final newline, a comment last", "a b;\n# c", [][]string{{"a", "b"}}},
	{"a directive over several lines with comments between", "a # one\n  b # two\n  c\n;", [][]string{{"a", "b", "c"}}},
	{"a lone semicolon", ";", nil},
	{"a lone {", "{", nil},
	{"a directive without an end", "a b", nil},
	{"a quote without an end", `a "b;`, nil},
	{"a } in the middle of a directive", "a }", nil},
	{"a backslash as the last byte", `a b\`, nil},
	{"a BOM belongs to the first word", "\ufeffa b;", [][]string{{"\ufeffa", "b"}}},
	{"bytes that are no UTF-8", "a \xff\xfe;", [][]string{{"a", "\xff\xfe"}}},
	{"a NUL is ordinary", "a b\x00c;", [][]string{{"a", "b\x00c"}}},
}

func TestLexerReadsWordsAsNGINXDoes(t *testing.T) {
	for _, tt := range lexTests {
		t.Run(tt.what, func(t *testing.T) {
			ds, err := lexAll([]byte(tt.text))
			if tt.want == nil {
				if err == nil {
					t.Fatalf("got %v, want an error", ds)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got [][]string
			for _, d := range ds {
				got = append(got, d.words)
			}
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// nginxSays runs nginx -t on the texts, one behind the other, and returns the first emerg line.
func nginxSays(t *testing.T, dir, binary string, texts ...string) string {
	t.Helper()
	path := filepath.Join(dir, "c")
	main := fmt.Sprintf("pid %s/p;\nerror_log %s/e;\n", dir, dir)
	if err := os.WriteFile(path, []byte(main+strings.Join(texts, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(binary, "-t", "-q", "-p", dir, "-c", path).CombinedOutput()
	if err == nil {
		return ""
	}
	return firstEmerg(string(out))
}

func binaryOrSkip(t testing.TB) string {
	t.Helper()
	binary, err := instance.Binary(t.Context())
	if err != nil {
		t.Skip(err)
	}
	return binary
}

var lexical = regexp.MustCompile(`^(unexpected|too long parameter)`)

// NGINX names the parameter of a server line that it does not know: so it tells how it read each word.
func TestNGINXReadsTheSameWords(t *testing.T) {
	binary, dir := binaryOrSkip(t), t.TempDir()
	// A value with a line break or a NUL in it is printed up to there.
	invalid := regexp.MustCompile(`^invalid parameter "(.*?)(?:" in .*)?$`)
	for _, tt := range lexTests {
		if tt.want == nil {
			if said := nginxSays(t, dir, binary, tt.text); !lexical.MatchString(said) {
				t.Errorf("%s: NGINX says %q, want it to refuse the text %q", tt.what, said, tt.text)
			}
			continue
		}
		first := tt.want[0]
		if len(tt.want) != 1 || first[0] != "a" || len(first) < 2 || first[1] == "" {
			continue // needs another way to ask
		}
		text := strings.TrimPrefix(tt.text, "a")
		said := nginxSays(t, dir, binary, "events {} http { upstream u { server 127.0.0.1:1", text, " } }")
		m := invalid.FindStringSubmatch(said)
		want, _, _ := strings.Cut(first[1], "\n")
		if m == nil || m[1] != want {
			t.Errorf("%s: NGINX says %q, want it to name %q", tt.what, said, first[1])
		}
	}
}

// A long word or comment is refused exactly where NGINX refuses it.
func TestNGINXRefusesLongWordsAtTheSameLength(t *testing.T) {
	binary, dir := binaryOrSkip(t), t.TempDir()
	for _, kind := range []struct{ name, before, behind string }{
		{"comment", "#", "\n"},
		{"comment at the end", "events {}\n#", ""},
		{"bare word before ;", "error_log ", ";\n"},
		{"bare word before a blank", "error_log ", " notice;\n"},
		{"quoted word before ;", `error_log "`, "\";\n"},
		{"quoted word before a blank", `error_log "`, "\" notice;\n"},
	} {
		for n := bufferSize - 5; n <= bufferSize+3; n++ {
			text := kind.before + strings.Repeat("x", n) + kind.behind
			_, err := lexAll([]byte(text))
			said := nginxSays(t, dir, binary, text)
			if refused := strings.HasPrefix(said, "too long parameter"); refused != (err != nil) {
				t.Errorf("%s of %d bytes: got %v, but NGINX says %q", kind.name, n, err, said)
			}
		}
	}
}

func TestLuaBlocksEndWhereNGINXEndsThem(t *testing.T) {
	binary, dir := binaryOrSkip(t), t.TempDir()
	modules, err := instance.LuaModules()
	if err != nil {
		t.Skip(err)
	}
	for _, body := range []string{
		` `, ` local t = {{}, {1}} `, ` x = "}" `, ` x = '{' `, ` x = "a\"}" `, " x = \"a\n}\" ", " x = \"a\\\n}\" ",
		" -- it's a }\n", " -- }", ` --[[ } ]] `, ` --[==[ } ]] ]==] `, " --[= } \n", " --[ } \n", ` x = [[ } ]] `,
		` x = [=[ } ]] ]=] `,
		" ---[[ } ]] \n", ` x = a[b[1]] `, ` x = "\\" `, ` x = '\\' } `, " ' }\n ", ` " } `, ` [=} `, ` [= { `,
		` ]] } `, ` - } `, " a-- \" }\n \"}\"",
		` [[ } `, ` --[[ } `, ` x = "--" -- "` + "\n", " x = '\\'}' ", " {\n{\n}\n}\n",
	} {
		text := "http { server { location / { content_by_lua_block {" + body + "}}}}\n"
		_, lexErr := lexAll([]byte(text))
		var depthErr error
		if lexErr == nil {
			_, depthErr = parseText([]byte(text))
		}
		said := nginxSays(t, dir, binary, modules, "events {}\n", text)
		if (lexErr == nil && depthErr == nil) != (said == "") {
			t.Errorf("body %q: got %v, %v; NGINX says %q", body, lexErr, depthErr, said)
		}
	}
}

func TestLexerKeepsCountOfLines(t *testing.T) {
	text := "a;\n# b\n\"c\nd\"\n  e\\\n;\nx_by_lua_block {\n-- }\n\"y\" [[\n]]\n}\nlast;\n"
	ds, err := lexAll([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, d := range ds {
		got = append(got, d.line)
	}
	if want := []int{1, 3, 7, 12}; !slices.Equal(got, want) {
		t.Errorf("got lines %v, want %v", got, want)
	}
}
