package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"trimtab/nginx"
	"trimtab/orders"
	"trimtab/vts"
)

// orderFlags name a server, and the daemon's configuration, which says how weights are set.
type orderFlags struct {
	config, upstream, server string
	during, wait             time.Duration
}

func (f *orderFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.config, "config", defaultDaemonConfigPath,
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
		Long: `The server is taken out of the balancing; the requests that it has go on. Progress is printed until NGINX has no connection to it any
more, or --wait is over: connections that keepalive keeps open idle count until their time is over. The order outlives restarts.`,
		Example: "  sudo trimtab drain --upstream backend --server 10.0.0.3:80\n  sudo trimtab drain --upstream backend --server 10.0.0.3:80 --for 20m",
		Args:    usageArgs(cobra.NoArgs),
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

func newOrders(e *env) *cobra.Command {
	var config string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "orders",
		Short:   "Print what was ordered of single servers: drains, pins, slow starts",
		Example: "  trimtab orders",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := ordersConfig(config)
			if err != nil {
				return err
			}
			o, err := cfg.ordersFile().Read()
			if err != nil {
				return withCode(exitConfig, err)
			}
			if asJSON {
				return json.NewEncoder(e.stdout).Encode(o)
			}
			return printOrders(e, o, time.Now())
		},
	}
	cmd.Flags().StringVar(&config, "config", defaultDaemonConfigPath, "configuration of the daemon")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func printOrders(e *env, o *orders.Orders, now time.Time) error {
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	for _, name := range slices.Sorted(maps.Keys(o.Upstreams)) {
		for _, server := range slices.Sorted(maps.Keys(o.Upstreams[name])) {
			order := o.Upstreams[name][server]
			fmt.Fprintf(w, "%s\t%s\t%s\tsince %s by %s\n", name, server, order.Text(now),
				order.Since.Format(time.TimeOnly), order.By)
		}
	}
	if len(o.Upstreams) == 0 {
		fmt.Fprintln(w, "nothing is ordered")
	}
	return w.Flush()
}

// orderLines are the orders in words: those beside the state file when one is named, else those of the daemon's configuration.
func orderLines(config, state string) ([]string, error) {
	store := orders.Store{Path: filepath.Join(filepath.Dir(state), "orders.json")}
	if state == "" {
		cfg, err := ordersConfig(config)
		if err != nil {
			return nil, err
		}
		store = cfg.ordersFile()
	}
	o, err := store.Read()
	if err != nil {
		return nil, err
	}
	var lines []string
	now := time.Now()
	for _, name := range slices.Sorted(maps.Keys(o.Upstreams)) {
		for _, server := range slices.Sorted(maps.Keys(o.Upstreams[name])) {
			lines = append(lines, fmt.Sprintf("server %s of %s is %s", server, name, o.Upstreams[name][server].Text(now)))
		}
	}
	return lines, nil
}

func ordersConfig(path string) (*daemonConfig, error) {
	cfg, err := readDaemonConfig(path)
	if errors.Is(err, fs.ErrNotExist) && path == defaultDaemonConfigPath {
		cfg, err = defaultDaemonConfig(), nil
	}
	return cfg, withCode(exitConfig, err)
}

// order gives an order, or takes what was ordered back, and waits until the daemon, or this process where none runs, has
// put it in force.
func (f *orderFlags) order(ctx context.Context, e *env, now time.Time, order orders.Order) error {
	if f.upstream == "" || f.server == "" {
		return withCode(exitUsage, errors.New("want --upstream and --server"))
	}
	cfg, err := ordersConfig(f.config)
	if err != nil {
		return err
	}
	if f.during > 0 {
		order.Until = now.Add(f.during)
	}
	s, err := newSession(cfg, newLogger(e, cfg))
	if err != nil {
		return withCode(exitConfig, err)
	}
	defer s.close()
	st, err := s.page(ctx)
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
	up := 0
	for _, p := range status {
		if !p.Down && !p.Backup && p.Server != f.server {
			up++
		}
	}
	if order.Drain && up == 0 {
		return withCode(exitRefused, fmt.Errorf("upstream %q: %w", f.upstream, orders.ErrNobody))
	}
	if _, err := cfg.ordersFile().Update(func(o *orders.Orders) (bool, error) {
		o.Expire(now)
		switch before, given := o.Upstreams[f.upstream][f.server]; {
		case take && !given:
			return false, nil
		case take && before.Drain && cfg.slowStart(f.upstream) > 0:
			give(o, f.upstream, f.server, orders.Order{Since: now, Ramp: cfg.slowStart(f.upstream), By: "slow start"})
		case take:
			delete(o.Upstreams[f.upstream], f.server)
		default:
			give(o, f.upstream, f.server, order)
		}
		return true, nil
	}); err != nil {
		return withCode(exitRefused, err)
	}
	if daemonRuns(cfg.StateDir) {
		return withCode(exitReload, f.awaitDaemon(ctx, e, cfg, s, order))
	}
	if err := s.orderNow(ctx, now); err != nil {
		return withCode(applyCode(err), err)
	}
	fmt.Fprintf(e.stdout, "%s: %s; no daemon runs, so this process has set the weights\n", f.server, f.said(order, now))
	return nil
}

func (f *orderFlags) said(order orders.Order, now time.Time) string {
	if order == (orders.Order{}) {
		return "nothing is ordered any more"
	}
	return order.Text(now)
}

// awaitDaemon waits until the daemon has put an order in force.
func (f *orderFlags) awaitDaemon(ctx context.Context, e *env, cfg *daemonConfig, s *session, order orders.Order) error {
	ctx, cancel := context.WithTimeout(ctx, f.wait)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for {
		o, err := cfg.ordersFile().Read()
		if err == nil {
			err = s.follows(ctx, f.upstream, o, time.Now())
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

// follows reports why the page does not show what the orders say.
func (s *session) follows(ctx context.Context, upstream string, o *orders.Orders, now time.Time) error {
	base, known := o.Before[upstream]
	active := o.Active(upstream, now)
	switch {
	case !active && !known:
		return nil
	case !known || !active:
		return errors.New("it has not begun")
	}
	status, err := s.applier.Status(ctx)
	if err != nil {
		return err
	}
	want, err := orders.Shape(base, stepped(o.Upstreams[upstream], now), nil, s.cfg.mostWeight(), now)
	if err != nil {
		return err
	}
	for _, p := range status.Upstreams[upstream] {
		w, ok := want[p.Server]
		if !ok || p.Backup && !w.Down {
			continue
		}
		if in := !p.Down && !p.Backup; in == w.Down || in && p.Weight != w.Weight {
			return fmt.Errorf("the page shows weight %d, down %t of server %s", p.Weight, p.Down, p.Server)
		}
	}
	return nil
}

// page reads the status page over a new connection.
func (s *session) page(ctx context.Context) (vts.Status, error) {
	return filled{s.fresh, &nginx.Loaded{Path: s.cfg.Nginx.Config}}.Status(ctx)
}

// orderNow puts orders in force without a daemon.
func (s *session) orderNow(ctx context.Context, now time.Time) error {
	st, err := s.page(ctx)
	if err != nil {
		return err
	}
	sample := vts.Sample{}
	for _, u := range st.Upstreams {
		g := vts.GroupSample{Name: u.Name}
		for i := range u.Peers {
			if p := &u.Peers[i]; !p.Pseudo(u.Name) {
				g.Peers = append(g.Peers, vts.PeerSample{Server: p.Server, Weight: p.Weight, Down: p.Down,
					Backup: p.Backup})
			}
		}
		sample.Groups = append(sample.Groups, g)
	}
	if err := s.overlays(ctx, &sample); err != nil {
		return err
	}
	if _, err := s.see(&sample, now); err != nil {
		return err
	}
	_, err = s.enforce(ctx, now)
	return err
}

// daemonRuns reports whether a daemon holds the state folder.
func daemonRuns(dir string) bool {
	f, err := os.Open(filepath.Join(dir, "daemon.lock"))
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
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
