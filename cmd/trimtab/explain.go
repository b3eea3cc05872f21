package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"trimtab/daemon"
	"trimtab/localhttp"
	"trimtab/plain"
	"trimtab/tuner"
	"trimtab/words"
)

// listMost is how many servers a line names.
const listMost = 12

func newExplain(e *env) *cobra.Command {
	var config, state string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Say what the daemon decided last and why",
		Long: `Asks the running daemon, at the address that its configuration gives, or reads the state file when none
answers: the shares of the servers now and by the operator's weights, what holds changes and what to do, the load, the
last decision with what was expected of it and what came of it, and what is believed of every server.`,
		Example: `  sudo trimtab explain
  sudo trimtab explain --state /var/lib/trimtab/worker/tuner.db
  trimtab explain --json | jq .explanation.pools`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, from, err := findReport(cmd.Context(), config, state, cmd.Flags().Changed("config"))
			if err != nil {
				return err
			}
			if r.Orders, err = orderLines(config, state); err != nil {
				return withCode(exitConfig, err)
			}
			if asJSON {
				return printJSON(e.stdout, r)
			}
			return e.text(func(w io.Writer) error {
				_, err := io.WriteString(w, reportText(r, from))
				return err
			})
		},
	}
	cmd.Flags().StringVar(&config, "config", daemon.DefaultPath, "configuration of the daemon")
	cmd.Flags().StringVar(&state, "state", "", "read this state file instead of asking the daemon")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func findReport(ctx context.Context, config, state string, given bool) (daemon.Report, string, error) {
	most := daemon.Defaults().Budget(0).Most
	if state == "" {
		cfg, err := daemon.ReadConfigOr(config, given)
		if err != nil {
			return daemon.Report{}, "", withCode(exitConfig, err)
		}
		if cfg.Listen != "" {
			var r daemon.Report
			if err := askDaemon(ctx, cfg.Listen, "/explain", &r); err == nil {
				return r, "the daemon at " + cfg.Listen, nil
			}
		}
		state = cfg.StatePath()
		if b := cfg.Budget(0); b.Unlimited {
			most = 0
		} else {
			most = b.Most
		}
	}
	st, err := daemon.NewStore(state, nil).Read()
	if errors.Is(err, fs.ErrNotExist) {
		return daemon.Report{}, "", withCode(exitConfig, fmt.Errorf("explain: no daemon answers, and there is no %s: "+
			"start trimtab tune first, or name its --config or --state", state))
	}
	if err != nil {
		return daemon.Report{}, "", withCode(exitConfig, err)
	}
	r := daemon.Report{At: st.SavedAt, ChangesMost: most, Explanation: st.Explanation, InForce: st.Base.Clone(),
		Operator: st.Base}
	maps.Copy(r.InForce, st.LastGood)
	if e := explanation(r); e != nil {
		r.Reason, r.Learner = e.Reason, "tuned"
	}
	return r, state + " (no daemon was asked)", nil
}

// askDaemon reads what the daemon answers at path into out.
func askDaemon(ctx context.Context, address, path string, out any) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	client, base := localhttp.Client(address)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask the daemon: %s", resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

func reportText(r daemon.Report, from string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "As of %s, from %s.\n", r.At.Format(time.RFC3339), from)
	switch {
	case r.Problem != "":
		fmt.Fprintf(&b, "The last step failed: %s. The weights stay as they are.\n", r.Problem)
	case r.Held != "":
		fmt.Fprintf(&b, "Changes are held: %s.\n", r.Held)
		if todo := words.Remedy(r.Held); todo != "" {
			fmt.Fprintf(&b, "What to do: %s.\n", todo)
		}
	}
	if r.LastChange != nil {
		fmt.Fprintf(&b, "Weights were changed last at %s.\n", r.LastChange.Format(time.RFC3339))
	}
	listWeights(&b, r)
	for _, line := range r.Orders {
		fmt.Fprintf(&b, "Ordered, and not tuned meanwhile: %s.\n", line)
	}
	for _, line := range r.Wishes {
		fmt.Fprintf(&b, "As configured, %s.\n", line)
	}
	listHosts(&b, r)
	e := explanation(r)
	switch {
	case e != nil:
		b.WriteString("\n" + words.Text(e, words.Budget{Left: e.Budget, Most: r.ChangesMost,
			Unlimited: r.ChangesMost == 0}))
	case r.Reason != "":
		fmt.Fprintf(&b, "\n%s\n", r.Reason)
	default:
		b.WriteString("\nNothing has been decided yet.\n")
	}
	// Names come from NGINX's configuration and may hold what a terminal obeys.
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = plain.Text(lines[i])
	}
	return strings.Join(lines, "\n")
}

// explanation is that of a report; nil: there is none, or it is of a version that this program does not read.
func explanation(r daemon.Report) *tuner.Explanation {
	e := new(tuner.Explanation)
	if len(r.Explanation) == 0 || string(r.Explanation) == "null" || json.Unmarshal(r.Explanation, e) != nil {
		return nil
	}
	return e
}

// listWeights lists the shares in force, and the operator's where they differ.
func listWeights(b *strings.Builder, r daemon.Report) {
	for _, group := range slices.Sorted(maps.Keys(r.InForce)) {
		fmt.Fprintf(b, "Shares of %s:", group)
		now, operator := words.Shares(r.InForce[group]), words.Shares(r.Operator[group])
		for i, server := range slices.Sorted(maps.Keys(r.InForce[group])) {
			if i == listMost {
				fmt.Fprintf(b, " and %d more (see --json)", len(r.InForce[group])-i)
				break
			}
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(b, " %s %s %% (weight %s", server, words.Percent(now[server]), r.InForce[group][server])
			if was, ok := r.Operator[group][server]; ok && was != r.InForce[group][server] {
				fmt.Fprintf(b, "; operator's %s %%, %s", words.Percent(operator[server]), was)
			}
			b.WriteByte(')')
		}
		b.WriteString(".\n")
	}
}

// listHosts says what the machines of the servers tell.
func listHosts(b *strings.Builder, r daemon.Report) {
	for i, h := range r.Hosts {
		if i == listMost {
			fmt.Fprintf(b, "%d more machines are in --json.\n", len(r.Hosts)-i)
			return
		}
		if h.Stale {
			why := "no page yet"
			if h.Problem != "" {
				why = h.Problem
			}
			fmt.Fprintf(b, "Machine of %s: no metrics that count now (%s); nothing waits for them.\n", h.Server, why)
			continue
		}
		var parts []string
		add := func(name string, share float64) {
			if share >= 0 {
				parts = append(parts, fmt.Sprintf("%s %.0f %%", name, 100*share))
			}
		}
		add("processors", h.CPU)
		add("memory", h.Memory)
		add("tasks waited for processors", h.CPUPressure)
		add("for memory", h.MemoryPressure)
		add("for input or output", h.IOPressure)
		if h.Received >= 0 {
			parts = append(parts, fmt.Sprintf("network %.1f MB/s in, %.1f MB/s out", h.Received/1e6, h.Sent/1e6))
		}
		fmt.Fprintf(b, "Machine of %s: %s.\n", h.Server, strings.Join(parts, ", "))
	}
}
