package main

import (
	"github.com/spf13/cobra"

	"trimtab/deathstarbench/worlds"
)

func newScenarioRandom(e *env) *cobra.Command {
	var seed uint64
	var recurring, mesh bool
	c := &cobra.Command{
		Use:   "random",
		Short: "Print a generated scenario",
		Long: `Print the generated scenario of a seed: minutes of any kind of world, or with --recurring hours in which
regimes of load return, or with --mesh two services with bounds and an objective. The first comment says what it is
made of; the same seed gives the same scenario.`,
		Example: `  trimtab scenario random --seed 17 > w17.toml
  trimtab scenario random --recurring --seed 3 | head -1`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			w := generated(seed, recurring)
			if mesh {
				w = worlds.Mesh(seed)
			}
			_, err := e.stdout.Write(w.Format())
			return err
		},
	}
	c.Flags().Uint64Var(&seed, "seed", 1, "seed of the scenario")
	c.Flags().BoolVar(&recurring, "recurring", false, "hours in which regimes of load return")
	c.Flags().BoolVar(&mesh, "mesh", false, "two services over a few nodes, with bounds and an objective")
	c.MarkFlagsMutuallyExclusive("recurring", "mesh")
	return c
}

// generated is the world of a seed.
func generated(seed uint64, recurring bool) *worlds.World {
	if recurring {
		return worlds.Recurring(seed)
	}
	return worlds.Random(seed)
}
