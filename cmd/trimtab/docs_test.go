package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"trimtab/daemon"
)

// use is one call of the program that a document shows.
type use struct {
	at     string
	args   []string
	inline bool // in a sentence: arguments may be left out
}

// placeholder stands for a command in a sentence.
var placeholder = regexp.MustCompile(`^[A-Z]+$`)

var inlineCode = regexp.MustCompile("`([^`]+)`")

// usesIn finds the calls of the program in a document: every line of a code block that runs it, also behind a prompt,
// sudo, a variable, && or a pipe; and inline code that begins with it.
func usesIn(path, text string) []use {
	var out []use
	fenced := false
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		s, at := lines[i], fmt.Sprintf("%s:%d", path, i+1)
		if strings.HasPrefix(strings.TrimSpace(s), "```") {
			fenced = !fenced
			continue
		}
		if !fenced && !strings.HasPrefix(s, "    ") {
			for _, m := range inlineCode.FindAllStringSubmatch(s, -1) {
				if args, ok := call(shellWords(m[1])); ok {
					out = append(out, use{at: at, args: args, inline: true})
				}
			}
			continue
		}
		for strings.HasSuffix(s, `\`) && i+1 < len(lines) {
			i++
			s = strings.TrimSuffix(s, `\`) + strings.TrimSpace(lines[i])
		}
		for _, part := range split(shellWords(s)) {
			if args, ok := call(part); ok {
				out = append(out, use{at: at, args: args})
			}
		}
	}
	return out
}

// shellWords splits a line as a shell does, up to a comment.
func shellWords(s string) []string {
	var out []string
	var b strings.Builder
	quote, open := rune(0), false
	for _, r := range s {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			b.WriteRune(r)
		case r == '\'' || r == '"':
			quote, open = r, true
		case r == '#' && b.Len() == 0 && !open:
			return out
		case r == ' ' || r == '\t':
			if b.Len() > 0 || open {
				out = append(out, b.String())
				b.Reset()
				open = false
			}
		case r == ';':
			if b.Len() > 0 || open {
				out = append(out, b.String())
				b.Reset()
				open = false
			}
			out = append(out, ";")
		default:
			b.WriteRune(r)
		}
	}
	if b.Len() > 0 || open {
		out = append(out, b.String())
	}
	return out
}

// split parts a line at what a shell does between commands.
func split(words []string) [][]string {
	out := [][]string{nil}
	for _, w := range words {
		switch w {
		case "|", "&&", "||", ";", "&", "do", "then":
			out = append(out, nil)
		default:
			out[len(out)-1] = append(out[len(out)-1], w)
		}
	}
	return out
}

// call returns the arguments of the program when the words run it.
func call(w []string) ([]string, bool) {
	variable := regexp.MustCompile(`^[A-Z_]+=`)
	for len(w) > 0 && (w[0] == "$" || w[0] == "sudo" || variable.MatchString(w[0])) {
		w = w[1:]
	}
	if len(w) == 0 || w[0] != "trimtab" && !strings.HasSuffix(w[0], "/trimtab") || strings.HasPrefix(w[0], "/var/") ||
		strings.HasPrefix(w[0], "/etc/") {
		return nil, false
	}
	var args []string
	for i, a := range w[1:] {
		switch {
		case placeholder.MatchString(a) && i == 0:
			return args, true // trimtab COMMAND: any
		case a == ">" || a == "2>" || a == "<" || strings.HasPrefix(a, ">"):
			return args, true
		case a == "…" || a == "...":
			continue
		}
		if i > 0 || a != "" {
			args = append(args, a)
		}
	}
	return args, true
}

// check reports what is wrong with a call, by the commands as they are.
func (u use) check() error {
	root := newRoot(&env{stdout: io.Discard, stderr: io.Discard})
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	cmd, rest, err := root.Find(u.args)
	if err != nil {
		return err
	}
	if cmd == root && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return fmt.Errorf("no command %q", rest[0])
	}
	if u.inline && cmd.HasSubCommands() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") && cmd.Args != nil {
		if err := cmd.Args(cmd, rest); err != nil {
			return fmt.Errorf("%s has no command %q", cmd.CommandPath(), rest[0])
		}
	}
	if u.inline {
		return flagsExist(cmd, rest)
	}
	cmd.InitDefaultHelpFlag()
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if cmd.Args != nil {
		return cmd.Args(cmd, cmd.Flags().Args())
	}
	return nil
}

// flagsExist looks at the names of flags alone.
func flagsExist(cmd *cobra.Command, args []string) error {
	for _, a := range args {
		name, isFlag := strings.CutPrefix(a, "--")
		name, _, _ = strings.Cut(name, "=")
		if isFlag && name != "help" && name != "version" && cmd.Flags().Lookup(name) == nil && cmd.InheritedFlags().Lookup(name) == nil {
			return fmt.Errorf("%s has no flag --%s", cmd.CommandPath(), name)
		}
	}
	return nil
}

// Every call of the program in a document is one that the program takes: commands, flags, values and arguments.
func TestCommandsOfDocumentsAreTaken(t *testing.T) {
	t.Chdir("../..")
	found := 0
	err := filepath.WalkDir(".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".md" || path == "CHANGELOG.md" ||
			strings.HasPrefix(path, "docs/lab/") || strings.HasPrefix(path, "out/") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, u := range usesIn(path, string(text)) {
			found++
			if err := u.check(); err != nil {
				t.Errorf("%s: trimtab %s: %v", u.at, strings.Join(u.args, " "), err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 50 {
		t.Errorf("found %d calls in the documents, want at least 50: the test looks in the wrong place", found)
	}
}

func TestUsesAreFoundAndJudged(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       string // of the one fault; empty: none
		uses       int
	}{
		{"a call in a block", "    trimtab load --target http://a --rate 5 --duration 1s # so\n", "", 1},
		{"behind a prompt, sudo and a variable", "    $ sudo A=b trimtab version\n", "", 1},
		{"two in a row", "    trimtab version && trimtab man DIR\n", "", 2},
		{"continued on the next line", "    trimtab load --target http://a \\\n      --rate 5\n", "", 1},
		{"an output is not parsed", "    trimtab version > out.txt\n", "", 1},
		{"a flag that is not there", "    trimtab load --speed 5\n", "unknown flag", 1},
		{"a value that is none", "    trimtab load --rate fast\n", "invalid argument", 1},
		{"an argument too many", "    trimtab man a b\n", "2 arguments", 1},
		{"a command that is not there", "    trimtab fly\n", "no command", 1},
		{"inline, with an ellipsis", "Say `trimtab nginx set …` or `trimtab load --rate`.\n", "", 2},
		{"inline, a flag that is not there", "Say `trimtab tune --sing`.\n", "no flag --sing", 1},
		{"inline, a command that is not there", "Say `trimtab nginx fly`.\n", "no command", 1},
		{"in a fence", "```\ntrimtab version\n```\n", "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			uses, fault := usesIn("x.md", c.text), ""
			for _, u := range uses {
				if err := u.check(); err != nil {
					fault = err.Error()
				}
			}
			if len(uses) != c.uses || (fault == "") != (c.want == "") || !strings.Contains(fault, c.want) {
				t.Errorf("got %d uses and fault %q, want %d and %q", len(uses), fault, c.uses, c.want)
			}
		})
	}
}

// Every piece of trimtab.toml that a document shows is taken: its keys are there and their values fit.
func TestConfigurationOfDocumentsIsTaken(t *testing.T) {
	t.Chdir("../..")
	table := regexp.MustCompile(`(?m)^\[\[?(?:status|nginx|actuator|tuner|regimes|objective|scaling|prove|upstream)[.\]]`)
	found := 0
	paths := slices.Concat(glob(t, "docs/*.md"), glob(t, "docs/how-to/*.md"), glob(t, "docs/tutorials/*.md"))
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range blocksOf(string(text)) {
			if !table.MatchString(block) {
				continue
			}
			found++
			if _, err := daemon.ParseConfig(path, block); err != nil {
				t.Errorf("%s: %v\nin\n%s", path, err, block)
			}
		}
	}
	if found < 4 {
		t.Errorf("found %d pieces of configuration, want at least 4", found)
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	out, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// blocksOf are the code blocks of a document.
func blocksOf(text string) []string {
	var out []string
	block, fenced := "", false
	for _, s := range append(strings.Split(text, "\n"), "end") {
		indented, ok := strings.CutPrefix(s, "    ")
		switch {
		case strings.HasPrefix(s, "```"):
			fenced = !fenced
		case fenced:
			block += s + "\n"
			continue
		case ok:
			block += indented + "\n"
			continue
		case s == "" && block != "":
			block += "\n"
			continue
		}
		if block != "" {
			out, block = append(out, block), ""
		}
	}
	return out
}
