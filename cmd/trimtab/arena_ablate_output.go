package main

import (
	"fmt"
	"strings"
	"time"

	"trimtab/arena"
	"trimtab/tuner/params"
)

// ratioJSON is a geometric mean over worlds with its 95 % interval.
type ratioJSON struct {
	Ratio  float64 `json:"ratio"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	Worlds int     `json:"worlds"`
}

func ratioOf(e arena.Estimate) ratioJSON {
	return ratioJSON{Ratio: e.Mean, Low: e.Low, High: e.High, Worlds: e.N}
}

// changeJSON is what one change of a parameter does.
type changeJSON struct {
	Kind        string               `json:"kind"`
	Param       string               `json:"param"`
	To          string               `json:"to"`
	Unit        string               `json:"unit"`
	Default     float64              `json:"default"`
	P99         ratioJSON            `json:"p99"`
	ART         ratioJSON            `json:"art"`
	Reloads     ratioJSON            `json:"reloads"`
	ByPolicy    map[string]ratioJSON `json:"p99_by_policy"`
	Dispensable bool                 `json:"dispensable"`
	Failed      int                  `json:"failed_cells"`
}

// kindJSON is what one change of a parameter does to one policy in the worlds of a kind.
type kindJSON struct {
	Kind   string    `json:"kind"`
	Param  string    `json:"param"`
	To     string    `json:"to"`
	World  string    `json:"world_kind"`
	Policy string    `json:"policy"`
	P99    ratioJSON `json:"p99"`
	Sure   bool      `json:"sure"`
}

func (r *ablateResults) printJSON(report *arena.AblationReport) error {
	for i := range report.Effects {
		e := &report.Effects[i]
		d, err := params.Find(e.Part)
		if err != nil {
			return err
		}
		line := changeJSON{
			Kind: "change", Param: e.Part, To: e.To, Unit: d.Unit, Default: d.Default,
			P99: ratioOf(e.P99), ART: ratioOf(e.ART), Reloads: ratioOf(e.Reloads), ByPolicy: map[string]ratioJSON{},
			Dispensable: e.Dispensable(), Failed: e.Failed,
		}
		for j, pair := range e.Pairs {
			line.ByPolicy[pair.AsItIs] = ratioOf(e.ByPair[j])
		}
		if err := printJSON(r.e.stdout, line); err != nil {
			return err
		}
		for _, k := range e.Kinds {
			line := kindJSON{
				Kind: "kind", Param: e.Part, To: e.To, World: k.Kind, Policy: k.Policy,
				P99: ratioOf(k.P99), Sure: k.Sure,
			}
			if err := printJSON(r.e.stdout, line); err != nil {
				return err
			}
		}
	}
	return r.printFailures()
}

func (r *ablateResults) rewriteMarkdown(report *arena.AblationReport, took time.Duration) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", origin(r.f.command, len(r.rows), r.played(), took))
	if err := report.WriteMarkdown(&b); err != nil {
		return err
	}
	return arena.RewriteMarkdown(r.f.markdown, "ablation", []byte(b.String()))
}

// played says what was played, in words.
func (r *ablateResults) played() string {
	text := r.worldsResults.played()
	if r.f.library {
		text += " and the built-in scenarios"
	}
	return text
}
