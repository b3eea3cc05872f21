package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"trimtab/daemon"
	"trimtab/nginx"
	"trimtab/nginx/lua"
	"trimtab/setup"
)

// initFlags are the flags of trimtab init.
type initFlags struct {
	config, nginxConfig, status, actuator, stateDir string
	upstreams                                       []string
	observe                                         time.Duration
	yes, undo, dryRun, force                        bool
}

func newInit(e *env) *cobra.Command {
	var f initFlags
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Find NGINX, its upstreams and status page, and write the configuration for them",
		Long: `Looks for the running NGINX (binary, configuration, version, container), its upstreams, a status page or the
way to one, and the best way of changing weights on this version; asks what it cannot know, writes the configuration
with comments, checks everything as trimtab doctor does, shows what tuning would change now, and prints the next two
commands. Everything that it makes is noted, and --undo takes it back: files where nobody has changed them since, and
the weights of before.

A status page is installed where there is none and NGINX has its Lua module: two files in a folder of their own, and a
link in a folder that NGINX includes. On NGINX 1.27.3 and newer weights go by DNS, which changes two lines of every
upstream; before, by reload, which changes nothing until it tunes.`,
		Example: `  sudo trimtab init
  sudo trimtab init --yes --observe 2m
  sudo trimtab init --nginx-config /opt/lb/nginx.conf --status http://127.0.0.1:8081/status/format/json \
    --actuator reload
  sudo trimtab init --undo`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.refuse(cmd); err != nil {
				return err
			}
			s := &setting{env: e, flags: &f, ask: &asker{in: bufio.NewReader(cmd.InOrStdin()), out: e.stdout,
				yes: f.yes}}
			if f.undo {
				return s.undo(cmd.Context())
			}
			return s.run(cmd.Context())
		},
	}
	fl := cmd.Flags()
	pathVar(fl, &f.config, "config", "", daemon.DefaultPath, "configuration to write")
	pathVar(fl, &f.nginxConfig, "nginx-config", "c", "", "main file of the NGINX that is meant, where several run "+
		"(default: the one that runs)")
	fl.StringVar(&f.status, "status", "", "URL of the status page (default: found, or installed)")
	fl.StringVar(&f.actuator, "actuator", auto, "how weights are changed: auto, reload, live or dns")
	fl.StringArrayVar(&f.upstreams, "upstream", nil, "upstream to tune; repeat for several (default: every one with "+
		"two servers or more)")
	fl.DurationVar(&f.observe, "observe", 30*time.Minute, "how long to observe before the first change")
	pathVar(fl, &f.stateDir, "state-dir", "", "", "folder of the state (default: that of a daemon for the "+
		"configuration)")
	fl.BoolVar(&f.yes, "yes", false, "take the default wherever something would be asked")
	fl.BoolVar(&f.dryRun, "dry-run", false, "say what would be made and make nothing")
	fl.BoolVar(&f.force, "force", false, "replace a configuration that is there")
	fl.BoolVar(&f.undo, "undo", false, "take back what init has made")
	return cmd
}

func (f *initFlags) refuse(cmd *cobra.Command) error {
	if f.undo {
		return useless(cmd, "with --undo", "status", "actuator", "upstream", "observe", "force", "dry-run")
	}
	switch f.actuator {
	case auto, "reload", "live", "dns":
	default:
		return usagef(cmd, "--actuator %q: want auto, reload, live or dns", f.actuator)
	}
	if f.observe < 0 {
		return usagef(cmd, "--observe %v: want no negative time", f.observe)
	}
	return nil
}

// asker asks questions that have a default.
type asker struct {
	in  *bufio.Reader
	out io.Writer
	yes bool
}

// errNoAnswer is returned when there is nobody to ask.
var errNoAnswer = withCode(exitUsage, errors.New("nobody answers: run it in a terminal, or with --yes for "+
	"the defaults"))

// text asks for a text; an empty answer is the default.
func (a *asker) text(question, usual string) (string, error) {
	if a.yes {
		return usual, nil
	}
	fmt.Fprintf(a.out, "%s [%s] ", question, usual)
	line, err := a.in.ReadString('\n')
	if err != nil && line == "" {
		fmt.Fprintln(a.out)
		return "", errNoAnswer
	}
	if line = strings.TrimSpace(line); line == "" {
		return usual, nil
	}
	return line, nil
}

// agree asks for yes or no.
func (a *asker) agree(question string) (bool, error) {
	answer, err := a.text(question, "yes")
	return err == nil && strings.HasPrefix(strings.ToLower(answer), "y"), err
}

// setting is one run of init.
type setting struct {
	env    *env
	flags  *initFlags
	ask    *asker
	record setup.Record

	nginx  setup.NGINX
	loaded *nginx.Config
	chosen []string // upstreams that are to be tuned
	made   setup.Settings
}

func (s *setting) say(format string, args ...any) { fmt.Fprintf(s.env.stdout, format+"\n", args...) }

// row says something about a subject; on a terminal it goes on below itself.
func (s *setting) row(subject, format string, args ...any) {
	_ = s.env.row(fmt.Sprintf("%-14s ", subject), fmt.Sprintf(format, args...))
}

func (s *setting) run(ctx context.Context) (err error) {
	if err := s.mayWrite(); err != nil {
		return err
	}
	steps := []func(context.Context) error{s.findNGINX, s.chooseUpstreams, s.findPage, s.chooseActuator, s.write}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			if len(s.record.Steps) > 0 && !s.flags.dryRun {
				_ = s.save()
				err = fmt.Errorf("%w; trimtab init --undo%s takes back what was made until then", err,
					configFlag(s.flags.config))
			}
			return err
		}
	}
	if s.flags.dryRun {
		return nil
	}
	if err := s.save(); err != nil {
		return withCode(exitConfig, err)
	}
	return s.check(ctx)
}

// mayWrite refuses early what would fail late, and a configuration that somebody has written.
func (s *setting) mayWrite() error {
	if _, err := os.Stat(s.recordPath()); err == nil && !s.flags.force && !s.flags.dryRun {
		return withCode(exitConfig, fmt.Errorf("init has been run for %s: trimtab init --undo%s takes it back, "+
			"--force does it again", s.flags.config, configFlag(s.flags.config)))
	}
	text, err := os.ReadFile(s.flags.config)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return withCode(exitConfig, err)
	case s.flags.force || s.flags.dryRun || strings.HasPrefix(string(text), setup.Marker) ||
		daemon.SaysNothing(s.flags.config, string(text)):
		return nil
	}
	return withCode(exitConfig, fmt.Errorf("%s is there, and is not the one of the package: trimtab doctor checks "+
		"it, init --force replaces it (--undo brings it back)", s.flags.config))
}

// recordPath is where the notes for --undo are, one for each configuration.
func (s *setting) recordPath() string {
	name := strings.TrimSuffix(filepath.Base(s.flags.config), ".toml")
	return filepath.Join(filepath.Dir(s.flags.config), "."+name+".init.json")
}

func (s *setting) save() error {
	s.record.Made()
	return s.record.Save(s.recordPath())
}

func (s *setting) write(context.Context) error {
	s.made.Observe = s.flags.observe
	s.made.NGINX = s.nginx
	s.made.StateDir = s.stateDir()
	s.made.Listen = listenFor(s.flags.config)
	text := setup.Text(s.made, time.Now())
	if _, err := daemon.ParseConfig(s.flags.config, text); err != nil {
		return withCode(exitConfig, err)
	}
	if s.flags.dryRun {
		s.say("\nWould write %s:\n\n%s", s.flags.config, text)
		return nil
	}
	s.record.Config, s.record.NGINX, s.record.Binary = s.flags.config, s.nginx.Config, s.nginx.Binary
	if err := s.record.WriteFile(s.flags.config, []byte(text), 0o644); err != nil {
		return withCode(exitConfig, err)
	}
	s.row("configuration", "%s", s.flags.config)
	return nil
}

// listenFor is the socket of a daemon with this configuration: not that of the usual one, which may run too.
func listenFor(config string) string {
	if config == daemon.DefaultPath {
		return daemon.Defaults().Listen
	}
	name := strings.TrimSuffix(filepath.Base(config), ".toml")
	if "unix:/run/trimtab/"+name+".sock" == daemon.Defaults().Listen {
		name += "-" + filepath.Base(filepath.Dir(config))
	}
	return "unix:/run/trimtab/" + name + ".sock"
}

func (s *setting) stateDir() string {
	if s.flags.stateDir != "" {
		return s.flags.stateDir
	}
	return daemon.StateDirFor(s.nginx.Config)
}

// check examines what was made, shows what would be changed now, and says how to go on.
func (s *setting) check(ctx context.Context) error {
	s.say("\nChecks:")
	found := examine(ctx, s.flags.config, true)
	var notable []diagnosis
	good := 0
	for _, d := range found {
		if d.Status == statusOK || d.Status == statusSkip || d.Area == areaUnit || d.Area == areaDaemon {
			good++
			continue
		}
		notable = append(notable, d)
	}
	if err := printDiagnoses(s.env, notable, false); err != nil {
		return err
	}
	s.say("%d of %d checks are well; all: trimtab doctor%s", good, len(found), configFlag(s.flags.config))
	if err := diagnosed(notable); err != nil {
		return fmt.Errorf("%w: mend that, then trimtab doctor%s", err, configFlag(s.flags.config))
	}
	s.say("\nA dry run, on a few seconds of traffic:")
	ctx, cancel := context.WithTimeout(ctx, dryRunPatience)
	defer cancel()
	tune := tuneFlags{config: s.flags.config, once: true, dryRun: true}
	quiet := *s.env
	quiet.stderr = io.Discard
	if err := tune.run(ctx, &quiet, true); err != nil {
		s.say("nothing was decided: %v", err)
	}
	// Commands stay in one line each, to be copied.
	s.say("\nNext; it observes for %v, then tunes:", s.flags.observe)
	if _, err := os.Stat("/run/systemd/system"); err == nil && s.flags.config == daemon.DefaultPath {
		s.say("  sudo systemctl enable --now trimtab")
	} else {
		s.say("  sudo trimtab tune%s", configFlag(s.flags.config))
	}
	s.say("What it sees, does, and why:")
	s.say("  sudo trimtab explain%s", configFlag(s.flags.config))
	s.say("To take all of it back:")
	s.say("  sudo trimtab init --undo%s", configFlag(s.flags.config))
	return nil
}

// dryRunPatience bounds the dry run; no decision within it is no fault.
const dryRunPatience = 15 * time.Second

// shimURL is the page of the shim at an address.
func shimURL(address string) string { return "http://" + address + lua.StatusPath }
