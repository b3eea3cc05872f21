package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/requests"
)

func newGraph(e *env) *cobra.Command {
	c := &cobra.Command{
		Use:   "graph",
		Short: "Bring a social graph into a DeathStarBench social network",
		Args:  usageArgs(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(newGraphInit(e), newGraphGenerate(e))
	return c
}

// graphSource is where a graph comes from: a file, or the generator.
type graphSource struct {
	path  string
	users int
	seed  uint64
}

func (s *graphSource) flags(c *cobra.Command) {
	c.Flags().IntVar(&s.users, "users", deathstarbench.DefaultUsers, "number of users of the generated graph")
	c.Flags().Uint64Var(&s.seed, "seed", 1, "seed of the generated graph and of the posts")
}

func (s *graphSource) open() (*deathstarbench.Graph, error) {
	if s.path != "" {
		g, err := deathstarbench.ReadGraphFile(s.path)
		return g, withCode(exitConfig, err)
	}
	g, err := deathstarbench.GenerateGraph(s.users, s.seed)
	return g, withCode(exitUsage, err)
}

func newGraphInit(e *env) *cobra.Command {
	var source graphSource
	var setUp requests.SetUp
	var compose, asJSON bool
	c := &cobra.Command{
		Use:   "init --target URL [--graph F.edges]",
		Short: "Register the users of a social graph and make them follow each other",
		Long: `Register the users of a social graph, make both ends of every edge follow each other, and with --compose
write initial posts, in an emulated or a real deployment. Without --graph a seeded generator makes one like
DeathStarBench's own: 962 users, about 18,800 edges. Calls that fail are tried again with growing pauses; users that
exist are kept, so the command can be repeated.`,
		Example: `  trimtab graph init --target http://nginx:8080
  trimtab graph init --target http://nginx:8080 --graph socfb-Reed98.edges --compose`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if setUp.BaseURL == "" {
				return withCode(exitUsage, fmt.Errorf("--target is missing: want the URL of a social network "+
					"(see '%s --help')", cmd.CommandPath()))
			}
			if setUp.Concurrency < 1 || setUp.Attempts < 1 || setUp.Posts < 0 || setUp.FirstUser < 0 {
				return withCode(exitUsage, fmt.Errorf("--concurrency and --attempts must be at least 1, --posts and "+
					"--first-user at least 0"))
			}
			var err error
			if setUp.Graph, err = source.open(); err != nil {
				return err
			}
			setUp.Seed = source.seed
			if !compose {
				setUp.Posts = 0
			}
			setUp.Progress = e.progress()
			start := time.Now()
			report, err := setUp.Run(cmd.Context())
			if err != nil {
				return fmt.Errorf("set up %s: %w", setUp.BaseURL, err)
			}
			if asJSON {
				return printJSON(e.stdout, graphJSON{report, time.Since(start).Seconds(), source.seed})
			}
			_, err = fmt.Fprintf(e.stdout, "%d users registered, %d existed, %d follows, %d posts, %d retries "+
				"in %.1f s\n",
				report.Users, report.Existing, report.Follows, report.Posts, report.Retries,
				time.Since(start).Seconds())
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&setUp.BaseURL, "target", "", "URL of the deployment's front end, such as http://nginx:8080")
	f.StringVar(&source.path, "graph", "", "file with one pair of users per line; default: generate a graph")
	source.flags(c)
	f.IntVar(&setUp.FirstUser, "first-user", deathstarbench.DefaultFirstUser, "id of the first user (newer "+
		"DeathStarBench: 0)")
	f.BoolVar(&compose, "compose", false, "write initial posts too")
	f.IntVar(&setUp.Posts, "posts", 20, "with --compose: up to so many posts per user")
	f.IntVar(&setUp.Concurrency, "concurrency", 16, "calls at once")
	f.IntVar(&setUp.Attempts, "attempts", 6, "attempts per call, with growing pauses")
	f.BoolVar(&asJSON, "json", false, "print the result as a JSON object")
	return c
}

// progress returns a function that shows the progress of phases on stderr: a line on a terminal, else one when a phase
// ends.
func (e *env) progress() func(phase string, done, total int) {
	line := newStatusLine(e)
	return func(phase string, done, total int) {
		if !e.terminal() {
			if done == total {
				fmt.Fprintf(e.stderr, "%s: %d of %d\n", phase, done, total)
			}
			return
		}
		line.show(0, fmt.Sprintf("%s %s: %d of %d", bar(float64(done)/float64(max(1, total)), 16), phase, done, total))
		if done == total {
			line.done()
		}
	}
}

func newGraphGenerate(e *env) *cobra.Command {
	var source graphSource
	c := &cobra.Command{
		Use:     "generate",
		Short:   "Print a generated graph as an .edges file",
		Example: `  trimtab graph generate --users 5000 --seed 7 > big.edges`,
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			g, err := source.open()
			if err != nil {
				return err
			}
			_, err = g.WriteTo(e.stdout)
			return err
		},
	}
	source.flags(c)
	return c
}

// graphJSON says what bringing a graph into a network did.
type graphJSON struct {
	requests.SetUpReport
	Seconds float64 `json:"seconds"`
	Seed    uint64  `json:"seed"`
}
