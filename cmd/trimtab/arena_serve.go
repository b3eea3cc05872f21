package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"trimtab/arena/gym"
	"trimtab/localhttp"
)

func newArenaServe(e *env) *cobra.Command {
	var listen, actuator string
	var most int
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Offer the worlds as environments for reinforcement learning, over HTTP and JSON on loopback",
		Long: `Offer reset and step with Gymnasium's contract over HTTP and JSON, so that a policy can be trained from any
language, in one or many environments at a time:` + strings.Join(gym.IDs(), ", ") + `.
docs/how-to/learners.md describes the calls; docs/examples/trimtab_gym.py is the client. Runs until interrupted.`,
		Example: `  trimtab arena serve --listen 127.0.0.1:18081
  curl -s -d '{"env":"trimtab/weights-v1","scenario":"capacity-1-2-4"}' http://127.0.0.1:18081/v1/vec`,
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
			limits := localhttp.Limits{Connections: 256, Read: time.Minute, Write: 10 * time.Minute}
			l, err := localhttp.Listen(cmd.Context(), listen, limits)
			if err != nil {
				return withCode(exitConfig, fmt.Errorf("serve the arena: %w", err))
			}
			server := localhttp.NewServer(gym.NewServer(actuator == "live", most, nil).Handler(), limits)
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
	cmd.Flags().IntVar(&most, "envs", 1024, "most environments at a time")
	return cmd
}
