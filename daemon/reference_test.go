package daemon

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// listing is a registry that keeps what is described to it.
type listing struct{ descs []string }

func (l *listing) Register(c prometheus.Collector) error {
	ch := make(chan *prometheus.Desc, 1000)
	c.Describe(ch)
	close(ch)
	for d := range ch {
		l.descs = append(l.descs, d.String())
	}
	return nil
}

func (l *listing) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		_ = l.Register(c)
	}
}

func (l *listing) Unregister(prometheus.Collector) bool { return false }

// The reference of metrics is what the daemon describes; with TRIMTAB_UPDATE_DOCS (make docs) it is written.
func TestReferenceOfMetrics(t *testing.T) {
	var l listing
	newLoopMetrics(&l)
	newDaemonMetrics(&l, "x")
	newTroubles(&l)
	part := regexp.MustCompile(`fqName: "trimtab_(\w+)", help: "(.*)", constLabels: .*, variableLabels: \{(.*)\}`)
	var rows []string
	for _, d := range l.descs {
		if m := part.FindStringSubmatch(d); m != nil { // the others are of the Go runtime and the process
			rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |", m[1], strings.ReplaceAll(m[3], ",", ", "),
				strings.ReplaceAll(m[2], `\"`, `"`)))
		}
	}
	slices.Sort(rows)
	if len(rows) < 40 {
		t.Fatalf("found %d metrics", len(rows))
	}
	const path, begin, end = "../docs/reference/metrics.md", "<!-- metrics:begin -->\n", "<!-- metrics:end -->\n"
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(old), begin)
	_, after, ended := strings.Cut(rest, end)
	if !ok || !ended {
		t.Fatalf("%s: the marks are missing", path)
	}
	text := before + begin + "\n| metric | labels | |\n|---|---|---|\n" + strings.Join(rows, "\n") + "\n\n" + end + after
	switch {
	case os.Getenv("TRIMTAB_UPDATE_DOCS") != "":
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	case text != string(old):
		t.Errorf("%s is not what the daemon describes: run make docs", path)
	}
}
