package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"trimtab/daemon"
	"trimtab/nginx"
	"trimtab/nginx/instance"
	"trimtab/nginx/lua"
)

func newNginxShim(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "shim",
		Short: "The status page for an NGINX without nginx-module-vts",
		Args:  usageArgs(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newNginxShimInstall(e))
	return cmd
}

type shimInstall struct {
	dir, enable, listen, buckets, binary, config string
	dictKiB                                      int
	given                                        string // the binary as it was given
	hooked                                       bool
}

func newNginxShimInstall(e *env) *cobra.Command {
	var f shimInstall
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Install the Lua files and the snippet that serve nginx-module-vts' status page",
		Long: `Install the Lua files and the snippet that serve the status page of nginx-module-vts from NGINX's Lua module
(Debian and Ubuntu: libnginx-mod-http-lua). Use the module itself where it is available.

The files go into --dir. With --enable the snippet is also linked into a folder whose *.conf files the http block
includes, and the configuration is tested with nginx -t; when that fails, or only logs that something of the shim does
not work, the link is removed again and nothing is changed. NGINX itself is not reloaded: the last line says how.

Before anything is written the shim is tried on a private NGINX with the same binary and modules, and what will and
will not work there is printed.`,
		Example: `  trimtab nginx shim install --enable /etc/nginx/conf.d && nginx -s reload
  trimtab nginx shim install --dir /opt/lb/trimtab --listen unix:/run/nginx-status.sock
  trimtab nginx shim install --buckets 5,10,50,100,500,1000`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), e) },
	}
	flags := cmd.Flags()
	pathVar(flags, &f.dir, "dir", "", "/etc/nginx/trimtab", "folder for the files")
	pathVar(flags, &f.enable, "enable", "", "", "folder whose *.conf files the http block includes, such as "+
		"/etc/nginx/conf.d")
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8081", "address of a server of its own for the page, host:port "+
		"or unix:/path; empty for none")
	flags.StringVar(&f.buckets, "buckets", "", "upper bounds of the histograms in ms, rising (default: 20 from "+
		"1 to 10000)")
	flags.IntVar(&f.dictKiB, "dict-kib", 0, "size of the shared dictionary in KiB (default 10240, for about "+
		"1000 servers)")
	flags.BoolVar(&f.hooked, "hooked", false, "leave out init_by_lua and log_by_lua: another snippet runs the shim's "+
		"statements in its own")
	pathVar(flags, &f.config, "config", "c", daemon.DefaultNginxConfig, "main configuration file, tested with --enable")
	flags.StringVar(&f.binary, "nginx", "", "nginx binary (default: the one on PATH)")
	return cmd
}

// nginx is the NGINX that the shim is for.
func (f *shimInstall) nginx() *nginxFlags { return &nginxFlags{config: f.config, binary: f.given} }

func (f *shimInstall) run(ctx context.Context, e *env) error {
	shim := lua.Status{Dir: f.dir, Listen: f.listen, DictKiB: f.dictKiB, Hooked: f.hooked}
	for part := range strings.SplitSeq(f.buckets, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		n, err := strconv.Atoi(part)
		if err != nil {
			return withCode(exitUsage, fmt.Errorf("--buckets %q: want whole milliseconds", part))
		}
		shim.BucketsMsec = append(shim.BucketsMsec, n)
	}
	files, err := shim.Files()
	if err != nil {
		return withCode(exitUsage, err)
	}
	f.given = f.binary
	if f.binary == "" {
		if f.binary, err = instance.Binary(ctx); err != nil {
			return withCode(exitConfig, err)
		}
	}
	text, prefix := dumpConfig(ctx, nginxFlags{config: f.config, binary: f.binary})
	ability, err := probeShim(ctx, shim, f.binary, text, prefix)
	if err != nil {
		return withCode(exitRefused, fmt.Errorf("%w, nothing was written: %w", errNoShim, err))
	}
	for _, line := range ability.lines() {
		fmt.Fprintln(e.stdout, line)
	}
	if n := otherLogHooks(text); n > 0 && !f.hooked {
		fmt.Fprintf(e.stdout, "%d log_by_lua of your own: where one applies, the shim's does not, and nothing is "+
			"counted; call package.loaded[\"trimtab.status\"].log() in each\n", n)
	}
	if err := portInTheWay(ctx, f.listen); err != nil {
		return withCode(exitRefused, err)
	}
	if err := installFiles(f.dir, files); err != nil {
		return withCode(exitConfig, err)
	}
	fmt.Fprintf(e.stdout, "installed %d files in %s\n", len(files), f.dir)
	if f.hooked {
		fmt.Fprintf(e.stdout, "run in init_by_lua: %s\nrun in log_by_lua:  %s\n", shim.InitLua(), shim.LogLua())
	}
	if f.enable == "" {
		fmt.Fprintf(e.stdout, "add to the http block of %s: include %s;\nthen: %s\n", f.config, shim.HTTPSnippet(),
			f.nginx().testAndReload())
		return nil
	}
	return f.link(ctx, e, shim)
}

// link makes the snippet part of the configuration if NGINX then still accepts it.
func (f *shimInstall) link(ctx context.Context, e *env, shim lua.Status) error {
	binary := f.binary
	before, _ := testAloud(ctx, binary, f.config)
	link := filepath.Join(f.enable, "trimtab-status.conf")
	switch at, err := os.Readlink(link); {
	case err == nil && at == shim.HTTPSnippet():
	case errors.Is(err, fs.ErrNotExist):
		if err := os.Symlink(shim.HTTPSnippet(), link); err != nil {
			return withCode(exitConfig, fmt.Errorf("enable the shim: %w", err))
		}
	default:
		return withCode(exitConfig, fmt.Errorf("enable the shim: %s exists and is not the link to %s: remove it first",
			link, shim.HTTPSnippet()))
	}
	out, err := testAloud(ctx, binary, f.config)
	if bad := newBadLines(before, out); err == nil && len(bad) > 0 {
		_ = os.Remove(link)
		return withCode(exitRefused, fmt.Errorf("nginx -t passes, but logs that the shim would not work, %s is "+
			"removed again: %s", link, strings.Join(bad, "; ")))
	}
	if err != nil {
		_ = os.Remove(link)
		return withCode(exitRefused, fmt.Errorf("nginx -t refused the shim, %s is removed again: %s%s", link,
			bytes.TrimSpace(out), refusalHint(out)))
	}
	if !included(ctx, binary, f.config, link) {
		_ = os.Remove(link)
		return withCode(exitRefused, fmt.Errorf("enable the shim: %s does not include %s, so nothing is enabled: "+
			"name the folder that its http block includes", f.config, link))
	}
	fmt.Fprintf(e.stdout, "enabled by %s; to take effect: %s\n", link, f.nginx().ownCommand("-s reload"))
	return nil
}

func refusalHint(out []byte) string {
	switch {
	case bytes.Contains(out, []byte(`unknown directive "lua_shared_dict"`)):
		return " (load NGINX's Lua module: apt-get install libnginx-mod-http-lua)"
	case bytes.Contains(out, []byte("is duplicate")):
		return " (the configuration has Lua hooks of its own: install with --hooked and call the shim from them)"
	}
	return ""
}

// included reports whether the configuration that nginx -T prints holds the file.
func included(ctx context.Context, binary, config, path string) bool {
	out, _, err := nginx.Output(ctx, 30*time.Second, binary, "-T", "-q", "-c", config)
	return err == nil && bytes.Contains(out, []byte("# configuration file "+path+":"))
}

// installFiles writes files, by path, that Trimtab owns: a file that is there and was not written by it is left alone.
// Files that hold the wanted text already are not touched.
func installFiles(dir string, files map[string]string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("create %s: %w", dir, err)
	}
	paths := make([]string, 0, len(files))
	for path := range files {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		old, err := os.ReadFile(path)
		switch {
		case err == nil && string(old) == files[path]:
			continue
		case err == nil && !bytes.Contains(firstLineOf(old), []byte("trimtab")) && !bytes.Contains(firstLineOf(old),
			[]byte("Trimtab")):
			return fmt.Errorf("%s exists and was not written by trimtab: move it away first", path)
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return err
		}
		if err := replaceFile(path, files[path]); err != nil {
			return err
		}
	}
	return nil
}

func firstLineOf(text []byte) []byte {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return line
}

// replaceFile puts text in place of the file at path in one step.
func replaceFile(path, text string) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".trimtab-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(text)
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(tmp.Name(), path)
}
