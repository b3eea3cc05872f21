package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"trimtab/arena"
	"trimtab/cluster"
	"trimtab/daemon"
	"trimtab/deathstarbench"
	"trimtab/loadgen/arrival"
	"trimtab/nginx"
)

// complete registers what a shell may complete: values of flags, by their names, and the arguments of commands that
// take names.
func complete(root *cobra.Command) {
	fixed := func(values ...string) cobra.CompletionFunc {
		return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
	}
	scenarios := func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		return deathstarbench.Names(), cobra.ShellCompDirectiveDefault // files too
	}
	policies := fixed(slices.Sorted(maps.Keys(choosers(arena.NewOracleCache(""))))...)
	byFlag := map[string]cobra.CompletionFunc{
		"scenario": scenarios, "train-sim": scenarios, "policy": policies, "baseline": policies,
		"workload": fixed(append(deathstarbench.Workloads(), deathstarbench.Mixed, plainWorkload)...),
		"arrival":  fixed(string(arrival.Fixed), string(arrival.Exp), string(arrival.Norm), string(arrival.Zipf)),
		"covariance": fixed(auto, string(cluster.Full), string(cluster.Diag), string(cluster.Tied),
			string(cluster.Spherical)),
		"features": fixed(string(cluster.LoadFeatures), string(cluster.HostFeatures), string(cluster.SeedFeatures)),
		"k":        fixed(auto, "27"), "on-exit": fixed("keep", "restore"), "fsync": fixed("close", "always", "5s"),
		"upstream": completeUpstreams, "server": completeServers, "weight": completeWeights,
		"status": fixed("http://127.0.0.1:8081/status/format/json"),
	}
	eachCommand(root, func(cmd *cobra.Command) {
		for name, values := range byFlag {
			if cmd.Flags().Lookup(name) != nil {
				_ = cmd.RegisterFlagCompletionFunc(name, values) // it fails when one is there already
			}
		}
		if cmd.Flags().Lookup("actuator") != nil {
			kinds := []string{"reload", "live", "dns"}
			if cmd.Name() == "init" {
				kinds = []string{auto, "reload", "live", "dns"}
			}
			_ = cmd.RegisterFlagCompletionFunc("actuator", fixed(kinds...))
		}
		if cmd.HasParent() && cmd.Parent().Name() == "scenario" && (cmd.Name() == "show" || cmd.Name() == "check") {
			cmd.ValidArgsFunction = scenarios
		}
	})
}

// upstreamsFor are the upstreams that a command would act on: of the NGINX configuration that it names, or of the one
// in the daemon's.
func upstreamsFor(cmd *cobra.Command) []*nginx.Upstream {
	path := daemon.DefaultNginxConfig
	if f := cmd.Flags().Lookup("nginx-config"); f != nil && f.Value.String() != "" {
		path = f.Value.String()
	} else if f := cmd.Flags().Lookup("config"); f != nil && strings.HasSuffix(f.Value.String(), ".toml") {
		if cfg, err := daemon.ReadConfigOr(f.Value.String(), false); err == nil {
			path = cfg.Nginx.Config
		}
	} else if f != nil {
		path = f.Value.String()
	}
	cfg, err := nginx.ReadConfig(path)
	if err != nil {
		return nil
	}
	return cfg.Upstreams
}

func completeUpstreams(cmd *cobra.Command, _ []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	for _, u := range upstreamsFor(cmd) {
		names = append(names, u.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeServers completes the servers of the upstream that was given, or of all.
func completeServers(cmd *cobra.Command, _ []string, _ string) (servers []string, _ cobra.ShellCompDirective) {
	given := ""
	if f := cmd.Flags().Lookup("upstream"); f != nil {
		given = strings.Trim(f.Value.String(), "[]")
	}
	for _, u := range upstreamsFor(cmd) {
		if given != "" && u.Name != given {
			continue
		}
		for _, p := range u.Peers {
			servers = append(servers, p.Address)
		}
	}
	return servers, cobra.ShellCompDirectiveNoFileComp
}

func completeWeights(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	servers, _ := completeServers(cmd, args, begun)
	for i := range servers {
		servers[i] += "="
	}
	return servers, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}
