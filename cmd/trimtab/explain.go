package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"trimtab/tuner"
)

// explainReport says what the daemon does now and what it decided last.
type explainReport struct {
	At          time.Time          `json:"at"`
	Learner     string             `json:"learner"`
	Held        string             `json:"held"` // why changes are held; empty: they are not
	Reason      string             `json:"reason"`
	Problem     string             `json:"problem"` // why the last step failed; empty: it did not
	LastChange  *time.Time         `json:"last_change_at"`
	InForce     tuner.Weights      `json:"weights_in_force"`    // at the last sample, or as set last when the state file was read
	Operator    tuner.Weights      `json:"weights_of_operator"` // what --on-exit restore returns to
	Orders      []string           `json:"orders"`              // what is ordered of single servers
	Explanation *tuner.Explanation `json:"explanation"`         // nil: nothing decided yet, or a learner that explains nothing
}

const defaultDaemonConfigPath = "/etc/trimtab/trimtab.toml"

func newExplain(e *env) *cobra.Command {
	var config, state string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Say what the daemon decided last and why",
		Long: `Asks the running daemon, at the address that its configuration gives, or reads the state file when none answers: the weights
in force and the operator's, the load regime and its probability, the Q table's row with visits, the proposal chosen, the limits that took effect, the predicted and the
measured reward.`,
		Example: `  sudo trimtab explain
  sudo trimtab explain --state /var/lib/trimtab/tuner.db
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
				return json.NewEncoder(e.stdout).Encode(r)
			}
			_, err = fmt.Fprint(e.stdout, r.text(from))
			return err
		},
	}
	cmd.Flags().StringVar(&config, "config", defaultDaemonConfigPath, "configuration of the daemon")
	cmd.Flags().StringVar(&state, "state", "", "read this state file instead of asking the daemon")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func findReport(ctx context.Context, config, state string, given bool) (explainReport, string, error) {
	if state == "" {
		cfg, err := readDaemonConfig(config)
		if errors.Is(err, fs.ErrNotExist) && !given {
			cfg, err = defaultDaemonConfig(), nil
		}
		if err != nil {
			return explainReport{}, "", withCode(exitConfig, err)
		}
		if cfg.Listen != "" {
			if r, err := askDaemon(ctx, cfg.Listen); err == nil {
				return r, "the daemon at " + cfg.Listen, nil
			}
		}
		state = filepath.Join(cfg.StateDir, "tuner.db")
	}
	st, err := tuner.NewStore(state, nil).Read()
	if errors.Is(err, fs.ErrNotExist) {
		return explainReport{}, "", withCode(exitConfig, fmt.Errorf("explain: no daemon answers, and there is no %s: start trimtab tune first, or name its --config or --state", state))
	}
	if err != nil {
		return explainReport{}, "", withCode(exitConfig, err)
	}
	r := explainReport{At: st.SavedAt, Explanation: st.Explanation, InForce: st.Base.Clone(), Operator: st.Base}
	maps.Copy(r.InForce, st.LastGood)
	if st.Explanation != nil {
		r.Reason, r.Learner = st.Explanation.Reason, "tuned"
	}
	return r, state + " (no daemon was asked)", nil
}

func askDaemon(ctx context.Context, address string) (r explainReport, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/explain", nil)
	if err != nil {
		return r, err
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return r, fmt.Errorf("ask the daemon: %s", resp.Status)
	}
	return r, json.NewDecoder(resp.Body).Decode(&r)
}

func (r explainReport) text(from string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "As of %s, from %s.\n", r.At.Format(time.RFC3339), from)
	switch {
	case r.Problem != "":
		fmt.Fprintf(&b, "The last step failed: %s. The weights stay as they are.\n", r.Problem)
	case r.Held != "":
		fmt.Fprintf(&b, "Changes are held: %s.\n", r.Held)
	}
	if r.LastChange != nil {
		fmt.Fprintf(&b, "Weights were changed last at %s.\n", r.LastChange.Format(time.RFC3339))
	}
	r.weights(&b)
	for _, line := range r.Orders {
		fmt.Fprintf(&b, "Ordered, and not tuned meanwhile: %s.\n", line)
	}
	switch {
	case r.Explanation != nil:
		b.WriteString("\n" + r.Explanation.Text())
	case r.Reason != "":
		fmt.Fprintf(&b, "\n%s\n", r.Reason)
	default:
		b.WriteString("\nNothing has been decided yet.\n")
	}
	return b.String()
}

// weights lists the weights in force, and the operator's where they differ.
func (r explainReport) weights(b *strings.Builder) {
	for _, group := range slices.Sorted(maps.Keys(r.InForce)) {
		fmt.Fprintf(b, "Weights of %s:", group)
		for i, server := range slices.Sorted(maps.Keys(r.InForce[group])) {
			if i == describeMost {
				fmt.Fprintf(b, " and %d more (see --json)", len(r.InForce[group])-i)
				break
			}
			if i > 0 {
				b.WriteByte(',')
			}
			now := r.InForce[group][server]
			fmt.Fprintf(b, " %s %s", server, settingText(now))
			if was, ok := r.Operator[group][server]; ok && was != now {
				fmt.Fprintf(b, " (operator's: %s)", settingText(was))
			}
		}
		b.WriteString(".\n")
	}
}

// firstWords is the kind of a reason: what stands before its colon.
func firstWords(reason string) string {
	kind, _, _ := strings.Cut(reason, ":")
	return kind
}
