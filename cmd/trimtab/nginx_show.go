package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"trimtab/nginx"
	"trimtab/plain"
)

func newNginxShow(e *env) *cobra.Command {
	var flags nginxFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print upstreams, servers, weights and methods, and where each stands",
		Example: `  trimtab nginx show
  trimtab nginx show -c /etc/nginx/nginx.conf --json | jq -r .upstream`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			cfg, err := nginx.ReadConfig(flags.config)
			if err != nil {
				return withCode(exitConfig, err)
			}
			for _, note := range cfg.Notes() {
				fmt.Fprintln(e.stderr, "note:", plain.Text(note))
			}
			if asJSON {
				return printUpstreamsJSON(e.stdout, cfg)
			}
			return e.text(func(w io.Writer) error { return printUpstreams(w, cfg) })
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object per upstream and line")
	return cmd
}

func printUpstreams(out io.Writer, cfg *nginx.Config) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i, u := range cfg.Upstreams {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t\t%s:%d\n", plain.Text(u.Name), u.Protocol, plain.Text(u.MethodText()),
			plain.Text(u.File.Path), u.Line)
		for _, p := range u.Peers {
			fmt.Fprintf(w, "  %s\tweight %d\t%s\t\t%s:%d\n", plain.Text(p.Label()), p.Weight,
				strings.Join(peerMarks(p), " "), plain.Text(p.File.Path), p.Line)
		}
	}
	if len(cfg.Upstreams) == 0 {
		fmt.Fprintf(w, "%s has no upstream block in http or stream\n", cfg.Path)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(cfg.Stray) > 0 && len(cfg.Upstreams) == 0 {
		return withCode(exitConfig, fmt.Errorf("%s is a part of a configuration: it is included by another file",
			cfg.Path))
	}
	return nil
}

func peerMarks(p *nginx.Peer) []string {
	var marks []string
	for _, m := range []struct {
		on   bool
		name string
	}{{p.Down, "down"}, {p.Backup, "backup"}, {p.Resolve, "resolve"}, {p.Server == "", "host name"}} {
		if m.on {
			marks = append(marks, m.name)
		}
	}
	return marks
}

type upstreamJSON struct {
	Upstream string     `json:"upstream"`
	Protocol string     `json:"protocol"`
	Method   string     `json:"method"`
	Args     []string   `json:"method_args,omitempty"`
	Sources  []string   `json:"servers_by,omitempty"`
	Note     string     `json:"note,omitempty"`
	Zone     string     `json:"zone,omitempty"`
	File     string     `json:"file"`
	Line     int        `json:"line"`
	Servers  []peerJSON `json:"servers"`
}

type peerJSON struct {
	Server  string `json:"server"`
	Written string `json:"written"`
	Weight  int    `json:"weight"`
	Down    bool   `json:"down"`
	Backup  bool   `json:"backup"`
	Resolve bool   `json:"resolve"`
	File    string `json:"file"`
	Line    int    `json:"line"`
}

func printUpstreamsJSON(out io.Writer, cfg *nginx.Config) error {
	for _, u := range cfg.Upstreams {
		row := upstreamJSON{
			Upstream: u.Name, Protocol: u.Protocol, Method: u.Method, Args: u.MethodArgs, Sources: u.Sources,
			Note: u.Note(), Zone: u.Zone,
			File: u.File.Path, Line: u.Line, Servers: []peerJSON{},
		}
		for _, p := range u.Peers {
			row.Servers = append(row.Servers, peerJSON{
				Server: p.Server, Written: p.Address, Weight: p.Weight, Down: p.Down, Backup: p.Backup,
				Resolve: p.Resolve,
				File:    p.File.Path, Line: p.Line,
			})
		}
		if err := printJSON(out, row); err != nil {
			return err
		}
	}
	return nil
}
