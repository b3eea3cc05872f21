package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"trimtab/arena"
	"trimtab/deathstarbench"
)

// rewriteArenaMarkdown puts the tables of the rows into a document.
func rewriteArenaMarkdown(
	path, command string, rows []arena.Row, summaries []arena.Summary, baseline string, took time.Duration,
) error {
	var b strings.Builder
	seeds, scenarios := map[uint64]bool{}, map[string]bool{}
	for _, row := range rows {
		seeds[row.Seed], scenarios[row.Scenario] = true, true
	}
	played := fmt.Sprintf("%d scenarios with %d seeds", len(scenarios), len(seeds))
	fmt.Fprintf(&b, "%s\n\n", origin(command, len(rows), played, took))
	if err := arena.WriteMarkdown(&b, summaries, baseline); err != nil {
		return err
	}
	return arena.RewriteMarkdown(path, "arena", []byte(b.String()))
}

func newArenaReport(e *env) *cobra.Command {
	var baseline, markdown string
	cmd := &cobra.Command{
		Use:     "report ROWS.ndjson...",
		Short:   "Print the tables of finished arenas, and rewrite them in a document",
		Example: "  trimtab arena report arena-out/rows.ndjson --markdown docs/lab/library.md",
		Args:    usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var rows []arena.Row
			var policies []string
			for _, path := range args {
				more, err := readRows(path)
				if err != nil {
					return withCode(exitConfig, err)
				}
				rows = append(rows, more...)
			}
			for _, row := range rows {
				if !slices.Contains(policies, row.Policy) {
					policies = append(policies, row.Policy)
				}
			}
			arena.SortPolicies(policies)
			baseline := chosenBaseline(baseline, policies)
			arena.SortRows(rows, deathstarbench.Names(), policies)
			summaries := arena.Summarise(rows, baseline)
			if markdown != "" {
				return withCode(exitConfig, rewriteArenaMarkdown(markdown, commandLine(cmd, args), rows, summaries,
					baseline, 0))
			}
			return e.text(func(w io.Writer) error { return arena.WriteTable(w, summaries, baseline) })
		},
	}
	cmd.Flags().StringVar(&baseline, "baseline", "", "policy that the others are compared with")
	cmd.Flags().StringVar(&markdown, "markdown", "", "rewrite the tables between the arena's marks in this Markdown "+
		"file instead of printing them")
	return cmd
}

// readRows reads rows.ndjson; a last line that was cut off by a crash is left out.
func readRows(path string) ([]arena.Row, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var rows []arena.Row
	dec := json.NewDecoder(f)
	for {
		var row arena.Row
		err := dec.Decode(&row)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF) && len(rows) > 0:
			return rows, nil
		case err != nil:
			return nil, fmt.Errorf("read %s: row %d: %w", path, len(rows)+1, err)
		}
		rows = append(rows, row)
	}
}
