package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"trimtab/arena"
	"trimtab/arena/gym"
	"trimtab/localhttp"
)

// gymEnvs is how many vectorised environments there may be for each single one.
const gymEnvs = 16

func newArenaServe(e *env) *cobra.Command {
	var listen, actuator string
	var most int
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Offer the simulator as an environment for reinforcement learning, over HTTP and JSON on loopback",
		Long: `Offer reset and step with Gymnasium's contract over HTTP and JSON, so that a policy can be trained from any
language: one or many environments at a time under /v1, a single one with named weights under /envs.
docs/how-to/learners.md describes the calls; docs/examples/trimtab_gym.py is the client. Runs until interrupted.`,
		Example: `  trimtab arena serve --listen 127.0.0.1:18081
  curl -s -d '{"scenario":"capacity-1-2-4","seed":1}' http://127.0.0.1:18081/envs`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := localhttp.CheckAddress(listen); err != nil {
				return withCode(exitUsage, fmt.Errorf("serve the arena: %w", err))
			}
			if actuator != "reload" && actuator != "live" || most < 1 {
				return withCode(exitUsage, fmt.Errorf("--actuator %s, --envs %d: want reload or live, and at least 1",
					actuator, most))
			}
			// A step of an environment may take minutes to play.
			limits := localhttp.Limits{Connections: 4 * most, Read: time.Minute, Write: 10 * time.Minute}
			l, err := localhttp.Listen(cmd.Context(), listen, limits)
			if err != nil {
				return withCode(exitConfig, fmt.Errorf("serve the arena: %w", err))
			}
			mux := http.NewServeMux()
			environments := gym.NewServer(actuator == "live", gymEnvs*most, nil).Handler()
			mux.Handle("/v1", environments)
			mux.Handle("/v1/", environments)
			mux.Handle("/", arena.NewServer(arena.SimOptions{Live: actuator == "live"}, most).Handler())
			server := localhttp.NewServer(mux, limits)
			ctx := cmd.Context()
			stop := context.AfterFunc(ctx, func() {
				end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
				defer cancel()
				_ = server.Shutdown(end)
			})
			defer stop()
			fmt.Fprintf(e.stdout, "http://%s\n", l.Addr())
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve the arena: %w", err)
			}
			return nil // being interrupted is how a server ends
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:18081", "address on loopback")
	cmd.Flags().StringVar(&actuator, "actuator", "reload", "how weights change: reload or live")
	cmd.Flags().IntVar(&most, "envs", 64, "most environments at a time")
	return cmd
}
