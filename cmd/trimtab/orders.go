package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"trimtab/daemon"
	"trimtab/orders"
	"trimtab/vts"
)

// orderFlags name a server, and the daemon's configuration, which says how weights are set.
type orderFlags struct {
	config, upstream, server string
	during, wait             time.Duration
}

func (f *orderFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.config, "config", daemon.DefaultPath,
		"configuration of the daemon, which says how weights are set; it need not be running")
	cmd.Flags().StringVar(&f.upstream, "upstream", "", "name of the upstream (required)")
	cmd.Flags().StringVar(&f.server, "server", "", "address of the server as the status page shows it (required)")
}

func (f *orderFlags) addTimes(cmd *cobra.Command, wait time.Duration) {
	cmd.Flags().DurationVar(&f.during, "for", 0,
		"take the order back by itself after this time, such as 20m (default: until it is taken back)")
	cmd.Flags().DurationVar(&f.wait, "wait", wait, "how long to wait until it is in force")
}

func newDrain(e *env) *cobra.Command {
	var f orderFlags
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Send a server no new requests, and wait until it has finished those that it has",
		Long: `The server is taken out of the balancing; the requests that it has go on. Progress is printed until NGINX has
no connection to it any more, or --wait is over: connections that keepalive keeps open idle count until their time is
over. The order outlives restarts.`,
		Example: "  sudo trimtab drain --upstream backend --server 10.0.0.3:80\n  sudo trimtab drain --upstream " +
			"backend --server 10.0.0.3:80 --for 20m",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			now := time.Now()
			o := orders.Order{Drain: true, Since: now, By: "trimtab drain"}
			if err := f.order(cmd.Context(), e, now, o); err != nil {
				return err
			}
			return f.drained(cmd.Context(), e)
		},
	}
	f.add(cmd)
	f.addTimes(cmd, time.Minute)
	return cmd
}

func newUndrain(e *env) *cobra.Command {
	var f orderFlags
	cmd := &cobra.Command{
		Use:     "undrain",
		Short:   "Take back a drain or a pin: the server gets its share again, by a slow start where one is set",
		Example: "  sudo trimtab undrain --upstream backend --server 10.0.0.3:80",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.order(cmd.Context(), e, time.Now(), orders.Order{})
		},
	}
	f.add(cmd)
	cmd.Flags().DurationVar(&f.wait, "wait", time.Minute, "how long to wait until it is in force")
	return cmd
}

func newPin(e *env) *cobra.Command {
	var f orderFlags
	var share string
	cmd := &cobra.Command{
		Use:   "pin",
		Short: "Give a server a fixed share of the requests, such as 5 % to a canary",
		Example: `  sudo trimtab pin --upstream backend --server 10.0.0.9:80 --share 5% --for 20m
  sudo trimtab undrain --upstream backend --server 10.0.0.9:80    # take it back`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			percent, err := strconv.ParseFloat(strings.TrimSuffix(share, "%"), 64)
			if err != nil || percent <= 0 || percent >= 100 {
				return withCode(exitUsage, fmt.Errorf("--share %q: want more than 0%% and less than 100%%", share))
			}
			now := time.Now()
			return f.order(cmd.Context(), e, now, orders.Order{Pin: percent / 100, Since: now, By: "trimtab pin"})
		},
	}
	f.add(cmd)
	f.addTimes(cmd, time.Minute)
	cmd.Flags().StringVar(&share, "share", "", "share of the upstream's requests in percent, such as 5% (required)")
	return cmd
}

func newSlowStart(e *env) *cobra.Command {
	var f orderFlags
	var over time.Duration
	cmd := &cobra.Command{
		Use:     "slow-start",
		Short:   "Have a server grow to its share again, from a twentieth of it",
		Example: "  sudo trimtab slow-start --upstream backend --server 10.0.0.3:80 --over 60s",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if over <= 0 {
				return withCode(exitUsage, fmt.Errorf("--over %s: want more than 0", over))
			}
			now := time.Now()
			return f.order(cmd.Context(), e, now, orders.Order{Ramp: over, Since: now, By: "trimtab slow-start"})
		},
	}
	f.add(cmd)
	cmd.Flags().DurationVar(&over, "over", time.Minute, "in which it grows, by ten steps")
	cmd.Flags().DurationVar(&f.wait, "wait", time.Minute, "how long to wait until it has begun")
	return cmd
}

func newOrders(e *env) *cobra.Command {
	var config string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "orders",
		Short:   "Print what was ordered of single servers: drains, pins, slow starts, limits",
		Example: "  trimtab orders",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := ordersConfig(config)
			if err != nil {
				return err
			}
			o, err := cfg.Orders().Read()
			if err != nil {
				return withCode(exitConfig, err)
			}
			if asJSON {
				return printJSON(e.stdout, o)
			}
			return printOrders(e, o, time.Now())
		},
	}
	cmd.Flags().StringVar(&config, "config", daemon.DefaultPath, "configuration of the daemon")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func printOrders(e *env, o *orders.Orders, now time.Time) error {
	return e.text(func(out io.Writer) error { return ordersTable(out, o, now) })
}

func ordersTable(out io.Writer, o *orders.Orders, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, name := range slices.Sorted(maps.Keys(o.Upstreams)) {
		for _, server := range slices.Sorted(maps.Keys(o.Upstreams[name])) {
			order := o.Upstreams[name][server]
			fmt.Fprintf(w, "%s\t%s\t%s\tsince %s by %s\n", name, server, order.Text(now),
				order.Since.Format(time.TimeOnly), order.By)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	lines := limitLines(o, now)
	for _, line := range lines {
		fmt.Fprintln(out, line)
	}
	if len(o.Upstreams)+len(lines) == 0 {
		fmt.Fprintln(out, "nothing is ordered")
	}
	return nil
}

// orderLines are the orders in words: those beside the state file when one is named, else those of the daemon's
// configuration.
func orderLines(config, state string) ([]string, error) {
	store := orders.Store{Path: filepath.Join(filepath.Dir(state), "orders.json")}
	if state == "" {
		cfg, err := ordersConfig(config)
		if err != nil {
			return nil, err
		}
		store = cfg.Orders()
	}
	o, err := store.Read()
	if err != nil {
		return nil, err
	}
	var lines []string
	now := time.Now()
	for _, name := range slices.Sorted(maps.Keys(o.Upstreams)) {
		for _, server := range slices.Sorted(maps.Keys(o.Upstreams[name])) {
			lines = append(lines, fmt.Sprintf("server %s of %s is %s", server, name,
				o.Upstreams[name][server].Text(now)))
		}
	}
	return append(lines, limitLines(o, now)...), nil
}

// limitLines are the limits in force in words.
func limitLines(o *orders.Orders, now time.Time) (lines []string) {
	limits := o.InForce(now)
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		for _, server := range slices.Sorted(maps.Keys(limits[name])) {
			lines = append(lines, limits[name][server].Text(name, server, now))
		}
	}
	return lines
}

func ordersConfig(path string) (*daemon.Config, error) {
	cfg, err := daemon.ReadConfigOr(path, path != daemon.DefaultPath)
	return cfg, withCode(exitConfig, err)
}

// order gives an order, or takes what was ordered back, and waits until the daemon, or this process where none runs,
// has put it in force.
func (f *orderFlags) order(ctx context.Context, e *env, now time.Time, order orders.Order) error {
	if f.upstream == "" || f.server == "" {
		return withCode(exitUsage, errors.New("want --upstream and --server: trimtab nginx show lists them"))
	}
	cfg, err := ordersConfig(f.config)
	if err != nil {
		return err
	}
	if f.during > 0 {
		order.Until = now.Add(f.during)
	}
	s, err := daemon.NewClerk(cfg, daemon.NewLogger(e.stderr, cfg))
	if err != nil {
		return withCode(exitConfig, err)
	}
	defer s.Close()
	st, err := s.Page(ctx)
	if err != nil {
		return withCode(exitTelemetry, err)
	}
	var status []vts.Peer
	for _, u := range st.Upstreams {
		if u.Name == f.upstream {
			status = u.Peers
		}
	}
	i := slices.IndexFunc(status, func(p vts.Peer) bool { return p.Server == f.server })
	take := order == (orders.Order{})
	if i < 0 && !take {
		return withCode(exitRefused, fmt.Errorf("the status page shows no server %s in upstream %q", f.server,
			f.upstream))
	}
	if _, err := cfg.Orders().Update(func(o *orders.Orders) (bool, error) {
		o.Expire(now)
		ordered := o.Upstreams[f.upstream] // the page shows those drained a moment ago as up yet
		if order.Drain && !slices.ContainsFunc(status, func(p vts.Peer) bool {
			return p.Server != f.server && !p.Down && !p.Backup && !ordered[p.Server].Drain
		}) {
			return false, fmt.Errorf("upstream %q: %w", f.upstream, orders.ErrNobody)
		}
		switch before, given := o.Upstreams[f.upstream][f.server]; {
		case take && !given:
			return false, nil
		case take && before.Drain && cfg.SlowStart(f.upstream, f.server) > 0:
			daemon.Give(o, f.upstream, f.server, orders.Order{Since: now, Ramp: cfg.SlowStart(f.upstream, f.server),
				By: "slow start"})
		case take:
			delete(o.Upstreams[f.upstream], f.server)
		default:
			daemon.Give(o, f.upstream, f.server, order)
		}
		return true, nil
	}); err != nil {
		return withCode(exitRefused, err)
	}
	if daemon.Running(cfg.StateDir) {
		return withCode(exitReload, f.awaitDaemon(ctx, e, cfg, s, order))
	}
	if err := s.Enforce(ctx, now); err != nil {
		return withCode(applyCode(err), err)
	}
	e.say("%s: %s; no daemon runs, so this process has set the weights\n", f.server, f.said(order, now))
	return nil
}

func (f *orderFlags) said(order orders.Order, now time.Time) string {
	if order == (orders.Order{}) {
		return "nothing is ordered any more"
	}
	return order.Text(now)
}

// awaitDaemon waits until the daemon has put an order in force.
func (f *orderFlags) awaitDaemon(ctx context.Context, e *env, cfg *daemon.Config, s *daemon.Clerk,
	order orders.Order) error {
	ctx, cancel := context.WithTimeout(ctx, f.wait)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for {
		o, err := cfg.Orders().Read()
		if err == nil {
			err = s.Follows(ctx, f.upstream, o, time.Now())
		}
		if err == nil {
			fmt.Fprintf(e.stdout, "%s: %s; in force after %d ms\n", f.server, f.said(order, time.Now()),
				time.Since(began).Milliseconds())
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the order is given, but the daemon has not put it in force within %s: %w", f.wait, err)
		case <-tick.C:
		}
	}
}

// drained prints progress until NGINX has no connection to the server.
func (f *orderFlags) drained(ctx context.Context, e *env) error {
	ctx, cancel := context.WithTimeout(ctx, f.wait)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last := -1
	for {
		n, err := connectionsTo(f.server)
		if err != nil {
			return withCode(exitTelemetry, err)
		}
		if n != last {
			fmt.Fprintf(e.stdout, "%d connections to %s\n", n, f.server)
			last = n
		}
		if n == 0 {
			fmt.Fprintln(e.stdout, "drained")
			return nil
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return withCode(exitReload,
					fmt.Errorf("%s gets no new requests, but %d connections to it are still open after %s", f.server,
						n, f.wait))
			}
			return withCode(exitInterrupted, ctx.Err())
		case <-tick.C:
		}
	}
}
