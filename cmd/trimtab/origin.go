package main

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// origin says in one paragraph of Markdown where figures come from.
func origin(command string, cells int, played string, took time.Duration) string {
	text := fmt.Sprintf("`%s`: %d cells over %s", command, cells, played)
	if took > 0 {
		text += fmt.Sprintf(", played in %s on %d cores", took.Round(time.Second), runtime.GOMAXPROCS(0))
	}
	return fmt.Sprintf("%s on %s (trimtab %s).", text, time.Now().UTC().Format(time.DateOnly), version)
}

// commandLine is the command that gives the same figures again: without what only says where they go.
func commandLine(cmd *cobra.Command, args []string) string {
	words := append([]string{cmd.CommandPath()}, args...)
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if slices.Contains([]string{"markdown", "rows", "out", "json", "parallel", "oracle-cache"}, f.Name) {
			return
		}
		if f.Value.Type() == "bool" {
			words = append(words, fmt.Sprintf("--%s=%s", f.Name, f.Value))
			return
		}
		for _, v := range flagValues(f) {
			if strings.ContainsAny(v, " \t") {
				v = "'" + v + "'"
			}
			words = append(words, "--"+f.Name, v)
		}
	})
	return strings.Join(words, " ")
}

// flagValues are what is to be written behind a flag, each with a flag of its own.
func flagValues(f *pflag.Flag) []string {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return list.GetSlice()
	}
	return []string{f.Value.String()}
}
