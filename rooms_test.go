// Package trimtab_test holds what is true of the project as a whole.
package trimtab_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// room is a folder and those below it that have no rule of their own.
type room struct {
	name string
	// only are the rooms of the project that may be imported; nil: all but those in not. A room means those below it
	// too.
	only []string
	// not are packages that must not be imported, of the project ("nginx") or of others ("github.com/…"), with all
	// below them.
	not []string
	// never are packages that must not be reached on any way.
	never []string
}

const (
	cobra = "github.com/spf13/cobra"
	resty = "github.com/go-resty/resty"
	nats  = "github.com/nats-io"
	plot  = "gonum.org/v1/plot"
	// browser is for tests.
	browser = "github.com/chromedp"
)

// heavy is what no daemon needs: plots, PDF, Redis, the load generator, testbeds. Scenarios, which the tuner's twin
// plays, have their requests from vegeta, so that its types are there; nothing attacks.
var heavy = []string{plot, "codeberg.org/go-pdf", "github.com/ajstarks/svgo", "github.com/redis", "trimtab/arena",
	"trimtab/deathstarbench/socialnet"}

// rooms are the packages of docs/architecture.md, with what they may import.
var rooms = []room{
	{name: "weights", only: []string{}},
	{name: "vts", only: []string{"trusted", "weights"}},
	{name: "vts/vtstest", not: []string{"tuner", "daemon", "arena"}},
	{name: "control", only: []string{"vts", "weights"}, not: []string{"net/http", resty}},
	{name: "objective", only: []string{"vts", "weights"}},
	{name: "pursuit", not: []string{"nginx", "daemon", "arena", "rival", "loadgen", "net/http", resty}},
	{name: "scaling", only: []string{"control"}},
	{name: "neural", only: []string{}},
	{name: "setup", only: []string{"nginx", "trusted", "vts"}},
	{name: "cluster", not: []string{"tuner", "nginx", "daemon", "arena", "rival"}},
	{name: "tuner", not: []string{"nginx", "daemon", "arena", "rival", "loadgen", "net/http", resty}},
	{name: "rival", not: []string{"nginx", "daemon", "arena", "net/http", resty}},
	{name: "nginx", not: []string{"tuner", "rival", "objective", "cluster", "daemon", "arena", "deathstarbench",
		"loadgen"}},
	{name: "nginx/origin", only: []string{}},
	{name: "nginx/instance", only: []string{}},
	{name: "nginx/lua", only: []string{}},
	{name: "orders", only: []string{"trusted", "weights"}},
	{name: "fleet", only: []string{"control", "vts", "weights"}, not: []string{"net/http", resty, nats}},
	{name: "fleet/bus", only: []string{"control", "fleet", "weights"}, not: []string{"net/http", resty}},
	{name: "helper", not: []string{"tuner", "vts", "daemon", "arena"}, never: append(slices.Clone(heavy), "net/http",
		resty, "github.com/tsenart/vegeta", "trimtab/loadgen")},
	{name: "trusted", only: []string{}},
	{name: "localhttp", only: []string{"trusted"}},
	{name: "plain", only: []string{}},
	{name: "hosts", only: []string{}},
	{name: "words", only: []string{"control", "plain", "tuner", "weights"}},
	{name: "page", not: []string{"nginx", "daemon", "arena", "loadgen", "rival"}, never: []string{browser}},
	{name: "page/browse", only: []string{}},
	{name: "prove", only: []string{"objective", "plain", "trusted", "vts"}},
	{name: "prove/rehearse", not: []string{"nginx", "daemon", "arena", "tuner", "rival"}},
	{name: "loadgen", only: []string{"loadgen", "plain"}},
	{name: "deathstarbench", not: []string{"tuner", "rival", "nginx", "daemon", "arena", "cluster"}},
	{name: "arena", not: []string{"daemon"}},
	{name: "arena/emulated", only: []string{}},
	{name: "daemon", not: []string{"arena", "loadgen"}, never: append(slices.Clone(heavy), cobra,
		"github.com/tsenart/vegeta")},
	{name: "cmd/trimtab", never: []string{browser}},
}

// commandLineOnly may be imported by cmd/trimtab alone.
const commandLineOnly = cobra

// pkg is what go list says of a package.
type pkg struct {
	ImportPath    string
	Imports, Deps []string
}

func TestRoomsKnowOnlyWhatTheyMay(t *testing.T) {
	for _, p := range packages(t) {
		name, ours := inside(p.ImportPath)
		if !ours {
			continue
		}
		rule, ok := ruleOf(name)
		if !ok {
			t.Errorf("%s is in no room: add it to the table, and to docs/architecture.md", name)
			continue
		}
		for _, path := range p.Imports {
			if fault := rule.forbids(name, path); fault != "" {
				t.Errorf("%s imports %s: %s", name, path, fault)
			}
		}
		for _, path := range p.Deps {
			if below(path, rule.never) {
				t.Errorf("%s reaches %s, which it must not", name, path)
			}
		}
	}
}

// The table would hold nothing if its rules could not fail.
func TestRulesOfRoomsForbid(t *testing.T) {
	for _, c := range []struct {
		name, from, path string
		forbidden        bool
	}{
		{"the ground floor imports nothing of the project", "weights", "trimtab/vts", true},
		{"the ground floor may use the standard library", "weights", "fmt", false},
		{"the loop knows samples", "control", "trimtab/vts", false},
		{"the loop does not know NGINX", "control", "trimtab/nginx/live", true},
		{"what is below the tuner does not know NGINX either", "tuner/plan", "trimtab/nginx", true},
		{"the tuner asks nobody by HTTP", "tuner", "github.com/go-resty/resty/v2", true},
		{"an actuator knows no tuner", "nginx/dns", "trimtab/tuner/plan", true},
		{"a name that only begins alike is another one", "nginx", "trimtab/tunerless", false},
		{"flags are the command line's", "daemon", "github.com/spf13/cobra", true},
		{"flags are the command line's own", "cmd/trimtab", "github.com/spf13/cobra/doc", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			rule, ok := ruleOf(c.from)
			if fault := rule.forbids(c.from, c.path); !ok || (fault != "") != c.forbidden {
				t.Errorf("%s imports %s: got %q, want forbidden %t", c.from, c.path, fault, c.forbidden)
			}
		})
	}
}

// packages are those of the project without their tests.
func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,Deps", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < len(rooms) {
		t.Fatalf("go list found %d packages, want at least %d", len(all), len(rooms))
	}
	return all
}

// Who is given the program is given the licences of what is linked into it.
func TestNoticesNameWhatIsLinkedIn(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f",
		"{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}", "./cmd/trimtab").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	notices, err := os.ReadFile("THIRD_PARTY_NOTICES")
	if err != nil {
		t.Fatal(err)
	}
	modules := slices.Compact(slices.Sorted(strings.Lines(string(out))))
	if len(modules) < 20 {
		t.Fatalf("got %d modules, want those of the program", len(modules))
	}
	for _, module := range modules {
		if strings.TrimSpace(module) != "" && !strings.Contains(string(notices), "\n"+module) {
			t.Errorf("THIRD_PARTY_NOTICES lacks %s: make notices", strings.TrimSpace(module))
		}
	}
}

// inside is a package's folder in the project; false: it is none of it, or the root, which has only tests.
func inside(path string) (name string, ok bool) { return strings.CutPrefix(path, "trimtab/") }

// ruleOf is the rule of the nearest room.
func ruleOf(name string) (rule room, ok bool) {
	for _, r := range rooms {
		if below(name, []string{r.name}) && len(r.name) >= len(rule.name) {
			rule, ok = r, true
		}
	}
	return rule, ok
}

// forbids says why a package of the room may not import another one; empty: it may.
func (r room) forbids(from, path string) string {
	name, ours := inside(path)
	switch {
	case below(path, []string{commandLineOnly}) && from != "cmd/trimtab":
		return "flags are parsed in cmd/trimtab only"
	case ours && r.only != nil && !below(name, r.only):
		return "of the project it may import " + strings.Join(append(slices.Clone(r.only), "nothing else"), ", ")
	case ours && below(name, r.not), !ours && below(path, r.not):
		return "it must not know that"
	}
	return ""
}

// below reports whether a path is one of the folders or in one of them.
func below(path string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return path == f || strings.HasPrefix(path, f+"/") })
}
