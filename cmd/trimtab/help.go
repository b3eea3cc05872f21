package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"trimtab/plain"
)

// help has the help of all commands fit the width of a terminal. Commands of examples that are longer go on in the next
// line as a shell has it.
func (e *env) help(root *cobra.Command) {
	standard := root.HelpFunc()
	columns := leastWidth
	if f, ok := e.stdout.(*os.File); ok {
		columns = max(leastWidth, widthOf(f))
	}
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), "FlagUsages ", fmt.Sprintf("FlagUsagesWrapped %d ",
		columns)))
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		_ = e.text(func(w io.Writer) error {
			cmd.Example = continued(cmd.Example, columns)
			cmd.LocalFlags().VisitAll(func(f *pflag.Flag) { // a list has to break somewhere
				if len(f.DefValue) > columns/2 {
					f.DefValue = strings.Join(strings.Split(f.DefValue, ","), ", ")
				}
			})
			cmd.SetOut(w)
			standard(cmd, args)
			cmd.SetOut(nil)
			return nil
		})
	})
}

// continued breaks the lines of a shell that are wider than so many columns.
func continued(text string, columns int) string {
	const goesOn = " \\"
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if wrapped := plain.Wrap(line, columns-len(goesOn)); wrapped != line {
			lines[i] = strings.ReplaceAll(wrapped, "\n", goesOn+"\n")
		}
	}
	return strings.Join(lines, "\n")
}
