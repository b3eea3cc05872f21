package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"trimtab/nginx"
	"trimtab/nginx/instance"
	"trimtab/nginx/live"
)

func newNginxLive(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "live",
		Short: "Weights that change without a reload: install live weights, look at them, set them",
		Long: `NGINX's own balancers look for their weights in shared memory when an upstream has a zone. A piece of Lua in
NGINX (Debian: libnginx-mod-http-lua) takes one authenticated call over loopback and writes them there, for the next
request of every worker: no reload, no worker that drains, no connection closed, and nothing to do while requests are
served. Weights set live survive reloads; after a restart NGINX begins with those of the file.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newLiveInstall(e), newLiveShow(e), newLiveSet(e), newLiveReset(e))
	return cmd
}

func newLiveInstall(e *env) *cobra.Command {
	var flags nginxFlags
	var opt live.InstallOptions
	var dryRun, asJSON bool
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Write the files for live weights and say which two lines to add",
		Long: `Writes the files into a folder of their own beside nginx.conf and prints the lines that you add to your
configuration: one in the http block, and a zone in each upstream that has none. Nothing of yours is touched. Run it
again after an upgrade; an upstream that is added later needs no more than its zone. To undo it, take the lines out,
reload and delete the folder.`,
		Example: `  sudo trimtab nginx live install
  sudo trimtab nginx live install --upstream backend --listen unix:/run/trimtab-live.sock
  sudo trimtab nginx live install --status-listen 127.0.0.1:8081
  trimtab nginx live install --dry-run`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			cfg, err := nginx.ReadConfig(flags.config)
			if err != nil {
				return withCode(exitConfig, err)
			}
			in, err := live.Plan(cfg, opt)
			if err != nil {
				return withCode(applyCode(err), err)
			}
			var written []string
			if !dryRun {
				if written, err = in.Write(); err != nil {
					return withCode(exitConfig, err)
				}
			}
			if asJSON {
				return printJSON(e.stdout, installJSON(in, written))
			}
			return explainInstall(e, flags, in, written, dryRun)
		},
	}
	flags.add(cmd)
	pathVar(cmd.Flags(), &opt.Dir, "dir", "", "", "folder for the files (default: trimtab beside nginx.conf)")
	cmd.Flags().StringVar(&opt.Listen, "listen", liveAddress, "where NGINX takes the control call: 127.0.0.1:port or "+
		"unix:/path")
	cmd.Flags().StringVar(&opt.StatusListen, "status-listen", "", "serve the status page as well, at 127.0.0.1:port "+
		"or unix:/path (a configuration has room for one set of Lua hooks: do not include the shim's own snippet too)")
	pathVar(cmd.Flags(), &opt.TokenFile, "token-file", "", "", "file with the call's token, made if missing "+
		"(default: token in the folder)")
	cmd.Flags().StringArrayVar(&opt.Upstreams, "upstream", nil, "upstream whose weights may be set; repeat for "+
		"several (default: every one)")
	cmd.Flags().StringArrayVar(&opt.Admission, "admission", nil, "upstream of which a share of the requests may be "+
		"refused; repeat for several (default: none)")
	cmd.Flags().BoolVar(&opt.Hooked, "hooked", false, "leave the Lua hooks out: your own run the statements that "+
		"are printed")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "write nothing")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func explainInstall(e *env, flags nginxFlags, in *live.Installation, written []string, dryRun bool) error {
	out := e.stdout
	switch {
	case dryRun:
		fmt.Fprintf(out, "Would install into %s.\n", in.Live.Dir)
	case len(written) == 0:
		fmt.Fprintf(out, "All files in %s are up to date.\n", in.Live.Dir)
	default:
		fmt.Fprintf(out, "Wrote %s.\n", strings.Join(written, ", "))
	}
	for _, s := range in.Skipped {
		fmt.Fprintln(out, "Left out:", s)
	}
	for _, n := range in.Notes {
		fmt.Fprintln(out, "Note:", n)
	}
	missing := 0
	for _, l := range in.Lines {
		if l.Present {
			continue
		}
		if missing++; missing == 1 {
			fmt.Fprintln(out, "\nAdd these lines:")
		}
		fmt.Fprintf(out, "\n    %s\n  %s\n", l.Text, l.Where)
	}
	if _, err := instance.LuaModules(); err != nil && errors.Is(err, instance.ErrMissing) {
		fmt.Fprintln(out, "\nNGINX's Lua module was not found: install libnginx-mod-http-lua (Debian, Ubuntu) first.")
	}
	switch {
	case missing > 0:
		fmt.Fprintln(out, "\nThe first makes the control call; a zone puts NGINX's record of an upstream's servers "+
			"where all workers and the call reach it.")
		fmt.Fprintf(out, "\nThen: %s && trimtab nginx live show%s\n", flags.testAndReload(), liveAsGiven(in))
	case len(written) > 0:
		fmt.Fprintln(out, "\nThe lines stand in the configuration already. For the new files to count:",
			flags.testAndReload())
	}
	_, err := fmt.Fprintf(out, "\nFor the daemon, in trimtab.toml:\n\n    [actuator]\n    kind = \"live\"\n    "+
		"address = %q\n    token_file = %q\n", in.Live.Listen, in.Live.TokenFile)
	return err
}

// liveAsGiven are the flags that lead to an installation's control call; empty: the usual ones.
func liveAsGiven(in *live.Installation) string {
	text := ""
	if in.Live.Listen != liveAddress {
		text += " --address " + quoted(in.Live.Listen)
	}
	if in.Live.TokenFile != liveToken {
		text += " --token-file " + quoted(in.Live.TokenFile)
	}
	return text
}

// liveInstallJSON says what was written for live weights, and which lines are to be added.
type liveInstallJSON struct {
	Dir       string     `json:"dir"`
	Listen    string     `json:"listen"`
	TokenFile string     `json:"token_file"`
	Written   []string   `json:"written"`
	Lines     []lineJSON `json:"lines"`
	Skipped   []string   `json:"skipped"`
	Notes     []string   `json:"notes"`
}

// lineJSON is a line for a file of NGINX.
type lineJSON struct {
	Text    string `json:"text"`
	Where   string `json:"where"`
	File    string `json:"file"`
	Present bool   `json:"present"`
}

func installJSON(in *live.Installation, written []string) liveInstallJSON {
	lines := []lineJSON{}
	for _, l := range in.Lines {
		lines = append(lines, lineJSON{Text: l.Text, Where: l.Where, File: l.File, Present: l.Present})
	}
	return liveInstallJSON{Dir: in.Live.Dir, Listen: in.Live.Listen, TokenFile: in.Live.TokenFile, Written: written,
		Lines: lines, Skipped: in.Skipped, Notes: in.Notes}
}

// Where the control call and its token are when nobody says otherwise.
const (
	liveAddress = "127.0.0.1:9147"
	liveToken   = "/etc/nginx/trimtab/token"
)

// liveFlags say where the control call is.
type liveFlags struct{ address, tokenFile string }

func (f *liveFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.address, "address", liveAddress, "where NGINX takes the control call")
	pathVar(cmd.Flags(), &f.tokenFile, "token-file", "", liveToken, "file with the call's token")
}

func (f *liveFlags) actuator() (*live.Actuator, error) {
	a, err := live.New(live.Config{Address: f.address, TokenFile: f.tokenFile})
	return a, withCode(exitUsage, err)
}

func newLiveShow(e *env) *cobra.Command {
	var flags liveFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "show",
		Short:   "Print what NGINX's balancers go by now: weights, failures, active connections",
		Example: "  sudo trimtab nginx live show\n  sudo trimtab nginx live show --json | jq .upstreams",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := flags.actuator()
			if err != nil {
				return err
			}
			s, err := a.State(cmd.Context())
			if err != nil {
				return withCode(liveCode(err), err)
			}
			return printLive(e, s, asJSON)
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func newLiveSet(e *env) *cobra.Command {
	var flags liveFlags
	var upstream string
	var weights []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "set",
		Short:   "Set weights for the next request",
		Example: "  sudo trimtab nginx live set --upstream backend --weight 10.0.0.1:80=3 --weight 10.0.0.2:80=5",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := flags.actuator()
			if err != nil {
				return err
			}
			want, err := weightPairs(upstream, weights)
			if err != nil {
				return err
			}
			s, err := a.State(cmd.Context())
			if err != nil {
				return withCode(liveCode(err), err)
			}
			for _, o := range s.Upstreams[upstream].Servers {
				if w, ok := want[upstream][o.Server]; ok {
					want[upstream][o.Server] = nginx.Setting{Weight: w.Weight, Down: o.Down}
				}
			}
			r, err := a.Apply(cmd.Context(), want)
			if asJSON {
				if err := printJSON(e.stdout, receiptJSON(r, err)); err != nil {
					return err
				}
			} else if err == nil && r.Changed {
				fmt.Fprintf(e.stdout, "in force after %.1f ms\n", float64(r.Took.Microseconds())/1e3)
			} else if err == nil {
				fmt.Fprintln(e.stdout, "nothing to change: the weights are in force already")
			}
			return withCode(applyCode(err), err)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&upstream, "upstream", "", "name of the upstream (required)")
	cmd.Flags().StringArrayVar(&weights, "weight", nil, "SERVER=N, N from 1 to 100; repeat for several servers")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the receipt as one JSON object")
	return cmd
}

// liveCode is the exit code of a control call that failed: the token is a file that is configured, the rest is what
// NGINX says.
func liveCode(err error) int {
	if file := (*fs.PathError)(nil); errors.As(err, &file) {
		return exitConfig
	}
	return exitTelemetry
}

func newLiveReset(e *env) *cobra.Command {
	var flags liveFlags
	cmd := &cobra.Command{
		Use:     "reset",
		Short:   "Return every upstream to the weights of its file",
		Example: "  sudo trimtab nginx live reset",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := flags.actuator()
			if err != nil {
				return err
			}
			s, err := a.Reset(cmd.Context())
			if err != nil {
				return withCode(liveCode(err), err)
			}
			return printLive(e, s, false)
		},
	}
	flags.add(cmd)
	return cmd
}

func printLive(e *env, s *live.State, asJSON bool) error {
	if asJSON {
		return printJSON(e.stdout, s)
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	for _, name := range slices.Sorted(maps.Keys(s.Upstreams)) {
		g := s.Upstreams[name]
		note := ""
		switch {
		case !g.Live:
			note = "not live: " + g.Why
		case g.Outdated:
			note = "the weights set are void: the file has changed since"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", name, g.Method, note)
		for _, o := range g.Servers {
			marks := ""
			if o.Down {
				marks += " down"
			}
			if o.Backup {
				marks += " backup"
			}
			fmt.Fprintf(w, "  %s\tweight %d (file %d)\tactive %d\tfails %d%s\n", o.Server, o.Weight, o.BaseWeight,
				o.Active, o.Fails, marks)
		}
	}
	return w.Flush()
}
