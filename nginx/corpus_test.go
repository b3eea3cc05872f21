package nginx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	crossplane "github.com/nginxinc/nginx-go-crossplane"

	"trimtab/nginx/instance"
)

func corpus(t *testing.T) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("testdata/corpus/*.conf")
	if err != nil || len(names) < 60 {
		t.Fatalf("got %d files, %v, want at least 60", len(names), err)
	}
	files := map[string][]byte{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = data
	}
	return files
}

// flatten writes crossplane's tree as lines: depth, line, words.
func flatten(b *strings.Builder, depth int, ds crossplane.Directives) {
	for _, d := range ds {
		fmt.Fprintf(b, "%d:%d %q\n", depth, d.Line, append([]string{d.Directive}, d.Args...))
		flatten(b, depth+1, d.Block)
	}
}

// flattenOwn writes our directives in the same form.
func flattenOwn(ds []directive) string {
	var b strings.Builder
	depth := 0
	for _, d := range ds {
		if d.how == blockClose {
			depth--
			continue
		}
		words := d.words
		lua := d.how == blockOpen && strings.HasSuffix(words[0], "_by_lua_block")
		if lua {
			words = append(append([]string{}, words...), d.lua)
		}
		if words[0] == "if" { // crossplane takes the parentheses away
			words = append([]string{}, words...)
			last := len(words) - 1
			words[1] = strings.TrimPrefix(words[1], "(")
			words[last] = strings.TrimSuffix(words[last], ")")
			if words[1] == "" {
				words = append(words[:1], words[2:]...)
			}
			if words[len(words)-1] == "" {
				words = words[:len(words)-1]
			}
		}
		fmt.Fprintf(&b, "%d:%d %q\n", depth, d.line, words)
		if d.how == blockOpen && !lua {
			depth++
		}
	}
	return b.String()
}

// crossplaneErrs are the files that crossplane 0.4.89 reads otherwise than NGINX 1.22 does; TestNGINXReadsTheSameWords
// and TestLuaBlocksEndWhereNGINXEndsThem ask NGINX itself about the same text.
var crossplaneErrs = map[string]string{
	"escapes.conf":         "it leaves two backslashes as they are",
	"return-strings.conf":  "it leaves \\n as it is",
	"map-brace-words.conf": "it refuses a } inside a bare word",
	"lua-braces.conf":      "it takes an apostrophe in a Lua comment for a quote",
}

func TestCorpusReadsAsCrossplaneReadsIt(t *testing.T) {
	for name, data := range corpus(t) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			why, errs := crossplaneErrs[filepath.Base(name)]
			payload, err := crossplane.Parse(name, &crossplane.ParseOptions{
				SingleFile: true, SkipDirectiveContextCheck: true, SkipDirectiveArgsCheck: true,
				StopParsingOnError: true,
				LexOptions:         crossplane.LexOptions{Lexers: []crossplane.RegisterLexer{(&crossplane.Lua{}).RegisterLexer()}},
			})
			if err != nil && errs {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var want strings.Builder
			flatten(&want, 0, payload.Config[0].Parsed)
			ds, err := lexAll(data)
			if err != nil {
				t.Fatal(err)
			}
			got := flattenOwn(ds)
			if errs && got == want.String() {
				t.Errorf("crossplane reads this as we do: no longer true that %s", why)
			}
			if !errs && got != want.String() {
				a, b := strings.Split(got, "\n"), strings.Split(want.String(), "\n")
				for i := range min(len(a), len(b)) {
					if a[i] != b[i] {
						t.Fatalf("got  %s\nwant %s", a[i], b[i])
					}
				}
				t.Fatalf("got %d lines, want %d", len(a), len(b))
			}
		})
	}
}

// NGINX finds no fault with the text of any file: it accepts most as they are, and stops at others only for something
// that this machine lacks, such as a module, a certificate or a name server.
func TestCorpusIsWhatNGINXReads(t *testing.T) {
	binary, accepted := binaryOrSkip(t), 0
	modules, _ := instance.LuaModules()
	for name, data := range corpus(t) {
		dir := t.TempDir()
		text := fmt.Sprintf("pid %s/p;\n", dir) + modules + string(data)
		if strings.Contains(text, "\npid run/") {
			text = strings.TrimPrefix(text, fmt.Sprintf("pid %s/p;\n", dir))
		}
		for _, d := range []string{"logs", "run"} {
			if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(dir, "nginx.conf")
		write(t, path, text)
		err := (&Applier{Config: path, StateDir: dir, Binary: binary, Prefix: dir}).Test(t.Context())
		failure := (*testFailure)(nil)
		switch {
		case err == nil:
			accepted++
		case !errors.As(err, &failure):
			t.Errorf("%s: %v", name, err)
		case lexical.MatchString(failure.text):
			t.Errorf("%s: %v", name, failure)
		default:
			t.Logf("%s: %v", name, failure)
		}
	}
	if accepted < 40 {
		t.Errorf("NGINX accepts only %d files", accepted)
	}
	t.Logf("NGINX accepts %d files as they are", accepted)
}

// The upstreams, servers and weights are those that crossplane's tree holds, and editing them changes digits alone.
func TestCorpusUpstreamsAndEdits(t *testing.T) {
	servers, edits := 0, 0
	for name, data := range corpus(t) {
		ds, err := lexAll(data)
		if err == nil {
			err = checkSpans(data, ds)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		cfg, err := parseText(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, u := range cfg.Upstreams {
			servers += len(u.Peers)
			want := map[string]Setting{}
			for i, p := range u.Peers {
				want[p.Label()] = Setting{Weight: 11 + i, Down: p.Down}
			}
			if p, err := cfg.Plan(Settings{u.Name: want}, PlanOptions{}); err == nil && !p.Empty() {
				edits += len(p.Files[0].Edits)
			}
		}
		if err := checkEdit(data, cfg); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if servers < 150 || edits < 100 {
		t.Errorf("the corpus holds %d servers and gives %d edits", servers, edits)
	}
}
