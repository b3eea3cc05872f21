package main

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"

	"github.com/spf13/cobra"

	"trimtab/nginx"
	"trimtab/vts"
)

// nginxFlags are common to the commands that act on a configuration.
type nginxFlags struct {
	config, stateDir, binary, prefix, pidFile, status string
}

func (f *nginxFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.config, "config", "c", defaultNginxConfig, "main configuration file")
}

func (f *nginxFlags) addApply(cmd *cobra.Command) {
	f.add(cmd)
	cmd.Flags().StringVar(&f.stateDir, "state-dir", "", "folder of the lock, the journal and the backups (default: that of a daemon for this configuration)")
	cmd.Flags().StringVar(&f.binary, "nginx", "nginx", "nginx binary")
	cmd.Flags().StringVar(&f.prefix, "prefix", "", "nginx -p (default: compiled in)")
	cmd.Flags().StringVar(&f.status, "status", "", "URL of the status page; reloads are then confirmed by what it shows (default: by NGINX's worker processes)")
	cmd.Flags().StringVar(&f.pidFile, "pid-file", "", "pid file of the master (default: the pid directive)")
}

// applier returns the pipeline for a person's change, and what ends it.
func (f *nginxFlags) applier() (*nginx.Applier, func(), error) {
	dir := f.stateDir
	if dir == "" {
		dir = filepath.Join(stateDirFor(f.config), "nginx")
	}
	a := &nginx.Applier{Config: f.config, StateDir: dir, Binary: f.binary, Prefix: f.prefix, PIDFile: f.pidFile, Manual: true}
	if f.status == "" {
		return a, func() {}, nil
	}
	status, end, err := freshStatus(f.status, f.config)
	if err != nil {
		return nil, nil, err
	}
	a.Status = status
	return a, end, nil
}

// defaultNginxConfig is the configuration of most machines.
const defaultNginxConfig = "/etc/nginx/nginx.conf"

// stateDirFor is the state folder for a configuration of NGINX: that of the usual one, or one of its own, so that two NGINX
// on a machine never are in each other's way.
func stateDirFor(config string) string {
	const base = "/var/lib/trimtab"
	abs, err := filepath.Abs(config)
	if err != nil || abs == defaultNginxConfig {
		return base
	}
	sum := sha256.Sum256([]byte(abs))
	return filepath.Join(base, "of-"+filepath.Base(filepath.Dir(abs))+"-"+hex.EncodeToString(sum[:4]))
}

// freshStatus reads the status page over a new connection each time. What the page does not know comes from the configuration;
// without one it stays unknown.
func freshStatus(url, config string) (nginx.StatusFunc, func(), error) {
	client, err := vts.NewClient(vts.ClientConfig{URL: url, FreshConnections: true})
	if err != nil {
		return nil, nil, withCode(exitUsage, err)
	}
	if config == "" {
		return statusFunc(client), client.Close, nil
	}
	return statusFunc(filled{client, &nginx.Loaded{Path: config}}), client.Close, nil
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
