package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"trimtab/nginx"
	"trimtab/plain"
)

// finding is one line of `trimtab nginx check`.
type finding struct {
	Check   string `json:"check"`
	OK      bool   `json:"ok"`
	Detail  string `json:"detail"`
	Skipped bool   `json:"skipped,omitempty"` // not looked at
}

// head is how the line of a finding begins.
func (f *finding) head() string {
	mark := statusOK
	switch {
	case !f.OK:
		mark = "FAIL"
	case f.Skipped:
		mark = statusSkip
	}
	return fmt.Sprintf("%-4s  %-10s ", mark, f.Check)
}

func newNginxCheck(e *env) *cobra.Command {
	var flags nginxFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check whether weights can be changed safely here, and say what stands in the way",
		Long: `Check reads the configuration, compares the files it finds with nginx -T, runs nginx -t, looks for the
running master, for a change that a crash left unfinished and for the circuit breaker. With --status it also looks at
the page as a source of telemetry: which module or shim answers, whether histograms are on, whether attempts that are
passed on are counted (tried out on a private NGINX with the same modules), what a poll costs. It writes nothing.`,
		Example: `  trimtab nginx check
  trimtab nginx check --status http://127.0.0.1:8081/status/format/json
  trimtab nginx check -c /etc/nginx/nginx.conf --json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, end, err := flags.applier()
			if err != nil {
				return err
			}
			defer end()
			findings := checkNginx(cmd.Context(), a)
			findings = append(findings, checkTelemetry(cmd.Context(), flags)...)
			findings = append(findings, checkWays(cmd.Context(), a, flags)...)
			failed := 0
			for _, f := range findings {
				if !f.OK {
					failed++
				}
				if asJSON {
					if err := printJSON(e.stdout, f); err != nil {
						return err
					}
					continue
				}
				if err := e.row(f.head(), plain.Text(f.Detail)); err != nil {
					return err
				}
			}
			if failed > 0 {
				return withCode(exitRefused, fmt.Errorf("check: %d of %d checks failed: weights cannot be "+
					"changed safely", failed, len(findings)))
			}
			return nil
		},
	}
	flags.addApply(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object per check and line")
	return cmd
}

func checkNginx(ctx context.Context, a *nginx.Applier) []finding {
	var out []finding
	add := func(check string, err error, format string, args ...any) {
		f := finding{Check: check, OK: err == nil, Detail: fmt.Sprintf(format, args...)}
		if err != nil {
			f.Detail = err.Error()
		}
		out = append(out, f)
	}
	cfg, err := nginx.ReadConfig(a.Config)
	if err != nil {
		add("config", err, "")
		return out
	}
	add("config", nil, "%s: %s, %s", cfg.Path, plain.Count(len(cfg.Files), "file"),
		plain.Count(len(cfg.Upstreams), "upstream"))
	if cfg.Root == "" {
		add("files", a.CompareFiles(ctx, cfg), "the same as nginx -T reads")
	} else {
		add("files", nil, "those of %s; %s", cfg.Root, nginx.ErrContained)
	}
	for _, note := range cfg.Notes() {
		add("note", nil, "%s", note)
	}
	for _, u := range cfg.Upstreams {
		detail := fmt.Sprintf("%s (%s): %s can be edited", u.Name, u.MethodText(), plain.Count(len(u.Peers), "server"))
		add("upstream", cfg.Editable(u.Name), "%s", detail)
	}
	if cfg.Root == "" {
		add("nginx -t", a.Test(ctx), "passes")
	}
	pid, err := a.Master(ctx, cfg)
	if errors.Is(err, nginx.ErrNoMaster) {
		err = fmt.Errorf("%w: start it, or name its pid file with --pid-file", err)
	}
	add("master", err, "process %d", pid)
	if err == nil {
		load, err := nginx.ReadLoad(pid)
		add("workers", err, "%d serving, %d draining, %d MiB", load.Workers, load.Draining, load.MemoryBytes>>20)
	}
	if a.Status != nil {
		status, err := a.Status(ctx)
		add("status", err, "the page can be read; configuration loaded at %s",
			time.UnixMilli(status.LoadMsec).Format(time.RFC3339))
		if err == nil {
			note, other := a.OwnPage(ctx)
			if other != nil {
				other = fmt.Errorf("%w: name the page of this NGINX with --status", other)
			}
			if note == "" {
				note = "a process of the NGINX that would be changed serves it"
			}
			add("whose page", other, "%s", note)
		}
		for _, u := range cfg.Upstreams {
			if err == nil && u.Protocol == "http" {
				match := cfg.Resolve(ctx, status, u.Name)
				if match == nil {
					match = cfg.MatchPeers(status, u.Name)
				}
				add("servers", match, "%s: the page shows the %s of the configuration", u.Name,
					plain.Count(len(u.Peers), "server"))
			}
		}
	}
	pending, err := a.Pending()
	if err == nil && pending {
		err = errors.New("a change was interrupted: the next change, or trimtab nginx rollback, undoes it first")
	}
	add("journal", err, "no change is under way")
	breaker, err := a.Breaker()
	if err == nil && breaker.Open(time.Now()) {
		err = errors.New(breaker.String())
	}
	add("breaker", err, "closed")
	return out
}

func newNginxRollback(e *env) *cobra.Command {
	var flags nginxFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "rollback",
		Short: "Undo the last change, or one that a crash left unfinished",
		Long: `Rollback puts the content back that every file had before the last change, through the same pipeline as a
change: tested, written in one step, reloaded, confirmed. It refuses where someone has saved the file since. Rolling
back twice brings the change back.`,
		Example: `  trimtab nginx rollback
  trimtab nginx rollback -c /etc/nginx/nginx.conf --json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, end, err := flags.applier()
			if err != nil {
				return err
			}
			defer end()
			r, err := a.Rollback(cmd.Context())
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
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the receipt as one JSON object")
	return cmd
}
