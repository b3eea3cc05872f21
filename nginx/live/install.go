package live

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
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
	Upstreams []string // default: every http upstream that can be balanced live
	// StatusListen is where the status page is to be served, as in a listen directive; empty: the shim is not installed.
	StatusListen string
	// InitLua and LogLua are Lua statements of another program for the two hooks that a configuration has only once.
	InitLua, LogLua string
}

// Installation is what the live balancer needs and what the operator has to add.
type Installation struct {
	Live    lua.Live
	Files   map[string]string // to write, by path; the token apart
	Lines   []Line            // that the operator adds
	Skipped []string          // upstreams that cannot be balanced live, and why
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
	in := &Installation{Live: lua.Live{
		Dir: opt.Dir, Prefix: filepath.Dir(cfg.Path), Listen: opt.Listen, TokenFile: opt.TokenFile,
		InitLua: opt.InitLua, LogLua: opt.LogLua,
	}}
	if opt.StatusListen != "" {
		in.Live.Status = &lua.Status{Listen: opt.StatusListen}
	}
	names := map[string]int{}
	for _, u := range cfg.Upstreams {
		names[u.Name]++
	}
	var chosen []*nginx.Upstream
	for _, u := range cfg.Upstreams {
		named := slices.Contains(opt.Upstreams, u.Name)
		if len(opt.Upstreams) > 0 && !named {
			continue
		}
		why := unfit(u, names[u.Name])
		if why == "" && strings.HasPrefix(u.Method, "balancer_by_lua") && !included(cfg, in.Live.UpstreamSnippet(u.Name)) {
			why = "it has another balancer in Lua"
		}
		if why != "" && named {
			return nil, refuse("%s:%d: upstream %q: %s", u.File.Path, u.Line, u.Name, why)
		}
		if why != "" {
			in.Skipped = append(in.Skipped, fmt.Sprintf("%s:%d: upstream %q: %s", u.File.Path, u.Line, u.Name, why))
			continue
		}
		chosen = append(chosen, u)
		in.Live.Groups = append(in.Live.Groups, lua.LiveGroup{Name: u.Name, File: u.File.Path, Servers: len(u.Peers)})
	}
	for _, name := range opt.Upstreams {
		if names[name] == 0 {
			return nil, refuse("no upstream %q in %s", name, cfg.Path)
		}
	}
	if len(chosen) == 0 {
		return nil, refuse("no upstream in %s can be balanced live: %s", cfg.Path, strings.Join(append(in.Skipped, "there is no http upstream"), "; "))
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
		Where: fmt.Sprintf("in the http block of %s, above everything that holds an upstream", cfg.Path),
	})
	for _, u := range chosen {
		path := in.Live.UpstreamSnippet(u.Name)
		in.Lines = append(in.Lines, Line{
			Text: "include " + path + ";", File: u.File.Path, Present: included(cfg, path),
			Where: fmt.Sprintf("at the end of upstream %s (%s:%d), but above keepalive if it has that", u.Name, u.File.Path, u.Line),
		})
	}
	return in, nil
}

// lookForHooks finds Lua hooks of which an http block can hold only one.
func (in *Installation) lookForHooks(cfg *nginx.Config) error {
	for _, f := range cfg.Files {
		if _, ours := in.Files[f.Path]; ours || f.Path == in.Live.HTTPSnippet() {
			continue
		}
		if bytes.HasPrefix(f.Data, []byte("# Written by trimtab nginx shim install")) && bytes.Contains(f.Data, []byte("init_by_lua")) {
			return refuse("%s: the status shim is included by itself, and NGINX takes only one set of Lua hooks: take that include out and "+
				"install both together with --status-listen", f.Path)
		}
		for _, hook := range []string{"init_by_lua", "log_by_lua"} {
			if bytes.Contains(f.Data, []byte(hook)) {
				in.Notes = append(in.Notes, fmt.Sprintf("%s contains %s: NGINX allows one in the http block, so move yours into that of %s; "+
					"a log_by_lua in a server or location replaces the one of the http block: call package.loaded[\"trimtab.balancer\"].done() in it",
					f.Path, hook, in.Live.HTTPSnippet()))
			}
		}
	}
	return nil
}

// unfit says why an upstream cannot be balanced live.
func unfit(u *nginx.Upstream, times int) string {
	if u.Protocol != "http" {
		return "only http upstreams can be balanced live"
	}
	if times > 1 {
		return "there are several upstreams of that name"
	}
	switch u.Method {
	case "round_robin", "least_conn", "balancer_by_lua_block":
	default:
		return "it uses " + u.Method + "; only round robin and least_conn can be balanced live"
	}
	for _, p := range u.Peers {
		if p.Server == "" || p.Resolve {
			return fmt.Sprintf("server %s is a host name: write its address", p.Address)
		}
	}
	if len(u.Peers) == 0 {
		return "it has no servers"
	}
	return ""
}

func included(cfg *nginx.Config, path string) bool {
	return slices.ContainsFunc(cfg.Files, func(f *nginx.File) bool { return f.Path == path })
}

// Write writes the files that are not there with that content already, each in one step, and makes a token unless there is
// one. It returns what it wrote. NGINX must be reloaded for changed files to count.
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
