package main

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/spf13/cobra"

	"trimtab/arena/testbed"
	"trimtab/deathstarbench"
)

func newTestbed(e *env) *cobra.Command {
	var (
		scenario, listen, admin, store, out string
		seed                                uint64
		asJSON                              bool
	)
	cmd := &cobra.Command{
		Use:   "testbed",
		Short: "Start the backends of a scenario behind a private NGINX, until interrupted",
		Long: `Start the emulated backends of a scenario and an NGINX in front of them, print their addresses, and run until
interrupted: for aiming other tools at. The faults of the scenario begin when the addresses are printed.`,
		Example: `  trimtab testbed --scenario capacity-1-2-4 --listen 127.0.0.1:18080
  trimtab load --target http://127.0.0.1:18080 --workload mixed --arrival exp --rate 300 --duration 30s`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			sc, err := deathstarbench.Load(scenario)
			if err != nil {
				return withCode(exitConfig, err)
			}
			if err := checkTestbed(ctx); err != nil {
				return withCode(exitConfig, err)
			}
			if !cmd.Flags().Changed("seed") {
				seed = rand.Uint64() >> 12
			}
			log := slog.New(slog.NewTextHandler(e.stderr, nil))
			bed, err := testbed.Start(ctx, testbed.Options{Scenario: sc, Dir: out, Listen: listen, Admin: admin,
				Store: store, Seed: seed, Logger: log})
			if err != nil {
				return withCode(exitConfig, err)
			}
			defer bed.Stop()
			if err := printTestbed(e, bed, seed, asJSON); err != nil {
				return err
			}
			faults := make(chan error, 1)
			go func() { faults <- bed.Backends.PlayFaults(ctx, time.Now()) }()
			for {
				select {
				case <-ctx.Done():
					return nil // being interrupted is how a testbed ends
				case <-bed.NGINX.Done():
					return fmt.Errorf("nginx ended: see %s", bed.NGINX.ErrorLog())
				case err := <-faults:
					if err != nil && ctx.Err() == nil {
						return err
					}
					faults = nil
				}
			}
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&scenario, "scenario", defaultScenario, "built-in scenario or scenario file")
	fl.StringVar(&listen, "listen", "127.0.0.1:18080", "address of NGINX")
	fl.StringVar(&admin, "admin", "", "loopback address of the backends' admin call (default: a free port, printed)")
	fl.StringVar(&store, "store", "memory://", "store of the social network: memory://, redis://host:port/db or "+
		"unix:///path/of/redis.sock")
	fl.StringVar(&out, "out", "out/testbed", "directory of NGINX's configuration, logs and pid file")
	fl.Uint64Var(&seed, "seed", 0, "seed of service times and injected errors (default: drawn, and printed)")
	fl.BoolVar(&asJSON, "json", false, "print the addresses as one JSON object")
	return cmd
}

// testbedJSON says where a testbed is.
type testbedJSON struct {
	Scenario  string            `json:"scenario"`
	Seed      uint64            `json:"seed"`
	URL       string            `json:"url"`
	StatusURL string            `json:"status_url"`
	AdminURL  string            `json:"admin_url"`
	Config    string            `json:"nginx_conf"`
	PID       int               `json:"nginx_pid"`
	PIDFile   string            `json:"pid_file"`
	Backends  map[string]string `json:"backends"` // addresses by the names of the scenario
}

func printTestbed(e *env, bed *testbed.Testbed, seed uint64, asJSON bool) error {
	backends := make(map[string]string)
	for _, s := range bed.Scenario.Servers {
		backends[s.Name] = bed.Backends.Addr(s.Name)
	}
	if asJSON {
		return printJSON(e.stdout, testbedJSON{Scenario: bed.Scenario.Name, Seed: seed, URL: bed.URL,
			StatusURL: bed.StatusURL, AdminURL: bed.AdminURL, Config: bed.NGINX.Config, PID: bed.NGINX.PID,
			PIDFile: bed.NGINX.PIDFile(), Backends: backends})
	}
	fmt.Fprintf(e.stdout, "scenario  %s, seed %d\nnginx     %s (pid %d, %s)\nstatus    %s\nadmin     %s/servers\n",
		bed.Scenario.Name, seed, bed.URL, bed.NGINX.PID, bed.NGINX.Config, bed.StatusURL, bed.AdminURL)
	for _, s := range bed.Scenario.Servers {
		fmt.Fprintf(e.stdout, "backend   %s %s\n", s.Name, backends[s.Name])
	}
	_, err := fmt.Fprintln(e.stdout, "interrupt to stop")
	return err
}
