package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"trimtab/daemon"
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
	pathVar(cmd.Flags(), &f.config, "config", "c", daemon.DefaultNginxConfig, "main configuration file")
}

func (f *nginxFlags) addApply(cmd *cobra.Command) {
	f.add(cmd)
	pathVar(cmd.Flags(), &f.stateDir, "state-dir", "", "", "folder of the lock, the journal and the backups (default: that of a daemon for this configuration)")
	cmd.Flags().StringVar(&f.binary, "nginx", "nginx", "nginx binary")
	cmd.Flags().StringVar(&f.prefix, "prefix", "", "nginx -p (default: compiled in)")
	cmd.Flags().StringVar(&f.status, "status", "", "URL of the status page; reloads are then confirmed by what it shows (default: by NGINX's worker processes)")
	cmd.Flags().BoolVar(&f.proxied, "status-proxied", false, "the status page comes through another program on this machine: that it is this NGINX's is not checked")
	pathVar(cmd.Flags(), &f.pidFile, "pid-file", "", "", "pid file of the master (default: the pid directive)")
}

// applier returns the pipeline for a person's change, and what ends it.
func (f *nginxFlags) applier() (*nginx.Applier, func(), error) {
	dir := f.stateDir
	if dir == "" {
		dir = filepath.Join(daemon.StateDirFor(f.config), "nginx")
	}
	a := &nginx.Applier{Config: f.config, StateDir: dir, Binary: f.binary, Prefix: f.prefix, PIDFile: f.pidFile, Manual: true}
	if f.status == "" {
		return a, func() {}, nil
	}
	client, err := vts.NewClient(vts.ClientConfig{URL: f.status, FreshConnections: true})
	if err != nil {
		return nil, nil, withCode(exitUsage, err)
	}
	a.Status = pageOf(client, f.config)
	if !f.proxied {
		a.Origin = client.Origin
	}
	return a, client.Close, nil
}

// freshStatus reads the status page over a new connection each time. What the page does not know comes from the configuration;
// without one it stays unknown.
func freshStatus(url, config string) (nginx.StatusFunc, func(), error) {
	client, err := vts.NewClient(vts.ClientConfig{URL: url, FreshConnections: true})
	if err != nil {
		return nil, nil, withCode(exitUsage, err)
	}
	return pageOf(client, config), client.Close, nil
}

func pageOf(client *vts.Client, config string) nginx.StatusFunc {
	if config == "" {
		return reload.StatusOf(client)
	}
	return reload.StatusOf(reload.Filled{StatusSource: client, Loaded: &nginx.Loaded{Path: config}})
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
		newNginxDNS(e),
		newNginxLive(e),
		newNginxCheck(e),
		newNginxRollback(e),
		newNginxShim(e),
	)
	return cmd
}
