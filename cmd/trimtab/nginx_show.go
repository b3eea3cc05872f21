package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"trimtab/nginx"
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
			if asJSON {
				return printUpstreamsJSON(e.stdout, cfg)
			}
			return printUpstreams(e.stdout, cfg)
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
		fmt.Fprintf(w, "%s\t%s\t%s\t\t%s:%d\n", u.Name, u.Protocol, u.MethodText(), u.File.Path, u.Line)
		for _, p := range u.Peers {
			fmt.Fprintf(w, "  %s\tweight %d\t%s\t\t%s:%d\n", p.Label(), p.Weight, strings.Join(peerMarks(p), " "), p.File.Path, p.Line)
		}
	}
	for _, u := range cfg.Fragments {
		fmt.Fprintf(w, "%s\toutside http and stream at %s:%d: this is a file that another includes; name the main file with -c\n", u.Name, u.File.Path, u.Line)
	}
	if len(cfg.Upstreams)+len(cfg.Fragments) == 0 {
		fmt.Fprintf(w, "%s has no upstream block\n", cfg.Path)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, u := range cfg.Upstreams {
		if note := u.Note(); note != "" {
			fmt.Fprintln(out, "note:", note)
		}
	}
	if len(cfg.Fragments) > 0 && len(cfg.Upstreams) == 0 {
		return withCode(exitConfig, fmt.Errorf("%s is a part of a configuration: it is included by another file", cfg.Path))
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
	enc := json.NewEncoder(out)
	for _, u := range cfg.Upstreams {
		row := upstreamJSON{
			Upstream: u.Name, Protocol: u.Protocol, Method: u.Method, Args: u.MethodArgs, Sources: u.Sources, Note: u.Note(), Zone: u.Zone,
			File: u.File.Path, Line: u.Line, Servers: []peerJSON{},
		}
		for _, p := range u.Peers {
			row.Servers = append(row.Servers, peerJSON{
				Server: p.Server, Written: p.Address, Weight: p.Weight, Down: p.Down, Backup: p.Backup, Resolve: p.Resolve,
				File: p.File.Path, Line: p.Line,
			})
		}
		if err := enc.Encode(row); err != nil {
			return err
		}
	}
	return nil
}
