package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"trimtab/daemon"
	"trimtab/orders"
	"trimtab/vts"
)

func newLimit(e *env) *cobra.Command {
	var f orderFlags
	var least, most string
	var keep, off bool
	cmd := &cobra.Command{
		Use:   "limit",
		Short: "Keep a server's share of the requests within limits, and tune on within them",
		Long: `A server gets at least --min and at most --max of the requests of its upstream, or with --keep the share that
your weights give it. The rest is tuned around it. Without --server the limits are those of every server that has none
of its own, and --keep leaves the whole upstream alone. They go before what trimtab.toml says, and outlive restarts.
Limits that the servers cannot keep all are kept as far as they can be.`,
		Example: `  sudo trimtab limit --upstream backend --server 10.0.0.3:80 --min 10% --max 40% --for 20m
  sudo trimtab limit --upstream backend --max 60%
  sudo trimtab limit --upstream backend --server 10.0.0.3:80 --keep     # tune = false
  sudo trimtab limit --upstream backend --server 10.0.0.3:80 --off`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			now := time.Now()
			l := orders.Limit{Keep: keep, Since: now, By: "trimtab limit"}
			var err, err2 error
			l.Min, err = percent("--min", least)
			l.Max, err2 = percent("--max", most)
			switch err = errors.Join(err, err2); {
			case err != nil:
				return withCode(exitUsage, err)
			case f.upstream == "":
				return withCode(exitUsage, errors.New("want --upstream"))
			case off && (keep || least != "" || most != "" || f.during > 0):
				return withCode(exitUsage, errors.New("--off takes limits back: want none beside it"))
			case !off && !keep && least == "" && most == "":
				return withCode(exitUsage, errors.New("want --min, --max, --keep or --off"))
			}
			if f.during > 0 {
				l.Until = now.Add(f.during)
			}
			if off {
				l = orders.Limit{}
			}
			return f.limit(cmd.Context(), e, l)
		},
	}
	f.add(cmd)
	f.addTimes(cmd, time.Minute)
	cmd.Flags().Lookup("server").Usage = "address of the server as the status page shows it (default: every server)"
	cmd.Flags().StringVar(&least, "min", "", "least share in percent, such as 10%")
	cmd.Flags().StringVar(&most, "max", "", "largest share in percent, such as 40%")
	cmd.Flags().BoolVar(&keep, "keep", false, "the share that your weights give it, which is tune = false")
	cmd.Flags().BoolVar(&off, "off", false, "take the limits back")
	return cmd
}

// percent reads a share in percent; 0 for none.
func percent(flag, text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	v, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil || !(v > 0 && v < 100) {
		return 0, fmt.Errorf("%s %q: want more than 0%% and less than 100%%", flag, text)
	}
	return v / 100, nil
}

// limit gives a limit, or takes it back, and waits until the weights are within it where a daemon runs.
func (f *orderFlags) limit(ctx context.Context, e *env, l orders.Limit) error {
	cfg, err := ordersConfig(f.config)
	if err != nil {
		return err
	}
	if cfg.Tuner.Learner != "tuned" {
		return withCode(exitRefused, fmt.Errorf("limits of shares are kept by tuner.learner = \"tuned\" only, which "+
			"here is %q", cfg.Tuner.Learner))
	}
	s, err := daemon.NewClerk(cfg, daemon.NewLogger(e.stderr, cfg))
	if err != nil {
		return withCode(exitConfig, err)
	}
	defer s.Close()
	took, off, server := time.Now(), l == orders.Limit{}, cmp.Or(f.server, orders.Every)
	if _, err := f.peersOf(ctx, s); err != nil && !off {
		return err
	}
	o, err := cfg.Orders().Update(func(o *orders.Orders) (bool, error) {
		expired := o.Expire(took)
		return o.Bound(f.upstream, server, l) || expired, nil
	})
	if err != nil {
		return withCode(exitRefused, err)
	}
	said := "nothing is limited any more"
	if !off {
		said = o.Limits[f.upstream][server].Text(f.upstream, server, took)
	}
	if !daemon.Running(cfg.StateDir) {
		fmt.Fprintf(e.stdout, "%s; no daemon runs: it counts as soon as one does\n", said)
		return nil
	}
	if off || l.Keep {
		fmt.Fprintf(e.stdout, "%s, from the next interval on\n", said)
		return nil
	}
	return withCode(exitReload, f.within(ctx, e, s, l, said, took))
}

// within waits until the weights on the page are within the limit.
func (f *orderFlags) within(ctx context.Context, e *env, s *daemon.Clerk, l orders.Limit, said string,
	began time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, f.wait)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		peers, err := f.peersOf(ctx, s)
		if err == nil {
			if err = outside(peers, f.server, l); err == nil {
				fmt.Fprintf(e.stdout, "%s; in force after %d ms\n", said, time.Since(began).Milliseconds())
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the limit is given, but the weights are not within it after %s (trimtab explain says "+
				"what holds them): %w", f.wait, err)
		case <-tick.C:
		}
	}
}

// peersOf are the servers of the upstream on the page; an error where the server, if one is named, is not among them.
func (f *orderFlags) peersOf(ctx context.Context, s *daemon.Clerk) ([]vts.Peer, error) {
	st, err := s.Page(ctx)
	if err != nil {
		return nil, withCode(exitTelemetry, err)
	}
	for _, u := range st.Upstreams {
		if u.Name != f.upstream {
			continue
		}
		for i := range u.Peers {
			if f.server == "" || u.Peers[i].Server == f.server {
				return u.Peers, nil
			}
		}
	}
	return nil, withCode(exitRefused, fmt.Errorf("the status page shows no server %s in upstream %q", f.server,
		f.upstream))
}

// nearly is how far a share may be beyond its limit because weights are whole numbers.
const nearly = 0.006

// outside says which share is beyond the limit; nil: none. server is one, or "" for all.
func outside(peers []vts.Peer, server string, l orders.Limit) error {
	sum := 0.0
	for _, p := range peers {
		if !p.Down && !p.Backup {
			sum += float64(p.Weight)
		}
	}
	for _, p := range peers {
		if p.Down || p.Backup || server != "" && p.Server != server {
			continue
		}
		share := float64(p.Weight) / max(sum, 1)
		if share < l.Min-nearly || l.Max > 0 && share > l.Max+nearly {
			return fmt.Errorf("server %s has %.3g %% by its weight", p.Server, 100*share)
		}
	}
	return nil
}
