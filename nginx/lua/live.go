package lua

import (
	"embed"
	"fmt"
	"maps"
	"path/filepath"
	"strconv"
	"strings"
)

//go:embed balancer.lua ahead.lua slots.lua peers.lua control.lua
var liveFiles embed.FS

// LivePath is the path of the control call.
const LivePath = "/trimtab/live"

// Live describes an installation of the live balancer: smooth weighted round robin and least_conn with weights in a
// shared dictionary, changed by one authenticated HTTP call without a reload.
type Live struct {
	Dir       string // where the files are installed, absolute; NGINX's workers must be able to read it
	Prefix    string // folder that relative includes in nginx.conf start from, as a rule that of nginx.conf
	Listen    string // address of the control call as in a listen directive: "unix:/path" or "127.0.0.1:port"
	TokenFile string // file whose first line is the token; only root need read it
	Groups    []LiveGroup

	// Status is the status shim, nil for none. It comes along here because a configuration holds only one init_by_lua and
	// one log_by_lua; its page then shows the weights in force. Dir and Hooked are set by Files.
	Status *Status
	// InitLua and LogLua are statements of others for the same two hooks.
	InitLua, LogLua string
}

// LiveGroup is an upstream group that the live balancer is to serve.
type LiveGroup struct {
	Name    string // of the upstream
	File    string // where it is declared, absolute
	Servers int    // how many it has, to size the dictionary; zero counts as 16
}

// Validate reports what keeps the description from being rendered.
func (l Live) Validate() error {
	for what, path := range map[string]string{"folder": l.Dir, "prefix": l.Prefix, "token file": l.TokenFile} {
		if !filepath.IsAbs(path) || strings.ContainsAny(path, "\n\"'\\;{}$ ") {
			return fmt.Errorf("live balancer: %s %q: want an absolute path without blanks, quotes, $, ; or braces", what, path)
		}
	}
	if l.Listen == "" || strings.ContainsAny(l.Listen, "\n\"'\\;{}$ ") {
		return fmt.Errorf("live balancer: listen %q: want unix:/path or 127.0.0.1:port", l.Listen)
	}
	for _, g := range l.Groups {
		if g.Name == "" || strings.ContainsAny(g.Name, " \t\r\n\"'\\;{}$") {
			return fmt.Errorf("live balancer: upstream %q: a name with blanks, quotes, $, ; or braces", g.Name)
		}
		if !filepath.IsAbs(g.File) || strings.ContainsAny(g.File, "\n\"\\") {
			return fmt.Errorf("live balancer: upstream %s in %q: want an absolute path without quotes", g.Name, g.File)
		}
	}
	return nil
}

// HTTPSnippet is the path of the file that the http block includes.
func (l Live) HTTPSnippet() string { return filepath.Join(l.Dir, "live.conf") }

// UpstreamSnippet is the path of the file that the upstream block of a group includes.
func (l Live) UpstreamSnippet(group string) string {
	name := strings.Map(func(r rune) rune {
		if r == '/' || r == 0 {
			return '_'
		}
		return r
	}, group)
	return filepath.Join(l.Dir, "live-"+name+".upstream")
}

// Files returns the files to install, by path.
func (l Live) Files() (map[string]string, error) {
	if err := l.Validate(); err != nil {
		return nil, err
	}
	files := map[string]string{}
	if l.Status != nil {
		shim := l.shim()
		status, err := shim.Files()
		if err != nil {
			return nil, err
		}
		maps.Copy(files, status)
	}
	files[l.HTTPSnippet()] = l.http()
	for name, fs := range map[string]embed.FS{"balancer.lua": liveFiles, "ahead.lua": liveFiles, "slots.lua": liveFiles, "peers.lua": liveFiles, "control.lua": liveFiles, "running.lua": statusFiles} {
		text, err := fs.ReadFile(name)
		if err != nil {
			return nil, err
		}
		files[filepath.Join(l.Dir, name)] = string(text)
	}
	for _, g := range l.Groups {
		path := l.UpstreamSnippet(g.Name)
		if _, taken := files[path]; taken {
			return nil, fmt.Errorf("live balancer: upstream %s: another one's snippet has the same name", g.Name)
		}
		files[path] = fmt.Sprintf("# Written by trimtab nginx live install. Belongs at the end of `upstream %s`, before keepalive.\n"+
			"balancer_by_lua_block { package.loaded[\"trimtab.balancer\"].balance(%s) }\n", g.Name, quote(g.Name))
	}
	return files, nil
}

func (l Live) shim() Status {
	s := *l.Status
	s.Dir, s.Hooked = l.Dir, true
	return s
}

func (l Live) http() string {
	var b strings.Builder
	inits, logs := []string{l.InitLua}, []string{l.LogLua}
	if l.Status != nil {
		shim := l.shim()
		inits = append(inits, shim.InitLua(), `package.loaded["trimtab.status"].weights(package.loaded["trimtab.balancer"].setting)`)
		logs = append(logs, shim.LogLua())
	}
	b.WriteString("# Written by trimtab nginx live install. Belongs into the http block, before the first upstream.\n")
	fmt.Fprintf(&b, "lua_shared_dict trimtab_live %dk;\n", l.dictKiB())
	b.WriteString("init_by_lua_block {\n")
	fmt.Fprintf(&b, "    package.loaded[\"trimtab.balancer\"] = dofile(%s).init{\n", quote(filepath.Join(l.Dir, "balancer.lua")))
	fmt.Fprintf(&b, "        dict = \"trimtab_live\", dir = %s, prefix = %s, token_file = %s,\n", quote(l.Dir), quote(l.Prefix), quote(l.TokenFile))
	b.WriteString("        groups = {\n")
	for _, g := range l.Groups {
		fmt.Fprintf(&b, "            { name = %s, file = %s, own = %s },\n", quote(g.Name), quote(g.File), quote(l.UpstreamSnippet(g.Name)))
	}
	b.WriteString("        } }\n")
	for _, statement := range inits {
		if statement != "" {
			b.WriteString("    " + statement + "\n")
		}
	}
	b.WriteString("}\nlog_by_lua_block {\n    package.loaded[\"trimtab.balancer\"].done()\n")
	for _, statement := range logs {
		if statement != "" {
			b.WriteString("    " + statement + "\n")
		}
	}
	b.WriteString("}\n")
	if l.Status != nil {
		fmt.Fprintf(&b, "include %s;\n", l.shim().HTTPSnippet())
	}
	fmt.Fprintf(&b, `server {
    listen %s;
    access_log off;
    client_max_body_size 16m;
    client_body_buffer_size 1m;
    location = %s { content_by_lua_block { package.loaded["trimtab.balancer"].control() } }
    location / { return 404; }
}
`, l.Listen, LivePath)
	return b.String()
}

// dictKiB allows for the weights, the failures and, in least_conn, the active counts of up to 64 workers (draining
// ones included) of every server, twice over for what the dictionary's pages and keys need.
func (l Live) dictKiB() int {
	bytes := 0
	for _, g := range l.Groups {
		n := g.Servers
		if n == 0 {
			n = 16
		}
		bytes += n*(64+4*192) + 64*(4*n+192)
	}
	return max(1024, (2*bytes+1023)/1024)
}

// quote writes s as a Lua string; the names have been checked to hold nothing that Lua and Go escape differently.
func quote(s string) string { return strconv.Quote(s) }
