package main

import (
	"github.com/spf13/cobra"

	"trimtab/nginx"
	"trimtab/nginx/reload"
	"trimtab/vts"
)

// nginxFlags are common to the commands that act on a configuration.
type nginxFlags struct {
	config, stateDir, binary, prefix, pidFile, status string
	proxied                                           bool // the status page comes through another program
}

func (f *nginxFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.config, "config", "c", "/etc/nginx/nginx.conf", "main configuration file")
}

func (f *nginxFlags) addApply(cmd *cobra.Command) {
	f.add(cmd)
	cmd.Flags().StringVar(&f.stateDir, "state-dir", "/var/lib/trimtab/nginx", "folder of the lock, the journal and the backups")
	cmd.Flags().StringVar(&f.binary, "nginx", "nginx", "nginx binary")
	cmd.Flags().StringVar(&f.prefix, "prefix", "", "nginx -p (default: compiled in)")
	cmd.Flags().StringVar(&f.status, "status", "", "URL of the status page; reloads are then confirmed by what it shows (default: by NGINX's worker processes)")
	cmd.Flags().BoolVar(&f.proxied, "status-proxied", false, "the status page comes through another program on this machine: that it is this NGINX's is not checked")
	cmd.Flags().StringVar(&f.pidFile, "pid-file", "", "pid file of the master (default: the pid directive)")
}

// applier returns the pipeline for a person's change, and what ends it.
func (f *nginxFlags) applier() (*nginx.Applier, func(), error) {
	a := &nginx.Applier{Config: f.config, StateDir: f.stateDir, Binary: f.binary, Prefix: f.prefix, PIDFile: f.pidFile, Manual: true}
	if f.status == "" {
		return a, func() {}, nil
	}
	client, err := vts.NewClient(vts.ClientConfig{URL: f.status, FreshConnections: true})
	if err != nil {
		return nil, nil, withCode(exitUsage, err)
	}
	a.Status = reload.StatusOf(client)
	if !f.proxied {
		a.Origin = client.Origin
	}
	return a, client.Close, nil
}

func newNginx(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "nginx",
		Short: "Look at the upstreams of an NGINX configuration and change their weights safely",
		Args:  usageArgs(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newNginxShow(e),
		newNginxSet(e),
		newNginxLive(e),
		newNginxCheck(e),
		newNginxRollback(e),
		newNginxShim(e),
	)
	return cmd
}
