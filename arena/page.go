package arena

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"

	"trimtab/deathstarbench"
	"trimtab/trusted"
)

//go:embed page.html
var pageText string

// Page is what the HTML page and the plots are drawn from.
type Page struct {
	Title     string
	Command   string // that made it
	Version   string
	Took      time.Duration
	Baseline  string
	Scenarios []*deathstarbench.Scenario
	Policies  []string // in the order of the legend
	Rows      []Row
	// Traces are the courses to draw: one of every scenario and policy, usually those of the first seed.
	Traces []*Trace
}

// adaptive reports whether the weights changed in the course, so that they are worth drawing.
func (t *Trace) adaptive() bool {
	for _, p := range t.Points {
		if len(t.Points) > 0 && fmt.Sprint(p.Weights) != fmt.Sprint(t.Points[0].Weights) {
			return true
		}
	}
	return false
}

type figure struct {
	Name string
	SVG  template.HTML
}

type section struct {
	Scenario  string
	Duration  time.Duration
	Phases    []string
	Summaries []Summary
	Figures   []figure
}

// Write writes arena.html, which needs nothing else to be looked at, and every plot as PNG into dir. It returns the
// paths of the page and of the plots.
func (p *Page) Write(dir string) (page string, plots []string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", nil, fmt.Errorf("write the arena's page: %w", err)
	}
	summaries := Summarise(p.Rows, p.Baseline)
	var sections []section
	for _, sc := range p.Scenarios {
		s := section{Scenario: sc.Name, Duration: sc.Duration.Std(), Phases: describePhases(sc)}
		for _, sum := range summaries {
			if sum.Scenario == sc.Name {
				s.Summaries = append(s.Summaries, sum)
			}
		}
		if len(s.Summaries) == 0 {
			continue
		}
		figures, err := p.figures(sc, s.Summaries)
		if err != nil {
			return "", nil, err
		}
		for _, f := range figures {
			png, err := render(f.plots, f.width, f.height, "png")
			if err != nil {
				return "", nil, err
			}
			path := filepath.Join(dir, trusted.FileName(f.name)+".png")
			if err := replaceFile(path, png, 0o644); err != nil {
				return "", nil, err
			}
			plots = append(plots, path)
			svg, err := render(f.plots, f.width, f.height, "svg")
			if err != nil {
				return "", nil, err
			}
			if i := bytes.Index(svg, []byte("<svg")); i > 0 {
				svg = svg[i:] // an inline picture has no XML prolog
			}
			s.Figures = append(s.Figures,
				figure{Name: f.name, SVG: template.HTML(svg)}) //nolint:gosec // our own drawing
		}
		sections = append(sections, s)
	}
	tmpl, err := template.New("page").Funcs(template.FuncMap{
		"number": number, "interval": interval, "fixed": fixed, "percent": percent, "spread": spread,
		"closed": func(s Summary) string { return closed(&s) },
	}).Parse(pageText)
	if err != nil {
		return "", nil, fmt.Errorf("write the arena's page: %w", err)
	}
	var b bytes.Buffer
	if err := tmpl.Execute(&b, struct {
		*Page
		Sections []section
	}{p, sections}); err != nil {
		return "", nil, fmt.Errorf("write the arena's page: %w", err)
	}
	page = filepath.Join(dir, "arena.html")
	return page, plots, replaceFile(page, b.Bytes(), 0o644)
}

type drawing struct {
	name          string
	plots         []*plot.Plot // one below the other
	width, height vg.Length
}

// figures draws all plots of one scenario.
func (p *Page) figures(sc *deathstarbench.Scenario, summaries []Summary) (out []drawing, err error) {
	var traces []*Trace
	for _, name := range p.Policies {
		for _, t := range p.Traces {
			if t.Scenario == sc.Name && t.Policy == name {
				traces = append(traces, t)
				break
			}
		}
	}
	add := func(name string, width, height vg.Length, e error, pl ...*plot.Plot) {
		if err == nil {
			err = e
		}
		out = append(out, drawing{sc.Name + "-" + name, pl, width * vg.Centimeter, height * vg.Centimeter})
	}
	s := styles(p.Policies)
	pl, e := s.percentiles(sc, traces)
	add("percentiles", 16, 11, e, pl)
	pl, e = s.bars(sc.Name+": accumulated relative tardiness", summaries)
	add("art", 16, 11, e, pl)
	pl, e = s.course(sc, sc.Name+": p99 of each control interval", "p99, ms", traces, func(x []Point, i int) float64 {
		return x[i].P99MS
	})
	add("convergence", 24, 11, e, pl)
	if pl, e, ok := s.regret(sc, traces); ok {
		add("regret", 24, 11, e, pl)
	}
	for _, t := range traces {
		if sc.Objective.Kind == "" {
			break
		}
		panels, e := objectivePlots(sc, t)
		add("objective-"+strings.ReplaceAll(t.Policy, "/", "-"), 24, 6*vg.Length(len(panels)), e, panels...)
	}
	for _, t := range traces {
		if !t.adaptive() {
			continue
		}
		var groups []*plot.Plot
		for _, u := range sc.Upstreams {
			pl, e := sharePlot(sc, u.Name, t)
			if e != nil {
				return nil, e
			}
			groups = append(groups, pl)
		}
		add("weights-"+strings.ReplaceAll(t.Policy, "/", "-"), 16, 6*vg.Length(len(groups)), nil, groups...)
	}
	return out, err
}

// regret draws how much more tardiness than the oracle of the same method every policy has accumulated.
func (s styles) regret(sc *deathstarbench.Scenario, traces []*Trace) (*plot.Plot, error, bool) {
	oracle := func(policy string) *Trace {
		name := "oracle"
		if method, _, ok := strings.Cut(policy, "/"); ok || isMethod(method) {
			name = method + "/oracle"
		}
		i := slices.IndexFunc(traces, func(t *Trace) bool { return t.Policy == name })
		if i < 0 {
			return nil
		}
		return traces[i]
	}
	var drawn []*Trace
	for _, t := range traces {
		if o := oracle(t.Policy); o == nil || o == t {
			continue
		}
		drawn = append(drawn, t)
	}
	if len(drawn) == 0 {
		return nil, nil, false
	}
	sums := map[*Point][]float64{}
	for _, t := range drawn {
		o, sum := oracle(t.Policy), 0.0
		var course []float64
		for i, pt := range t.Points {
			sum += pt.ARTPerRequest * float64(pt.Requests)
			if i < len(o.Points) {
				sum -= o.Points[i].ARTPerRequest * float64(o.Points[i].Requests)
			}
			course = append(course, sum)
		}
		sums[&t.Points[0]] = course
	}
	pl, err := s.course(sc, sc.Name+": tardiness beyond the oracle's, accumulated", "regret", drawn,
		func(x []Point, i int) float64 {
			return sums[&x[0]][i]
		})
	return pl, err, true
}

func describePhases(sc *deathstarbench.Scenario) []string {
	var out []string
	for _, f := range sc.Faults {
		out = append(out, fmt.Sprintf("%s of %s from %s to %s", strings.ReplaceAll(f.Kind, "_", " "), f.Server,
			f.At.Std(), f.Until.Std()))
	}
	return out
}
