package main

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"

	"trimtab/nginx"
	"trimtab/nginx/dns"
)

func newDNSReset(e *env) *cobra.Command {
	var flags nginxFlags
	var where dnsFlags
	var upstreams []string
	var lines, asJSON bool
	cmd := &cobra.Command{
		Use:   "reset",
		Short: "Return to the operator's weights, or with --lines to the configuration of before",
		Example: `  sudo trimtab nginx dns reset
  sudo trimtab nginx dns reset --lines`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			where.of(flags.config)
			where.status = flags.status
			if lines {
				return resetLines(cmd.Context(), e, flags, where, upstreams)
			}
			return changeDNS(cmd.Context(), e, where, asJSON, upstreams, func(s *dns.State) (bool, error) {
				return s.Reset(upstreams...)
			})
		},
	}
	flags.addApply(cmd)
	where.add(cmd)
	cmd.Flags().StringArrayVar(&upstreams, "upstream", nil, "upstream; repeat for several (default: every one)")
	cmd.Flags().BoolVar(&lines, "lines", false, "put the lines of before back into the configuration and reload NGINX")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the receipt as one JSON object")
	return cmd
}

func resetLines(ctx context.Context, e *env, flags nginxFlags, where dnsFlags, upstreams []string) error {
	a, end, err := flags.applier()
	if err != nil {
		return err
	}
	defer end()
	a.Status = nil
	var names []string
	r, err := a.Edit(ctx, func(cfg *nginx.Config) (files []nginx.FileChange, err error) {
		files, names, err = dns.PlanReset(cfg, where.zone, upstreams)
		return files, err
	})
	if err != nil {
		return withCode(applyCode(err), err)
	}
	printReceipt(e, r)
	// Only now: until the reload NGINX was still asking.
	_, _, err = (dns.Store{Path: where.state}).Update(ctx, func(s *dns.State) (bool, error) {
		before := len(s.Upstreams)
		for _, name := range names {
			delete(s.Upstreams, name)
		}
		return len(s.Upstreams) != before, nil
	})
	return withCode(applyCode(err), err)
}

func newDNSServe(e *env) *cobra.Command {
	var flags nginxFlags
	var where dnsFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Answer DNS for NGINX without tuning, until interrupted",
		Long: `Answers from the state file, which trimtab nginx dns set changes. The daemon with kind = "dns" does this
itself: it takes over as soon as this process ends.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			where.of(flags.config)
			s, err := dns.NewServer(dns.ServerConfig{
				Listen: where.listen, Zone: where.zone, Store: dns.Store{Path: where.state},
				Logger: slog.New(slog.NewTextHandler(e.stderr, nil)),
			})
			if err != nil {
				return withCode(exitUsage, err)
			}
			return s.Run(cmd.Context())
		},
	}
	flags.add(cmd)
	where.add(cmd)
	return cmd
}
