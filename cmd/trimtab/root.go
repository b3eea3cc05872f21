package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"trimtab/control"
	"trimtab/plain"
)

// env is what every command is given instead of globals.
type env struct {
	stdout, stderr io.Writer
	screen         *screen // stderr, when it is a terminal; nil: it is none
}

// terminal reports whether stderr is a terminal, so that progress may redraw one line.
func (e *env) terminal() bool { return e.screen != nil }

// text writes a text to stdout that fits the width of a terminal: long lines are wrapped, wide tables folded. Elsewhere
// a line stays a line.
func (e *env) text(write func(io.Writer) error) error {
	columns := e.columns()
	if columns == 0 {
		return write(e.stdout)
	}
	var b strings.Builder
	if err := write(&b); err != nil {
		return err
	}
	_, err := io.WriteString(e.stdout, plain.Fit(b.String(), columns))
	return err
}

// columns is the width of stdout; 0: it is no terminal.
func (e *env) columns() int {
	f, ok := e.stdout.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	return max(leastWidth, widthOf(f))
}

// row writes a text behind a head; on a terminal what does not fit goes on below the text.
func (e *env) row(head, text string) error {
	line := head + text
	if columns := e.columns(); columns > 0 {
		line = plain.Hang(head, text, columns)
	}
	_, err := fmt.Fprintln(e.stdout, line)
	return err
}

// say writes words to stdout as text does.
func (e *env) say(format string, args ...any) {
	_ = e.text(func(w io.Writer) error { _, err := fmt.Fprintf(w, format, args...); return err })
}

// tell writes a line to stderr, wrapped to the width of a terminal.
func (e *env) tell(line string) {
	if e.screen != nil {
		line = plain.Wrap(line, e.screen.width())
	}
	fmt.Fprintln(e.stderr, line)
}

// run is the whole program: tests call it as the shell does.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	screen := newScreen(stderr)
	if screen != nil {
		stderr = screen
	}
	root := newRoot(&env{stdout: stdout, stderr: stderr, screen: screen})
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return end(stderr, screen, func() error { return root.ExecuteContext(ctx) })
}

// end runs a command, says in one line what went wrong, and returns the exit code.
func end(stderr io.Writer, screen *screen, command func() error) int {
	var err error
	if fault := control.Contain(func() { err = command() }); fault != nil {
		err = withCode(exitInternal, fault)
	}
	if err != nil && err.Error() != "" {
		line := "trimtab: " + plain.Text(strings.ReplaceAll(err.Error(), "\n", "; "))
		if screen != nil {
			line = plain.Wrap(line, max(leastWidth, screen.width()))
		}
		fmt.Fprintln(stderr, line)
	}
	return exitCode(err)
}

func newRoot(e *env) *cobra.Command {
	root := &cobra.Command{
		Use:           "trimtab",
		Short:         "Tune the upstream weights of an open-source NGINX while it serves traffic",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          usageArgs(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.Version = version + revision()
	root.SetVersionTemplate("trimtab {{.Version}}\n")
	root.SetFlagErrorFunc(flagFault)
	e.help(root)
	root.AddCommand(
		newNginx(e),
		newLoad(e),
		newRun(e),
		newTestbed(e),
		newArena(e),
		newGraph(e),
		newScenario(e),
		newCollect(e),
		newCluster(e),
		newTune(e),
		newFleet(e),
		newProve(e),
		newCompare(e),
		newDrain(e),
		newUndrain(e),
		newPin(e),
		newLimit(e),
		newSlowStart(e),
		newOrders(e),
		newPlan(e),
		newInit(e),
		newDoctor(e),
		newExplain(e),
		newVersion(e),
		newMan(e),
	)
	finish(root)
	complete(root)
	return root
}

// usageArgs gives an argument check the exit code for wrong usage.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		if err != nil && len(args) > 0 && cmd.HasAvailableSubCommands() {
			return unknownCommand(cmd, args[0])
		}
		if err != nil {
			return usagef(cmd, "want %q, got %s", cmd.UseLine(), counted(len(args)))
		}
		return nil
	}
}

// counted is a number of arguments in words.
func counted(n int) string {
	switch n {
	case 0:
		return "no argument"
	case 1:
		return "one argument"
	}
	return fmt.Sprintf("%d arguments", n)
}

// revision is the commit that the program was built from, as the toolchain stamped it; empty: it was not.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	commit, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = ", modified"
		}
	}
	if commit == "" {
		return ""
	}
	return fmt.Sprintf(" (commit %s%s)", commit, dirty)
}

func newVersion(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(e.stdout, "trimtab", version+revision())
			return err
		},
	}
}
