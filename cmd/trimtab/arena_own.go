package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"trimtab/arena"
)

// ownTrainingSeed is far from the seeds that runs count from leaderSeed.
const ownTrainingSeed = 1 << 32

// ownFlags are those of worlds that have policies of their own: edge and cloud, autoscaled microservices.
type ownFlags struct {
	policies, world, markdown, command string
	seeds                              int
	seed                               uint64
	learn                              time.Duration
	scale                              float64
	json                               bool
	began                              time.Time
}

// add defines the flags; learn is how long dqn learns unless something else is said.
func (f *ownFlags) add(cmd *cobra.Command, mark, policies string, learn time.Duration, scale float64) {
	fl := cmd.Flags()
	fl.StringVar(&f.world, "world", "sim", "where to play: sim or emulated")
	fl.Float64Var(&f.scale, "scale", scale, "s here for one second of the emulated world")
	fl.StringVar(&f.policies, "policy", policies, "comma-separated list of policies")
	fl.StringVar(&f.markdown, "markdown", "", "rewrite the table between the marks "+mark+" in this Markdown file")
	fl.IntVar(&f.seeds, "seeds", 20, "number of seeds")
	fl.Uint64Var(&f.seed, "seed", leaderSeed, "first seed, of none that settings were chosen on; the others count up")
	fl.DurationVar(&f.learn, "learn", learn, "time of the world that dqn learns for")
	fl.BoolVar(&f.json, "json", false, "print one JSON object per run instead of the table")
}

func (f *ownFlags) validate() error {
	return wrong(bounded{"seeds", f.seeds, f.seeds >= 1, "at least 1"},
		bounded{"learn", f.learn, f.learn >= 0, "at least 0s"},
		bounded{"scale", f.scale, f.scale > 0 && f.scale <= 1, "more than 0, and 1 at most"},
		bounded{"world", strconv.Quote(f.world), f.world == "sim" || f.world == "emulated", "sim or emulated"})
}

// names are the policies that are played; unknown ones are an error.
func (f *ownFlags) names(known string) ([]string, error) {
	var out []string
	for name := range strings.SplitSeq(f.policies, ",") {
		name = strings.TrimSpace(name)
		if name == "" || !strings.Contains(","+known+",", ","+name+",") {
			return nil, withCode(exitUsage, fmt.Errorf("policy %q: want one of %s", name, known))
		}
		out = append(out, name)
	}
	return out, nil
}

// ownPlay is a world in which every policy is played with every seed.
type ownPlay[R any] struct {
	flags *ownFlags
	known string // policies
	heads []string
	play  func(ctx context.Context, policy string, seed uint64) (R, error)
	row   func(policy string, results []R) []string
	// object is what is printed of a run as JSON.
	object func(policy string, seed uint64, result R) any
}

// run plays all, prints, and returns the rows.
func (p *ownPlay[R]) run(ctx context.Context, e *env) (rows [][]string, err error) {
	f := p.flags
	f.began = time.Now()
	names, err := f.names(p.known)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		var results []R
		for i := range f.seeds {
			seed := f.seed + uint64(i)
			var r R
			if err = ctx.Err(); err == nil {
				r, err = p.play(ctx, name, seed)
			}
			if ctx.Err() != nil {
				return nil, withCode(exitInterrupted, fmt.Errorf("interrupted while %s was played: %w", name, ctx.Err()))
			}
			if err != nil {
				return nil, err
			}
			if f.json {
				if err := printJSON(e.stdout, p.object(name, seed, r)); err != nil {
					return nil, err
				}
			}
			results = append(results, r)
		}
		rows = append(rows, p.row(name, results))
	}
	if f.json {
		return rows, nil
	}
	return rows, printTable(e.stdout, p.heads, rows)
}

// write rewrites the table in a document, and says where the figures are from.
func (p *ownPlay[R]) write(mark, world, learned string, rows [][]string) error {
	f := p.flags
	if f.markdown == "" {
		return nil
	}
	text := origin(f.command, len(rows)*f.seeds, world, time.Since(f.began))
	if learned != "" {
		text += " " + learned
	}
	return withCode(exitConfig, arena.RewriteMarkdown(f.markdown, mark,
		[]byte(arena.MarkdownProse(text)+"\n\n"+arena.MarkdownTable(p.heads, rows))))
}

// worldArg is the world that the arguments name; empty: the built-in one.
func worldArg(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
