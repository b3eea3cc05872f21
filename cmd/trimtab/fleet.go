package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"trimtab/control"
	"trimtab/daemon"
	"trimtab/fleet/bus"
)

type fleetFlags struct {
	config, listen, store, keys, ask string
	name, clusterListen, level       string
	routes, servers                  []string
	replicas, storeMiB               int
	syncAlways                       bool
}

const (
	defaultFleetKeys  = "/etc/trimtab/fleet"
	defaultFleetStore = "/var/lib/trimtab/fleet"
)

func newFleet(e *env) *cobra.Command {
	var f fleetFlags
	cmd := &cobra.Command{
		Use:   "fleet",
		Short: "The centre of several nodes: one belief per server, one plan for all",
		Long: `Runs the centre of a fleet until it is told to stop. Nodes are daemons (trimtab tune) whose configuration
names it under [fleet]; each says what its NGINX saw, and is told the weights that are best for the load of all. The
centre brings a NATS server with a file store of its own; --servers names another one instead. Nothing listens beyond
this machine unless --listen says so.

Several centres may run: one plans, and another takes over within seconds when it is gone. With --cluster-listen,
--routes and --replicas 3 their servers are a cluster, so that what is stored outlives each of them.

The balancing methods, deadlines and limits that the plan is made for are those of --config ([[upstream]], [tuner]), a
file as trimtab tune has it.`,
		Example: `  trimtab fleet keys init --host centre.example.org
  trimtab fleet --listen 0.0.0.0:4222
  trimtab fleet keys node edge-1
  trimtab fleet status`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd.Context(), e, cmd.Flags().Changed("config"))
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.config, "config", daemon.DefaultPath, "configuration with [[upstream]] and [tuner]")
	fl.StringVar(&f.listen, "listen", "127.0.0.1:4222", "host:port where nodes connect")
	fl.StringVar(&f.store, "store", defaultFleetStore, "folder of what is stored")
	fl.IntVar(&f.storeMiB, "store-mib", bus.LeastStore>>20, "most that the store may take, MiB")
	fl.StringVar(&f.ask, "ask", "127.0.0.1:9148",
		`loopback address or unix:/path of /metrics, /healthz and /status; "": none`)
	fl.StringSliceVar(&f.servers, "servers", nil, "NATS servers to use instead of one of its own, such as "+
		"tls://nats-1:4222")
	fl.StringVar(&f.name, "name", "centre", "name of this centre's server among those of a cluster")
	fl.StringVar(&f.clusterListen, "cluster-listen", "", "host:port for the servers of other centres")
	fl.StringSliceVar(&f.routes, "routes", nil, "servers of other centres, such as nats-route://centre-2:6222")
	fl.IntVar(&f.replicas, "replicas", 1, "copies of what is stored: 1, 3 or 5")
	fl.BoolVar(&f.syncAlways, "sync-always", false, "write each message through to the disk: nothing is lost when "+
		"the power fails")
	fl.StringVar(&f.level, "log-level", "info", "debug, info, warn or error")
	cmd.PersistentFlags().StringVar(&f.keys, "keys", defaultFleetKeys, "folder of the fleet's authority and "+
		"certificates")
	cmd.AddCommand(newFleetStatus(e, &f), newFleetKeys(e, &f))
	return cmd
}

func (f *fleetFlags) run(ctx context.Context, e *env, given bool) error {
	cfg, err := daemon.ReadConfig(f.config)
	if errors.Is(err, os.ErrNotExist) && !given {
		cfg, err = daemon.Defaults(), nil
	}
	if err != nil {
		return withCode(exitConfig, err)
	}
	if f.replicas != 1 && f.replicas != 3 && f.replicas != 5 {
		return withCode(exitUsage, fmt.Errorf("--replicas %d: want 1, 3 or 5", f.replicas))
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return withCode(exitUsage, fmt.Errorf("--log-level %s: want debug, info, warn or error", f.level))
	}
	log := slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: level}))
	keys := bus.Keys{Dir: f.keys}
	id, err := keys.Identity("centre")
	if err != nil {
		return withCode(exitConfig, fmt.Errorf("%w (trimtab fleet keys init makes them)", err))
	}
	var all sync.WaitGroup
	defer all.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var server *bus.Server
	servers := f.servers
	if len(servers) == 0 {
		if err := os.MkdirAll(f.store, 0o700); err != nil {
			return withCode(exitConfig, fmt.Errorf("make store: %w", err))
		}
		server, err = bus.StartServer(bus.ServerConfig{Name: f.name, Listen: f.listen, Store: f.store,
			MostStore: int64(f.storeMiB) << 20, Keys: keys,
			ClusterListen: f.clusterListen, Routes: f.routes, SyncAlways: f.syncAlways, Logger: log})
		if err != nil {
			return withCode(exitConfig, err)
		}
		servers = []string{server.URL()}
		all.Go(func() { _ = server.Run(ctx) }) // it ends with ctx, without an error
	}
	station, err := bus.NewStation(bus.StationConfig{Servers: servers, Identity: id, ID: stationID(f.name),
		Replicas: f.replicas,
		Interval: time.Duration(cfg.Interval), Logger: log,
		NewPolicy: func() (control.Policy, error) { return daemon.NewPolicy(cfg) }, Restore: daemon.RestoreShared,
		Snapshot: daemon.SharedSnapshot})
	if err != nil {
		return withCode(exitConfig, err)
	}
	if f.ask != "" {
		done, err := serveFleet(ctx, f.ask, station, server)
		if err != nil {
			return withCode(exitConfig, err)
		}
		all.Go(done)
	}
	log.Info("started", "version", version, "servers", servers, "store", f.store, "interval",
		time.Duration(cfg.Interval))
	err = station.Run(ctx)
	log.Info("stopped")
	return err
}

// stationID tells centres on several machines apart.
func stationID(name string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "host"
	}
	return fmt.Sprintf("%s@%s-%d", name, host, os.Getpid())
}

func newFleetKeys(e *env, f *fleetFlags) *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "Make, list and revoke the certificates of a fleet",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	var hosts []string
	init := &cobra.Command{Use: "init", Short: "Make the fleet's authority, and the certificates of its centre and " +
		"of a viewer", Args: usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if err := (bus.Keys{Dir: f.keys}).Init(hosts); err != nil {
				return withCode(exitConfig, err)
			}
			fmt.Fprintf(e.stdout, "%s: authority (keep ca.key here), centre and view\n", f.keys)
			return nil
		}}
	init.Flags().StringSliceVar(&hosts, "host", nil, "names and addresses by which nodes reach the centre (repeatable)")
	var dir string
	node := &cobra.Command{Use: "node NAME...", Short: "Make the certificates of nodes",
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, names []string) error {
			for _, name := range names {
				if err := f.keysOf(e, name, dir); err != nil {
					return withCode(exitConfig, err)
				}
			}
			return nil
		}}
	node.Flags().StringVar(&dir, "out", "", "also write ca.pem, node.pem and node.key, as [fleet] has them, "+
		"into OUT/NAME")
	revoke := &cobra.Command{Use: "revoke NAME...", Short: "Make certificates invalid; centres cut their nodes off " +
		"within seconds", Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, names []string) error {
			for _, name := range names {
				if err := (bus.Keys{Dir: f.keys}).Revoke(name); err != nil {
					return withCode(exitConfig, err)
				}
				fmt.Fprintf(e.stdout, "%s: revoked\n", name)
			}
			return nil
		}}
	nats := &cobra.Command{Use: "nats", Short: "Print the permissions as configuration of a nats-server that is not " +
		"the centre's own", Args: usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return withCode(exitConfig, bus.Keys{Dir: f.keys}.WriteConfig(e.stdout))
		}}
	cmd.AddCommand(init, node, revoke, nats)
	return cmd
}

// keysOf makes a node's certificate, and the folder that its daemon reads.
func (f *fleetFlags) keysOf(e *env, name, out string) error {
	keys := bus.Keys{Dir: f.keys}
	if err := keys.Issue(name, bus.NodeRole, nil); err != nil {
		return err
	}
	if out == "" {
		fmt.Fprintf(e.stdout, "%s: copy ca.pem, %s.pem and %s.key to the node, as fleet.ca, fleet.cert and fleet.key\n",
			name, name, name)
		return nil
	}
	id, err := keys.Identity(name)
	if err != nil {
		return err
	}
	dir := filepath.Join(out, name)
	err = errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "ca.pem"), id.CA, 0o644),
		os.WriteFile(filepath.Join(dir, "node.pem"), id.Cert, 0o644), os.WriteFile(filepath.Join(dir, "node.key"),
			id.Key, 0o600))
	if err != nil {
		return fmt.Errorf("write keys of %s: %w", name, err)
	}
	fmt.Fprintf(e.stdout, "%s: copy %s to %s of the node\n", name, dir, defaultFleetKeys)
	return nil
}

func newFleetStatus(e *env, f *fleetFlags) *cobra.Command {
	var asJSON bool
	var servers []string
	cmd := &cobra.Command{Use: "status", Short: "Say where a fleet stands: nodes, lag, plan, load, policy, quarantines",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			id, err := bus.Keys{Dir: f.keys}.Identity("view")
			if err != nil {
				return withCode(exitConfig, err)
			}
			st, err := bus.ReadStatus(cmd.Context(), servers, id)
			if err != nil {
				return withCode(exitTelemetry, err)
			}
			if asJSON {
				return printJSON(e.stdout, st)
			}
			return e.text(func(w writer) error { return writeFleet(w, st, time.Now()) })
		}}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.Flags().StringSliceVar(&servers, "servers", []string{"tls://127.0.0.1:4222"}, "servers of the fleet")
	return cmd
}
