package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"trimtab/daemon"
	"trimtab/plain"
)

// How a check of the doctor ended.
const (
	statusOK   = "ok"
	statusWarn = "warn"
	statusFail = "fail"
	statusSkip = "skip"
)

// diagnosis is one line of trimtab doctor.
type diagnosis struct {
	Area   string `json:"area"`
	Check  string `json:"check"`
	Status string `json:"status"`
	Detail string `json:"detail"`
	Todo   string `json:"todo,omitempty"` // what to do about it
}

func newDoctor(e *env) *cobra.Command {
	var config string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check everything that tuning needs, and say what to do about what is missing",
		Long: `Reads the daemon's configuration and checks in turn: the configuration and what it names, NGINX and its
files, the running master, telemetry (is the page that of this NGINX? how good are its figures?), the way in which
weights are changed, permissions, the systemd unit, clocks, and the state. It changes nothing. Every line is ok, warn
(works, but), fail (tuning will not work) or skip (could not be looked at), with what to do.

Exit codes: 0 nothing failed; 3, 4 or 5 something did: the configuration, the telemetry, or anything else.`,
		Example: `  sudo trimtab doctor
  sudo trimtab doctor --config /etc/trimtab/second.toml --json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			found := examine(cmd.Context(), config, cmd.Flags().Changed("config"))
			if err := printDiagnoses(e, found, asJSON); err != nil {
				return err
			}
			return diagnosed(found)
		},
	}
	pathVar(cmd.Flags(), &config, "config", "", daemon.DefaultPath, "configuration of the daemon")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object per check and line")
	return cmd
}

func printDiagnoses(e *env, found []diagnosis, asJSON bool) error {
	if asJSON {
		for _, d := range found {
			if err := printJSON(e.stdout, d); err != nil {
				return err
			}
		}
		return nil
	}
	for _, d := range found {
		head := fmt.Sprintf("%-4s  %-13s ", d.Status, d.Area)
		if err := e.row(head, d.Check+": "+plain.Text(d.Detail)); err != nil {
			return err
		}
		if d.Todo != "" && d.Status != statusOK {
			if err := e.row(fmt.Sprintf("%*s→ ", len(head), ""), plain.Text(d.Todo)); err != nil {
				return err
			}
		}
	}
	return nil
}

// diagnosed is the error of what failed, with the exit code of its area; nil: nothing did.
func diagnosed(found []diagnosis) error {
	var failed []string
	code := exitRefused
	for _, d := range found {
		if d.Status != statusFail {
			continue
		}
		if len(failed) == 0 {
			switch d.Area {
			case areaConfig:
				code = exitConfig
			case areaTelemetry:
				code = exitTelemetry
			}
		}
		failed = append(failed, d.Area+" ("+d.Check+")")
	}
	if len(failed) == 0 {
		return nil
	}
	return withCode(code, fmt.Errorf("doctor: %d of %d checks failed: %s", len(failed), len(found),
		strings.Join(failed, ", ")))
}

// examine makes all checks in turn; what one needs of another that failed is skipped.
func examine(ctx context.Context, path string, given bool) []diagnosis {
	x := &examination{}
	cfg, err := daemon.ReadConfigOr(path, given)
	if err != nil {
		todo := "mend the line; every key stands in trimtab.toml(5)"
		if errors.Is(err, fs.ErrNotExist) {
			todo = "" // the error says what to do
		}
		for _, fault := range strings.Split(err.Error(), "\n") {
			x.fail(areaConfig, "file", todo, "%s", fault)
		}
		x.skip(areaNGINX, "all", "the configuration has to be read first")
		return x.found
	}
	x.config(path, cfg)
	x.nginx(ctx, cfg)
	x.telemetry(ctx, cfg)
	x.actuator(ctx, cfg)
	x.permissions(cfg)
	x.unit(ctx, path, cfg)
	x.clock()
	x.state(cfg)
	x.daemon(ctx, cfg)
	return x.found
}
