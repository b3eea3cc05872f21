package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// terminal opens a pseudo-terminal of so many columns; text returns what was written to it, once it has been closed.
func terminal(t *testing.T, columns int) (tty *os.File, text func() string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: uint16(columns)})
	}
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	read := make(chan string)
	go func() {
		all, _ := io.ReadAll(master) // ends with an error when nobody has the terminal any more
		read <- string(all)
	}()
	return tty, func() string { tty.Close(); return <-read }
}

func TestEverythingFitsIntoEightyColumns(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "nginx.conf")
	text := fmt.Sprintf("events {}\nhttp { upstream %s { server %s.example.org:8080 weight=20 max_fails=3 backup; "+
		"server 10.0.0.1:80; } }\n",
		strings.Repeat("long_", 8), strings.Repeat("name-", 8))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	commands := map[string][]string{
		"a table of many columns": {"arena", "identical", "--policy", "start,l3,equal", "--duration", "60s", "--seeds",
			"2"},
		"an experiment": {"prove", "--simulate", "capacity-1-2-4-40", "--runs", "1", "--block", "20s",
			"--wash-out", "5s", "--duration", "4m"},
		"the built-in scenarios": {"scenario", "list"},
		"a long error": {"tune", "--config", "/nonexistent/" + strings.Repeat("folder with blanks/", 8) +
			"trimtab.toml"},
		"upstreams": {"nginx", "show", "-c", conf},
	}
	var help func(cmd *cobra.Command, path []string)
	help = func(cmd *cobra.Command, path []string) {
		commands["help of "+strings.Join(path, " ")] = append(path[:len(path):len(path)], "--help")
		for _, c := range cmd.Commands() {
			help(c, append(path[:len(path):len(path)], c.Name()))
		}
	}
	help(newRoot(&env{stdout: io.Discard, stderr: io.Discard}), nil)
	for name, args := range commands {
		for _, columns := range []int{80, 100} {
			t.Run(fmt.Sprintf("%s at %d", name, columns), func(t *testing.T) {
				t.Parallel()
				tty, text := terminal(t, columns)
				run(t.Context(), args, tty, tty)
				shown := rows(strings.ReplaceAll(text(), "\r\n", "\n"), 1<<20)
				if len(shown) < 2 {
					t.Fatalf("only %q was written", shown)
				}
				for _, line := range shown {
					if n := len([]rune(line)); n > columns {
						t.Errorf("a line of %d columns: %s", n, line)
					}
				}
			})
		}
	}
}

// The lines of a check are no table: each stays whole, and goes on below its own text.
func TestChecksGoOnBelowTheirText(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	conf := write("nginx.conf", "events {}\nhttp { upstream u { server 127.0.0.1:1; server 127.0.0.1:2; } }\n")
	config := write("trimtab.toml", fmt.Sprintf("state_dir = %q\n[status]\nurl = %q\ntimeout = \"100ms\"\n[nginx]\n"+
		"config = %q\n", filepath.Join(dir, "state"), "http://127.0.0.1:1/"+strings.Repeat("status", 5), conf))
	for _, c := range []struct {
		name string
		args []string
		head string // of every line: the mark and the subject, or as many blanks
	}{
		{"trimtab nginx check", []string{"nginx", "check", "-c", conf}, `^(ok   |FAIL |skip ) \S+( \S+)* +\S|^ {17}\S`},
		{"trimtab doctor", []string{"doctor", "--config", config}, `^(ok  |warn|fail|skip)  \w+ +\S|^ {20,22}\S`},
	} {
		t.Run(c.name, func(t *testing.T) {
			tty, text := terminal(t, leastWidth)
			run(t.Context(), c.args, tty, io.Discard)
			lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(text(), "\r\n", "\n")), "\n")
			below := 0
			for _, line := range lines {
				if !regexp.MustCompile(c.head).MatchString(line) || len([]rune(line)) > leastWidth {
					t.Errorf("got the line %q, want at most %d columns that begin as %s", line, leastWidth, c.head)
				}
				if strings.HasPrefix(line, "    ") {
					below++
				}
			}
			if len(lines) < 5 || below == 0 {
				t.Errorf("got %d lines, %d of them below another: want long ones among them:\n%s", len(lines), below,
					strings.Join(lines, "\n"))
			}
		})
	}
}
