package daemon

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"golang.org/x/sys/unix"

	"trimtab/vts"
)

// CheckNamed looks at everything outside of itself that the configuration names and returns every fault, each with the file and line of
// the key: secrets that cannot be read, programs and NGINX files that are not there. It asks nobody on the network.
func (c *Config) CheckNamed() error {
	at := keyLines(string(c.text))
	var errs []error
	fault := func(key string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", at.place(c.path, key), key, err))
		}
	}
	files := c.Files()
	read := func(key, file string) {
		if f, named := files[file]; named {
			_, err := f.Read(f.Path)
			fault(key, err)
		}
	}
	read("page_token_file", pageFile)
	if c.Actuator.Kind == "live" {
		read("actuator.token_file", tokenFile)
	}
	if c.Scaling.URL != "" {
		read("scaling.token_file", hookFile)
	}
	for i := range c.Actuator.Members {
		read("actuator.members", membersFile+fmt.Sprint(i))
	}
	if c.Nginx.Config != "" {
		_, err := os.Stat(c.Nginx.Config)
		fault("nginx.config", err)
	}
	for key, command := range map[string][]string{
		"nginx.test_command": c.Nginx.TestCommand, "nginx.reload_command": c.Nginx.ReloadCommand, "scaling.command": c.Scaling.Command,
		"scaling.ask": c.Scaling.Ask,
	} {
		if len(command) > 0 {
			fault(key, program(command[0]))
		}
	}
	if len(c.Nginx.TestCommand) == 0 && c.Actuator.Kind == "reload" {
		fault("nginx.binary", program(c.Nginx.Binary))
	}
	fault("state_dir", writable(c.StateDir))
	slices.SortStableFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// program reports whether a program can be started.
func program(name string) error {
	_, err := exec.LookPath(name)
	return err
}

// writable reports whether a folder, or the nearest one above it that is there, can be written to.
func writable(dir string) error {
	for {
		info, err := os.Stat(dir)
		switch {
		case err == nil && !info.IsDir():
			return fmt.Errorf("%s is no folder", dir)
		case err == nil:
			if err := unix.Access(dir, unix.W_OK); err != nil {
				return fmt.Errorf("%s cannot be written to: %w", dir, err)
			}
			return nil
		case !errors.Is(err, os.ErrNotExist) || filepath.Dir(dir) == dir:
			return err
		}
		dir = filepath.Dir(dir)
	}
}

// StatusClient returns a client of the configured status page that opens a connection for every request.
func (c *Config) StatusClient() (*vts.Client, error) { return c.statusClient(true) }

// Deadlines are those that are given for upstreams, by name.
func (c *Config) Deadlines() map[string]time.Duration {
	out := map[string]time.Duration{}
	for _, u := range c.Upstream {
		if u.Deadline > 0 {
			out[u.Name] = time.Duration(u.Deadline)
		}
	}
	return out
}

// SaysNothing reports whether a configuration means the same as none, as the one of the package does.
func SaysNothing(path, text string) bool {
	c, err := parseConfig(path, text, nil)
	if err != nil {
		return false
	}
	odd := func(c *Config) string {
		plain := *c
		plain.path, plain.text, plain.warnings, plain.model, plain.password = "", nil, nil, nil, ""
		out, err := toml.Marshal(plain)
		if err != nil {
			return path
		}
		return string(out)
	}
	none, err := parseConfig("", "", nil)
	return err == nil && odd(c) == odd(none)
}
