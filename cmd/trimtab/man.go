package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newMan(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "man DIR",
		Short:   "Write the man pages of all commands into a directory",
		Example: "  trimtab man /usr/local/share/man/man1",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				err = fmt.Errorf("%w: want a folder that can be written", err)
				return withCode(exitConfig, err)
			}
			header := &doc.GenManHeader{Section: "1", Source: "trimtab " + version, Manual: "Trimtab"}
			if err := doc.GenManTree(cmd.Root(), header, args[0]); err != nil {
				return withCode(exitConfig, fmt.Errorf("write man pages: %w", err))
			}
			_, err := fmt.Fprintln(e.stdout, "man pages written to", args[0])
			return err
		},
	}
}
