package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"trimtab/daemon"
	"trimtab/nginx"
	"trimtab/nginx/dns"
	"trimtab/nginx/instance"
)

// dnsFlags say where DNS is answered, and from what.
type dnsFlags struct{ listen, zone, state, status string }

// of takes the state of the daemon for a configuration unless another was named.
func (f *dnsFlags) of(config string) {
	if f.state == "" {
		cfg := daemon.Defaults()
		cfg.StateDir = daemon.StateDirFor(config)
		f.state = cfg.DNSPath()
	}
}

func (f *dnsFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.listen, "listen", dns.DefaultListen, "loopback address where Trimtab answers DNS")
	cmd.Flags().StringVar(&f.zone, "zone", strings.TrimSuffix(dns.DefaultZone, "."),
		"domain of the names that NGINX asks for")
	pathVar(cmd.Flags(), &f.state, "state", "", "",
		"file with what NGINX is told (default: dns.json in the state folder of a daemon for the configuration)")
}

func (f *dnsFlags) addStatus(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.status, "status", "",
		"URL of the status page; a change then counts once it is seen there (default: once it is answered)")
}

// actuator returns what sets weights, and what ends it.
func (f *dnsFlags) actuator() (*dns.Actuator, func(), error) {
	cfg := dns.Config{Listen: f.listen, Zone: f.zone, Store: dns.Store{Path: f.state}}
	end := func() {}
	if f.status != "" {
		status, stop, err := freshStatus(f.status, "")
		if err != nil {
			return nil, nil, err
		}
		cfg.Status, end = status, stop
	}
	a, err := dns.New(cfg)
	return a, end, withCode(exitUsage, err)
}

func newNginxDNS(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dns",
		Short: "Weights and servers by DNS: install, look at them, set them (NGINX 1.27.3 and newer)",
		Long: `Since 1.27.3 NGINX takes the servers of an upstream and their weights from DNS, and asks again every two
seconds: no reload, no module, no connection closed. Trimtab answers over loopback: the daemon with kind = "dns", or
trimtab nginx dns serve. When nobody answers, NGINX goes on with the weights it has.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDNSInstall(e), newDNSShow(e), newDNSSet(e), newDNSReset(e), newDNSServe(e))
	return cmd
}

func newDNSInstall(e *env) *cobra.Command {
	var flags nginxFlags
	var where dnsFlags
	var opt dns.InstallOptions
	var write, asJSON bool
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Show, test and with --write make the change after which upstreams take their weights by DNS",
		Long: `Works out the change of your configuration: two lines per upstream, the servers that stood there as backups
for the second until the first answer, and the lines of before as comments. It has nginx -t read the result and prints
it. With --write it is written, NGINX reloaded and seen to have done so, or everything is put back; what NGINX is to
be told is written before. The way back is trimtab nginx dns reset --lines.`,
		Example: `  sudo trimtab nginx dns install
  sudo trimtab nginx dns install --upstream backend --write`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			where.of(flags.config)
			opt.Listen, opt.Zone = where.listen, where.zone
			return installDNS(cmd.Context(), e, flags, where, opt, write, asJSON, calledAs(cmd, nil)+" --write")
		},
	}
	flags.addApply(cmd)
	where.add(cmd)
	cmd.Flags().StringArrayVar(&opt.Upstreams, "upstream", nil,
		"upstream to change; repeat for several (default: every one that can be)")
	cmd.Flags().BoolVar(&opt.Bare, "bare", false,
		"change upstreams too whose method takes no backup servers: nobody stands in for the first second "+
			"after a start")
	cmd.Flags().BoolVar(&write, "write", false, "write the change and reload NGINX")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// tooOld says why this NGINX does not take weights by DNS; empty when it does.
func tooOld(ctx context.Context, binary string) (string, error) {
	v, err := instance.VersionOf(ctx, binary)
	if err != nil {
		return "", err
	}
	if slices.Compare(v[:], dns.FirstVersion[:]) < 0 {
		return fmt.Sprintf("NGINX %d.%d.%d takes no weights by DNS: that needs 1.27.3 or newer; trimtab nginx live "+
			"install works from 1.22 on", v[0], v[1], v[2]), nil
	}
	return "", nil
}

func installDNS(ctx context.Context, e *env, flags nginxFlags, where dnsFlags, opt dns.InstallOptions, write,
	asJSON bool, again string) error {
	old, err := tooOld(ctx, flags.binary)
	if err != nil {
		return withCode(exitConfig, err)
	}
	if old != "" {
		return withCode(exitRefused, errors.New(old))
	}
	a, end, err := flags.applier()
	if err != nil {
		return err
	}
	defer end()
	a.Status = nil // whose page does not match the files while a name is being resolved
	var in *dns.Installation
	plan := func(cfg *nginx.Config) ([]nginx.FileChange, error) {
		var err error
		if in, err = dns.Plan(ctx, cfg, opt); err != nil {
			return nil, err
		}
		return in.Files, nil
	}
	diff, tested, err := a.TestEdit(ctx, plan)
	if err != nil {
		return withCode(applyCode(err), err)
	}
	var r nginx.Receipt
	if write && len(in.Files) > 0 {
		if _, _, err := (dns.Store{Path: where.state}).Update(ctx, func(s *dns.State) (bool, error) {
			maps.Copy(s.Upstreams, in.State)
			return true, nil
		}); err != nil {
			return withCode(applyCode(err), err)
		}
		if r, err = a.Edit(ctx, plan); err != nil {
			return withCode(applyCode(err), err)
		}
	}
	if asJSON {
		return printJSON(e.stdout, dnsInstallJSON{Diff: diff, Tested: tested, Written: r.Changed,
			Upstreams: slices.Sorted(maps.Keys(in.State)), Present: in.Present, Skipped: in.Skipped, Notes: in.Notes,
			Names: in.Names, State: where.state})
	}
	return explainDNS(e, in, where, diff, tested, again, r)
}

func explainDNS(e *env, in *dns.Installation, where dnsFlags, diff string, tested bool, again string,
	r nginx.Receipt) error {
	out := e.stdout
	for _, s := range in.Skipped {
		fmt.Fprintln(out, "Left out:", s)
	}
	for _, n := range append(in.Notes, r.Notes...) {
		fmt.Fprintln(out, "Note:", n)
	}
	for _, name := range in.Present {
		fmt.Fprintf(out, "Upstream %s takes its weights by DNS already.\n", name)
	}
	if diff == "" {
		return nil
	}
	fmt.Fprintf(out, "%s\n", diff)
	switch {
	case r.Changed:
		fmt.Fprintf(out, "Written, and in force after %d ms. What NGINX is told stands in %s.\n",
			r.Took.Milliseconds(), where.state)
	case tested:
		fmt.Fprintln(out, "nginx -t accepts this. Nothing was written. To write it:", again)
	default:
		fmt.Fprintln(out,
			"Not tested: this process may not make a private mount namespace. Nothing was written. To test it in "+
				"place and write it:", again)
	}
	fmt.Fprint(out, `
The resolver line says whom NGINX asks, and the service line for what: it asks for _http._tcp of that name, then for
the address of every server, and asks for the servers again every two seconds. The static lines are the servers of
before. They are used from a start of NGINX until the first answer, about a second, and while all others fail. What
you change in them from now on does not count beyond that: servers and weights come from Trimtab.
`)
	_, err := fmt.Fprintf(out,
		"\nFor the daemon, in trimtab.toml:\n\n    [actuator]\n    kind = \"dns\"\n    dns_listen = %q\n", where.listen)
	for _, name := range slices.Sorted(maps.Keys(in.Names)) {
		fmt.Fprintf(out, "\n    [[actuator.members]]\n    upstream = %q\n    name = %q\n", name, in.Names[name])
	}
	return err
}

func newDNSShow(e *env) *cobra.Command {
	var flags nginxFlags
	var where dnsFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "show",
		Short:   "Print what NGINX is told, whether it is answered, and with --status whether NGINX goes by it",
		Example: "  trimtab nginx dns show --status http://127.0.0.1:8081/status/format/json",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			where.of(flags.config)
			a, end, err := where.actuator()
			if err != nil {
				return err
			}
			defer end()
			return showDNS(cmd.Context(), e, a, where, asJSON)
		},
	}
	flags.add(cmd)
	where.add(cmd)
	where.addStatus(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func showDNS(ctx context.Context, e *env, a *dns.Actuator, where dnsFlags, asJSON bool) error {
	st, err := a.State()
	if err != nil {
		return withCode(exitConfig, err)
	}
	answered := ""
	about, err := dns.Ask(ctx, where.listen, where.zone)
	switch {
	case err != nil:
		answered = err.Error()
	case about.Serial != st.Serial:
		answered = fmt.Sprintf("serial %d is answered, %d is written (%s)", about.Serial, st.Serial, about.About)
	}
	force := ""
	if where.status != "" {
		if _, err := a.InForce(ctx); err != nil {
			force = err.Error()
		}
	}
	if asJSON {
		return printJSON(e.stdout, dnsShowJSON{State: st, Answered: answered == "", NotAnswered: answered,
			InForce: force == "" && where.status != "", NotInForce: force})
	}
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	for _, name := range slices.Sorted(maps.Keys(st.Upstreams)) {
		fmt.Fprintf(w, "%s\t%s\t\n", name, dns.Host(name, where.zone))
		for _, o := range st.Upstreams[name].Servers {
			marks := ""
			if o.Down {
				marks += " left out"
			}
			if o.Backup {
				marks += " backup"
			}
			fmt.Fprintf(w, "  %s\tweight %d (yours %d)%s\t\n", o.Address, o.Weight, o.Base, marks)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if answered != "" {
		fmt.Fprintln(&out, "not answered:", answered)
	}
	if force != "" {
		fmt.Fprintln(&out, "not in force:", force)
	}
	e.say("%s", out.String())
	return nil
}

func newDNSSet(e *env) *cobra.Command {
	var flags nginxFlags
	var where dnsFlags
	var upstream string
	var weights []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "set",
		Short:   "Set weights, and wait until NGINX goes by them",
		Example: "  sudo trimtab nginx dns set --upstream backend --weight 10.0.0.1:80=300 --weight 10.0.0.2:80=500",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			where.of(flags.config)
			want, err := weightPairs(upstream, weights)
			if err != nil {
				return err
			}
			return changeDNS(cmd.Context(), e, where, asJSON, []string{upstream}, func(s *dns.State) (bool, error) {
				for _, o := range s.Upstreams[upstream].Servers {
					if w, ok := want[upstream][o.Address]; ok {
						want[upstream][o.Address] = nginx.Setting{Weight: w.Weight, Down: o.Down}
					}
				}
				return s.Set(want)
			})
		},
	}
	flags.add(cmd)
	where.add(cmd)
	where.addStatus(cmd)
	cmd.Flags().StringVar(&upstream, "upstream", "", "name of the upstream (required)")
	cmd.Flags().StringArrayVar(&weights, "weight", nil, "SERVER=N, N from 1 to 65535; repeat for several servers")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the receipt as one JSON object")
	return cmd
}

// changeDNS makes a change and says what became of it.
func changeDNS(ctx context.Context, e *env, where dnsFlags, asJSON bool, names []string,
	change func(*dns.State) (bool, error)) error {
	a, end, err := where.actuator()
	if err != nil {
		return err
	}
	defer end()
	r, err := a.Change(ctx, names, change)
	if asJSON {
		if err := printJSON(e.stdout, receiptJSON(r, err)); err != nil {
			return err
		}
	} else if err == nil && r.Changed {
		for _, note := range r.Notes {
			fmt.Fprintln(e.stderr, "note:", note)
		}
		fmt.Fprintf(e.stdout, "in force after %d ms\n", r.Took.Milliseconds())
	} else if err == nil {
		fmt.Fprintln(e.stdout, "nothing to change: NGINX is told these weights already")
	}
	return withCode(applyCode(err), err)
}
