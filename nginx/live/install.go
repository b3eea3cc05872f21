package live

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"trimtab/nginx"
	"trimtab/nginx/lua"
)

// InstallOptions say what to install; the zero value means the defaults.
type InstallOptions struct {
	Dir       string   // default: trimtab beside nginx.conf
	Listen    string   // default 127.0.0.1:9147
	TokenFile string   // default: token in Dir
	Upstreams []string // default: every http upstream whose weights can be set live
	// Admission are the upstreams of which a share of the requests may be refused; default: none.
	Admission []string
	// StatusListen is where the status page is to be served, as in a listen directive; empty: the shim is not
	// installed.
	StatusListen string
	// Hooked leaves the Lua hooks out of the snippet: the configuration has its own, which run the statements of
	// Live.Hooks.
	Hooked bool
}

// Installation is what live weights need and what the operator has to add.
type Installation struct {
	Live    lua.Live
	Files   map[string]string // to write, by path; the token apart
	Lines   []Line            // that the operator adds
	Skipped []string          // upstreams whose weights cannot be set live, and why
	Notes   []string          // what may stand in the way
}

// Line is one line that belongs into the operator's configuration.
type Line struct {
	Text    string
	Where   string // for people
	File    string
	Present bool // it stands there already
}

// Plan works out an installation for a configuration; it writes nothing.
func Plan(cfg *nginx.Config, opt InstallOptions) (*Installation, error) {
	if opt.Dir == "" {
		opt.Dir = filepath.Join(filepath.Dir(cfg.Path), "trimtab")
	}
	if opt.Listen == "" {
		opt.Listen = "127.0.0.1:9147"
	}
	if opt.TokenFile == "" {
		opt.TokenFile = filepath.Join(opt.Dir, "token")
	}
	if _, err := New(Config{Address: opt.Listen}); err != nil {
		return nil, err
	}
	in := &Installation{Live: lua.Live{Dir: opt.Dir, Listen: opt.Listen, TokenFile: opt.TokenFile,
		Upstreams: opt.Upstreams, Hooked: opt.Hooked,
		Admission: opt.Admission}}
	if opt.StatusListen != "" {
		in.Live.Status = &lua.Status{Listen: opt.StatusListen}
	}
	names := map[string]int{}
	for _, u := range cfg.Upstreams {
		names[u.Name]++
	}
	var chosen []*nginx.Upstream
	for _, u := range cfg.Upstreams {
		in.Live.Servers += len(u.Peers)
		named := slices.Contains(opt.Upstreams, u.Name)
		if len(opt.Upstreams) > 0 && !named {
			continue
		}
		why := unfit(u, names[u.Name])
		if why != "" && named {
			return nil, refuse("%s:%d: upstream %q: %s", u.File.Path, u.Line, u.Name, why)
		}
		if why != "" {
			in.Skipped = append(in.Skipped, fmt.Sprintf("%s:%d: upstream %q: %s", u.File.Path, u.Line, u.Name, why))
			continue
		}
		if u.Method == "ip_hash" || u.Method == "hash" {
			in.Notes = append(in.Notes, fmt.Sprintf("upstream %q uses %s: new weights move clients to other servers",
				u.Name, u.Method))
		}
		chosen = append(chosen, u)
	}
	for _, name := range slices.Concat(opt.Upstreams, opt.Admission) {
		if names[name] == 0 {
			return nil, refuse("no upstream %q in %s", name, cfg.Path)
		}
	}
	if len(chosen) == 0 {
		return nil, refuse("no upstream in %s can have its weights set live: %s", cfg.Path,
			strings.Join(append(in.Skipped, "there is no http upstream"), "; "))
	}
	var err error
	if in.Files, err = in.Live.Files(); err != nil {
		return nil, err
	}
	if err := in.lookForHooks(cfg); err != nil {
		return nil, err
	}
	in.Lines = append(in.Lines, Line{
		Text: "include " + in.Live.HTTPSnippet() + ";", File: cfg.Path, Present: included(cfg, in.Live.HTTPSnippet()),
		Where: fmt.Sprintf("in the http block of %s", cfg.Path),
	})
	for _, name := range opt.Admission {
		in.Lines = append(in.Lines, Line{
			Text:    "include " + in.Live.AdmissionSnippet(name) + ";",
			Present: included(cfg, in.Live.AdmissionSnippet(name)),
			Where:   fmt.Sprintf("in every location that passes requests to upstream %s", name),
		})
	}
	for _, u := range chosen {
		in.Lines = append(in.Lines, Line{
			Text: lua.ZoneLine(u.Name, len(u.Peers)), File: u.File.Path, Present: u.Zone != "",
			Where: fmt.Sprintf("in upstream %s (%s:%d)", u.Name, u.File.Path, u.Line),
		})
	}
	return in, nil
}

// lookForHooks finds Lua hooks of which an http block can hold only one.
func (in *Installation) lookForHooks(cfg *nginx.Config) error {
	hooks := in.Live.Hooks()
	for _, f := range cfg.Files {
		if _, ours := in.Files[f.Path]; ours {
			continue
		}
		if bytes.HasPrefix(f.Data, []byte("# Written by trimtab nginx shim install")) &&
			bytes.Contains(f.Data, []byte("init_by_lua")) {
			return refuse("%s: the status shim is included by itself, and NGINX takes only one set of Lua hooks: "+
				"take that include out and "+
				"install both together with --status-listen", f.Path)
		}
		for _, hook := range slices.Sorted(maps.Keys(hooks)) {
			if name := strings.TrimSuffix(hook, "_block"); !in.Live.Hooked && bytes.Contains(f.Data, []byte(name)) {
				in.Notes = append(in.Notes, fmt.Sprintf("%s contains %s: NGINX allows one in the http block; install "+
					"with --hooked and run in yours: %s",
					f.Path, name, strings.Join(hooks[hook], " ")))
			}
		}
	}
	if in.Live.Hooked {
		for _, hook := range slices.Sorted(maps.Keys(hooks)) {
			in.Notes = append(in.Notes, fmt.Sprintf("run in your %s: %s", strings.TrimSuffix(hook, "_block"),
				strings.Join(hooks[hook], " ")))
		}
	}
	return nil
}

// unfit says why the weights of an upstream cannot be set live.
func unfit(u *nginx.Upstream, times int) string {
	if u.Protocol != "http" {
		return "only those of http upstreams can be set live"
	}
	if times > 1 {
		return "there are several upstreams of that name"
	}
	switch u.Method {
	case "round_robin", "least_conn", "ip_hash":
	case "hash":
		if slices.Contains(u.MethodArgs, "consistent") {
			return "hash with consistent works its points out from the weights when NGINX loads the configuration"
		}
	case "random":
		return "random works its ranges out from the weights once in every worker"
	default:
		return "it uses " + u.Method + ", which is not known to look at weights for every pick"
	}
	if len(u.Peers) == 0 {
		return "it has no servers"
	}
	return ""
}

func included(cfg *nginx.Config, path string) bool {
	return slices.ContainsFunc(cfg.Files, func(f *nginx.File) bool { return f.Path == path })
}

// Write writes the files that are not there with that content already, each in one step, and makes a token unless there
// is one. It returns what it wrote. NGINX must be reloaded for changed files to count.
func (in *Installation) Write() (written []string, err error) {
	if err := os.MkdirAll(in.Live.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("create folder: %w", err)
	}
	for _, path := range sorted(in.Files) {
		old, err := os.ReadFile(path)
		if err == nil && string(old) == in.Files[path] {
			continue
		}
		if err := writeFile(path, in.Files[path], 0o644); err != nil {
			return written, err
		}
		written = append(written, path)
	}
	if _, err := readToken(in.Live.TokenFile); err == nil {
		return written, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return written, err
	}
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return written, fmt.Errorf("make token: %w", err)
	}
	if err := writeFile(in.Live.TokenFile, hex.EncodeToString(secret)+"\n", 0o600); err != nil {
		return written, err
	}
	return append(written, in.Live.TokenFile), nil
}

// writeFile replaces a file in one step, so that a reload at any moment reads the old one or the new one.
func writeFile(path, text string, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
