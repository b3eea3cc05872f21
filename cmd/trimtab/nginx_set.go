package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"trimtab/nginx"
)

func newNginxSet(e *env) *cobra.Command {
	var (
		flags            nginxFlags
		upstream         string
		weights          []string
		noReload, asJSON bool
		dryRun           bool
	)
	cmd := &cobra.Command{
		Use:   "set",
		Short: "Change weights: plan, test, write, reload, confirm, or put everything back",
		Example: `  trimtab nginx set --upstream backend --weight 10.0.0.1:80=3 --weight 10.0.0.2:80=5
  trimtab nginx set --upstream backend --weight 10.0.0.1:80=3 --dry-run
  trimtab nginx set --upstream backend --weight 10.0.0.1:80=3 --status http://127.0.0.1:8081/status/format/json`,
		Long: `Set changes the digits of the named weights and nothing else. The new file is tested with nginx -t before it
takes the place of the old one, NGINX is told to reload, and the change counts only once NGINX is seen to run it; else
the old file goes back, and NGINX with it. A server is named as nginx show prints it, or as it is written.

Exit codes: 0 in force, or nothing to do · 2 wrong usage · 3 the configuration cannot be read · 4 the status page
cannot be read · 5 refused, nothing was changed · 6 not confirmed, rolled back · 7 rolling back failed · 130
interrupted, nothing was changed.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := parseWeights(flags.config, upstream, weights)
			if err != nil {
				return err
			}
			if dryRun {
				return printPlan(e, flags.config, settings)
			}
			a, end, err := flags.applier()
			if err != nil {
				return err
			}
			defer end()
			a.NoReload = noReload
			r, err := a.Apply(cmd.Context(), settings)
			if asJSON {
				if err := printJSON(e.stdout, receiptJSON(r, err)); err != nil {
					return err
				}
			} else if err == nil {
				printReceipt(e, r)
			}
			return withCode(applyCode(err), err)
		},
	}
	flags.addApply(cmd)
	cmd.Flags().StringVar(&upstream, "upstream", "", "name of the upstream (required)")
	cmd.Flags().StringArrayVar(&weights, "weight", nil, "SERVER=N, N from 1 to 100; repeat for several servers")
	cmd.Flags().BoolVar(&noReload, "no-reload", false, "write the files and leave the reload to you")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print the change as a unified diff and write nothing")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the receipt as one JSON object")
	return cmd
}

// parseWeights reads SERVER=N pairs; every server keeps its down mark.
func parseWeights(config, upstream string, pairs []string) (nginx.Settings, error) {
	settings, err := weightPairs(upstream, pairs)
	if err != nil {
		return nil, err
	}
	cfg, err := nginx.ReadConfig(config)
	if err != nil {
		return nil, withCode(exitConfig, err)
	}
	for server, s := range settings[upstream] {
		s.Down = cfg.Down(upstream, server)
		settings[upstream][server] = s
	}
	return settings, nil
}

// weightPairs reads SERVER=N pairs.
func weightPairs(upstream string, pairs []string) (nginx.Settings, error) {
	if upstream == "" || len(pairs) == 0 {
		return nil, withCode(exitUsage, errors.New("set: want --upstream and at least one --weight SERVER=N: trimtab "+
			"nginx show lists them"))
	}
	servers := map[string]nginx.Setting{}
	for _, pair := range pairs {
		i := strings.LastIndexByte(pair, '=')
		if i < 1 {
			return nil, withCode(exitUsage, fmt.Errorf("set: --weight %s: want SERVER=N, such as 10.0.0.1:80=3", pair))
		}
		n, err := strconv.Atoi(pair[i+1:])
		if err != nil {
			return nil, withCode(exitUsage, fmt.Errorf("set: --weight %s: %q is not a number: want SERVER=N, such as "+
				"10.0.0.1:80=3", pair, pair[i+1:]))
		}
		servers[pair[:i]] = nginx.Setting{Weight: n}
	}
	return nginx.Settings{upstream: servers}, nil
}

func printPlan(e *env, config string, settings nginx.Settings) error {
	cfg, err := nginx.ReadConfig(config)
	if err != nil {
		return withCode(exitConfig, err)
	}
	plan, err := cfg.Plan(settings, nginx.PlanOptions{})
	if err != nil {
		return withCode(exitRefused, err)
	}
	for _, note := range plan.Notes {
		fmt.Fprintln(e.stderr, "note:", note)
	}
	if plan.Empty() {
		fmt.Fprintln(e.stderr, nothingToChange)
	}
	_, err = fmt.Fprint(e.stdout, plan.Diff())
	return err
}

const nothingToChange = "nothing to change: weights in these proportions stand in the configuration already"

func printReceipt(e *env, r nginx.Receipt) {
	for _, note := range r.Notes {
		fmt.Fprintln(e.stderr, "note:", note)
	}
	if rec := r.Recovered; rec != nil {
		fmt.Fprintf(e.stderr, "note: a change that was interrupted (%s) has been undone: restored %v, reloaded %t %s\n",
			rec.Phase, rec.Restored, rec.Reloaded, rec.Note)
	}
	switch {
	case !r.Changed && r.Reloaded:
		fmt.Fprintf(e.stdout, "nothing to write; NGINX had not loaded the file and has now, after %d ms\n",
			r.Took.Milliseconds())
	case !r.Changed && r.Recovered != nil:
		fmt.Fprintln(e.stdout, "the interrupted change is undone; nothing else to change")
	case !r.Changed:
		fmt.Fprintln(e.stdout, nothingToChange)
	case !r.Reloaded:
		fmt.Fprintf(e.stdout, "%swritten, not reloaded\n", r.Diff)
	default:
		fmt.Fprintf(e.stdout, "%sin force after %d ms\n", r.Diff, r.Took.Milliseconds())
	}
}

// changedJSON says what became of a change of weights.
type changedJSON struct {
	Changed   bool           `json:"changed"`
	Reloaded  bool           `json:"reloaded"`
	Files     []string       `json:"files"`
	Diff      string         `json:"diff"`
	Weights   nginx.Settings `json:"weights"` // by upstream and server
	Notes     []string       `json:"notes"`
	TookMS    int64          `json:"took_ms"`
	Recovered *recoveredJSON `json:"recovered,omitempty"`
	Confirmed *time.Time     `json:"confirmed_at,omitempty"`
	Refused   string         `json:"refused,omitempty"`
	Error     string         `json:"error,omitempty"`
}

// recoveredJSON says what became of a change before that was interrupted.
type recoveredJSON struct {
	Phase    string   `json:"phase"`
	Restored []string `json:"restored"`
	Kept     []string `json:"kept"`
	Reloaded bool     `json:"reloaded"`
	Note     string   `json:"note"`
}

func receiptJSON(r nginx.Receipt, err error) changedJSON {
	row := changedJSON{Changed: r.Changed, Reloaded: r.Reloaded, Files: r.Files, Diff: r.Diff,
		Weights: r.Weights, Notes: r.Notes, TookMS: r.Took.Milliseconds(), Refused: r.Refused}
	if rec := r.Recovered; rec != nil {
		row.Recovered = &recoveredJSON{Phase: string(rec.Phase), Restored: rec.Restored, Kept: rec.Kept,
			Reloaded: rec.Reloaded, Note: rec.Note}
	}
	if !r.Confirmed.IsZero() {
		row.Confirmed = &r.Confirmed
	}
	if err != nil {
		row.Error = err.Error()
	}
	return row
}

// applyCode is the exit code of what Apply returned.
func applyCode(err error) int {
	var rollback *nginx.RollbackError
	var refusal *nginx.Refusal
	var syntax *nginx.SyntaxError
	switch {
	case errors.As(err, &rollback) && rollback.Restore != nil:
		return exitRollback
	case errors.As(err, &rollback):
		return exitReload
	case errors.As(err, &refusal):
		return exitRefused
	case errors.As(err, &syntax), errors.Is(err, fs.ErrNotExist):
		return exitConfig
	case errors.Is(err, nginx.ErrStatus):
		return exitTelemetry
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitFailure
}
