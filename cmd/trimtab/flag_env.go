package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"trimtab/plain"
)

// variableOf is the environment variable of a flag: TRIMTAB_LOAD_RANDOM_RATE of trimtab load --random-rate. Keys of trimtab.toml have
// theirs too, named after the key; see daemon.Variables.
func variableOf(cmd *cobra.Command, f *pflag.Flag) string {
	words := strings.Fields(cmd.CommandPath())
	return strings.ToUpper(strings.NewReplacer(" ", "_", "-", "_").Replace(strings.Join(append(words, f.Name), " ")))
}

// fromEnvironment sets the flags that were not given and have a variable.
func fromEnvironment(cmd *cobra.Command) error {
	var errs []error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := variableOf(cmd, f)
		text, ok := os.LookupEnv(name)
		if f.Changed || !ok || f.Name == "help" {
			return
		}
		if err := cmd.Flags().Set(f.Name, text); err != nil {
			errs = append(errs, fmt.Errorf("%s=%q: %w", name, text, err))
		}
	})
	return withCode(exitUsage, errors.Join(errs...))
}

// eachCommand calls do for the command and all below it.
func eachCommand(cmd *cobra.Command, do func(*cobra.Command)) {
	do(cmd)
	for _, c := range cmd.Commands() {
		eachCommand(c, do)
	}
}

// helpTemplate is cobra's, with the variables.
const helpTemplate = `{{with (or .Long .Short)}}{{. | trimTrailingWhitespaces}}

{{end}}{{if or .Runnable .HasSubCommands}}{{.UsageString}}{{end}}{{with index .Annotations "variable"}}
Every flag has a variable: {{.}}. What is given wins.
{{end}}`

// finish gives every command what all have: variables, suggestions, and codes for wrong usage.
func finish(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return fromEnvironment(cmd) }
	root.SetHelpTemplate(helpTemplate)
	eachCommand(root, func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if _, has := cmd.Annotations["variable"]; has || f.Name == "help" {
				return
			}
			if cmd.Annotations == nil {
				cmd.Annotations = map[string]string{}
			}
			cmd.Annotations["variable"] = "--" + f.Name + " is " + variableOf(cmd, f)
		})
		switch {
		case cmd.Name() == "completion":
			cmd.Args, cmd.RunE = usageArgs(cobra.NoArgs), func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		case cmd.Name() == "help":
			cmd.Run, cmd.RunE = nil, func(_ *cobra.Command, args []string) error { return helpOf(root, args) }
		case cmd.HasParent() && cmd.Parent().Name() == "completion":
			cmd.Args = usageArgs(cobra.NoArgs)
		}
	})
}

// helpOf prints the help of the command that the words name.
func helpOf(root *cobra.Command, words []string) error {
	cmd, rest, err := root.Find(words)
	if err != nil || len(rest) > 0 || cmd == root && len(words) > 0 {
		return unknownCommand(cmd, words[len(words)-max(1, len(rest)):][0])
	}
	return cmd.Help()
}

// unknownCommand is the error for a word that should be a command.
func unknownCommand(cmd *cobra.Command, word string) error {
	var known []string
	for _, c := range cmd.Commands() {
		known = append(known, c.Name())
	}
	mean := plain.DidYouMean(word, known)
	const few = 9 // that a line holds
	if mean == "" && len(known) <= few {
		mean = ": want " + strings.Join(known, ", ")
	}
	return usagef(cmd, "unknown command %q for %q%s", word, cmd.CommandPath(), mean)
}

// flagFault is the error of flags that cannot be parsed, with the flag that may have been meant.
func flagFault(cmd *cobra.Command, err error) error {
	mean := ""
	if name, ok := strings.CutPrefix(err.Error(), "unknown flag: "); ok {
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, "--"+f.Name) })
		mean = plain.DidYouMean(name, known)
	}
	// What the standard library says of a time without a unit does not say what to write.
	if text := err.Error(); strings.Contains(text, "duration") && strings.Contains(text, "time: ") {
		before, _, _ := strings.Cut(text, ": time: ")
		return usagef(cmd, "%s: want a time with its unit, such as 500ms, 30s or 5m", before)
	}
	if before, _, ok := strings.Cut(err.Error(), ": strconv."); ok {
		return usagef(cmd, "%s: want a number", before)
	}
	return usagef(cmd, "%w%s", err, mean)
}
