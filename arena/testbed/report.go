package testbed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"trimtab/arena"
	"trimtab/loadgen"
	"trimtab/page"
	"trimtab/weights"
)

// ReportSchema is the version of a Report's fields.
const ReportSchema = 2

// Report is the outcome of a trial, as report.json holds it.
type Report struct {
	Schema   int    `json:"schema_version"` // ReportSchema
	Version  string `json:"trimtab_version"`
	Scenario string `json:"scenario"`
	Policy   string `json:"policy"`
	// Objective is that of the scenario; empty: tardiness against the deadlines.
	Objective string    `json:"objective,omitempty"`
	Seed      uint64    `json:"seed"`
	Started   time.Time `json:"started"`
	NGINX     string    `json:"nginx_version"`
	Host      string    `json:"host,omitempty"`
	Target    string    `json:"target,omitempty"` // address of the NGINX that took the load
	Command   string    `json:"command,omitempty"`
	Loads     []string  `json:"loads"` // by workload: arrival law and rate over time
	// DurationS is the length of the load in seconds; shorter than asked when the trial was interrupted.
	DurationS   float64 `json:"duration_s"`
	Interrupted bool    `json:"interrupted"`

	Requests   uint64          `json:"requests"`
	Errors     uint64          `json:"errors"`
	RatePerSec float64         `json:"rate_per_s"`
	Latency    loadgen.Summary `json:"latency_ms"`
	// Lateness is how late requests were sent; Saturated says that it was too late to call the load open, and Dropped
	// counts the requests that were due but never sent.
	Lateness  loadgen.Summary `json:"lateness_ms"`
	Saturated bool            `json:"saturated"`
	Dropped   uint64          `json:"dropped"`

	// Before, Transition and Tuned are the three parts of the trial by due time: on the starting weights, from the
	// first decision until the settling time is over, and after it.
	Before     Part `json:"before"`
	Transition Part `json:"transition"`
	Tuned      Part `json:"tuned"`
	// P99Ratio is the p99 of Before divided by that of Tuned; 0 when one of them had no request.
	P99Ratio float64 `json:"p99_ratio"`

	Reloads int `json:"reloads"`
	// PollsFailed counts status polls without a usable reply, ApplyErrors changes that were refused or rolled back.
	PollsFailed uint64 `json:"polls_failed"`
	ApplyErrors int    `json:"apply_errors"`
	// LastApplyError is the last of them.
	LastApplyError error `json:"-"`
	// Seen is what the live page has shown; the page of the report holds it.
	Seen page.Data `json:"-"`

	Addresses map[string]string            `json:"addresses"` // by server
	Deadlines map[string]float64           `json:"deadlines_ms"`
	Weights   weights.Set                  `json:"weights"` // at the end
	Intervals []Interval                   `json:"intervals"`
	Failures  map[string]map[string]uint64 `json:"failures"` // by workload and kind; absent when there were none
	Workloads map[string]WorkloadReport    `json:"workloads"`
	Files     map[string]string            `json:"files"`
}

// Part is a span of the trial as the client saw it, latencies counted from the moment each request was due.
type Part struct {
	FromS         float64         `json:"from_s"`
	ToS           float64         `json:"to_s"`
	Requests      uint64          `json:"requests"`
	Errors        uint64          `json:"errors"`
	RatePerSec    float64         `json:"rate_per_s"`
	Latency       loadgen.Summary `json:"latency_ms"`
	ARTPerRequest float64         `json:"art_per_request"`
	Weights       weights.Set     `json:"weights"` // in force at the end of the part
	Reloads       int             `json:"reloads"`
	// Objective is the score by the scenario's objective, with the share of the intervals in which each bound held;
	// nil: it names none.
	Objective *arena.ObjectiveRow `json:"objective,omitempty"`
}

// WorkloadReport is the share of one workload in the whole trial.
type WorkloadReport struct {
	Requests   uint64            `json:"requests"`
	Errors     uint64            `json:"errors"`
	ErrorKinds map[string]uint64 `json:"errors_by_kind"`
	Latency    loadgen.Summary   `json:"latency_ms"`
}

// Interval is one control interval: what the client saw of the requests due in it, and what was decided at its end.
type Interval struct {
	AtS        float64     `json:"at_s"` // end
	RatePerSec float64     `json:"rate_per_s"`
	P50        float64     `json:"p50_ms"`
	P99        float64     `json:"p99_ms"`
	Errors     uint64      `json:"errors"`
	Weights    weights.Set `json:"weights"` // in force at the end of the interval
	Reloaded   bool        `json:"reloaded"`
	Reason     string      `json:"reason,omitempty"`
}

// ErrorKinds lists the kinds of errors with their numbers: "2 closed, 1 status_5xx".
func (r *Report) ErrorKinds() string {
	sums := make(map[string]uint64)
	for _, w := range r.Workloads {
		for kind, n := range w.ErrorKinds {
			sums[kind] += n
		}
	}
	kinds := make([]string, 0, len(sums))
	for _, kind := range sortedKeys(sums) {
		kinds = append(kinds, fmt.Sprintf("%d %s", sums[kind], kind))
	}
	return strings.Join(kinds, ", ")
}

// WriteTable writes the parts side by side for people.
func (r *Report) WriteTable(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, cell func(Part) string) {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t\n", name, cell(r.Before), cell(r.Transition), cell(r.Tuned))
	}
	ms := func(pick func(loadgen.Summary) float64) func(Part) string {
		return func(p Part) string {
			if p.Requests == 0 {
				return "–"
			}
			return fmt.Sprintf("%.1f ms", pick(p.Latency))
		}
	}
	fmt.Fprintf(tw, "\tstarting weights\ttransition\t%s\t\n", r.Policy)
	row("requests due in", func(p Part) string { return fmt.Sprintf("%.0f–%.0f s", p.FromS, p.ToS) })
	row("requests", func(p Part) string { return fmt.Sprint(p.Requests) })
	row("errors", func(p Part) string { return fmt.Sprint(p.Errors) })
	row("mean", ms(func(s loadgen.Summary) float64 { return s.Mean }))
	row("p50", ms(func(s loadgen.Summary) float64 { return s.P50 }))
	row("p90", ms(func(s loadgen.Summary) float64 { return s.P90 }))
	row("p99", ms(func(s loadgen.Summary) float64 { return s.P99 }))
	row("ART per request", func(p Part) string { return fmt.Sprintf("%.3f", p.ARTPerRequest) })
	row("reloads", func(p Part) string { return fmt.Sprint(p.Reloads) })
	r.objectiveRows(row)
	for _, group := range sortedKeys(r.Weights) {
		row(group, func(p Part) string { return Shares(p.Weights[group]) })
	}
	return tw.Flush()
}

// objectiveRows are the rows of a table of parts that say what the objective gave.
func (r *Report) objectiveRows(row func(name string, cell func(Part) string)) {
	if r.Objective == "" {
		return
	}
	cell := func(of func(*arena.ObjectiveRow) string) func(Part) string {
		return func(p Part) string {
			if p.Objective == nil {
				return "–"
			}
			return of(p.Objective)
		}
	}
	row("reward of "+r.Objective+" per s", cell(func(o *arena.ObjectiveRow) string {
		return fmt.Sprintf("%.2f", o.Reward)
	}))
	judged := r.Tuned.Objective
	if judged == nil {
		judged = r.Before.Objective
	}
	if judged == nil {
		return
	}
	for _, name := range sortedKeys(judged.Held) {
		row("bound of "+name+" held", cell(func(o *arena.ObjectiveRow) string {
			return fmt.Sprintf("%.0f %%", 100*o.Held[name])
		}))
		row(name+" carried", cell(func(o *arena.ObjectiveRow) string {
			return fmt.Sprintf("%.1f of %.1f/s", o.Carried[name], o.Offered[name])
		}))
	}
	if judged.Capacity > 0 {
		row("units of capacity", cell(func(o *arena.ObjectiveRow) string { return fmt.Sprintf("%.2f", o.Capacity) }))
	}
}

// Shares renders the shares that the weights of a group give, in the order of the server names: "14:29:57 %".
func Shares(g weights.Group) string {
	shares, up := g.Shares(), false
	parts := make([]string, 0, len(g))
	for _, server := range sortedKeys(shares) {
		up = up || shares[server] > 0
		parts = append(parts, fmt.Sprintf("%.0f", 100*shares[server]))
	}
	if !up {
		return "–"
	}
	return strings.Join(parts, ":") + " %"
}

// writeFile writes a file whole or not at all: under a temporary name in the same directory, then renamed.
func writeFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Write writes report.json, report.html and latency.png into dir, each whole or not at all, and adds their paths to
// the report.
func (r *Report) Write(dir string) error {
	r.Files = map[string]string{
		"report": filepath.Join(dir, "report.json"), "page": filepath.Join(dir, "report.html"),
		"plot":  filepath.Join(dir, "latency.png"),
		"stats": filepath.Join(dir, "stats.ndjson"),
	}
	return errors.Join(
		writeFile(r.Files["plot"], r.writePNG),
		writeFile(r.Files["page"], r.writeHTML),
		writeFile(r.Files["report"], r.writeJSON),
	)
}

func (r *Report) writeJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}
