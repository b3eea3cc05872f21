package lua

import (
	"embed"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

//go:embed live.lua weights.lua control.lua admit.lua
var liveFiles embed.FS

// LivePath is the path of the control call.
const LivePath = "/trimtab/live"

// Live describes an installation of live weights: NGINX's own balancers, with weights that one authenticated HTTP call
// changes in their shared memory, without a reload.
type Live struct {
	Dir       string   // where the files are installed, absolute; NGINX's workers must be able to read it
	Listen    string   // address of the control call as in a listen directive: "unix:/path" or "127.0.0.1:port"
	TokenFile string   // file whose first line is the token; only root need read it
	Upstreams []string // whose weights may be set; nil: every upstream
	Servers   int      // how many there are in all, to size the dictionary
	// Admission are the upstreams of which a share of the requests may be refused, in the locations that include
	// AdmissionSnippet.
	Admission []string

	// Status is the status shim, nil for none. It comes along here because a configuration holds only one init_by_lua.
	// Dir and Hooked are set by Files.
	Status *Status
	// Hooked leaves init_by_lua, init_worker_by_lua and log_by_lua out of the snippet, of which an http block can hold
	// only one each: the operator's own run Hooks.
	Hooked bool
	// Without names methods that this NGINX was built without: least_conn, ip_hash, hash, random, keepalive.
	Without []string
}

// ReferencePrefix is how the names of the upstreams begin that show what a method looks like in NGINX's memory.
const ReferencePrefix = "trimtab-method-"

// references are upstreams that nothing uses, one per method of NGINX's own. An upstream that picks with the same
// function has the same method.
func (l Live) references() string {
	var b strings.Builder
	for _, m := range []struct{ name, directive, module string }{
		{"least_conn", "least_conn;", "least_conn"},
		{"ip_hash", "ip_hash;", "ip_hash"},
		{"hash", "hash $uri;", "hash"},
		{"consistent", "hash $uri consistent;", "hash"},
		{"random", "random;", "random"},
	} {
		if !slices.Contains(l.Without, m.module) {
			fmt.Fprintf(&b, "upstream %s%s { %s server 127.0.0.1:1; }\n", ReferencePrefix, m.name, m.directive)
		}
	}
	if !slices.Contains(l.Without, "keepalive") {
		fmt.Fprintf(&b, "upstream %skeepalive { server 127.0.0.1:1; keepalive 1; }\n", ReferencePrefix)
	}
	return b.String()
}

// Validate reports what keeps the description from being rendered.
func (l Live) Validate() error {
	for what, path := range map[string]string{"folder": l.Dir, "token file": l.TokenFile} {
		if !filepath.IsAbs(path) || strings.ContainsAny(path, "\n\"'\\;{}$ ") {
			return fmt.Errorf("live weights: %s %q: want an absolute path without blanks, quotes, $, ; or braces", what,
				path)
		}
	}
	if l.Listen == "" || strings.ContainsAny(l.Listen, "\n\"'\\;{}$ ") {
		return fmt.Errorf("live weights: listen %q: want unix:/path or 127.0.0.1:port", l.Listen)
	}
	for _, name := range slices.Concat(l.Upstreams, l.Admission) {
		if name == "" || strings.ContainsAny(name, " \t\r\n\"'\\;{}$") {
			return fmt.Errorf("live weights: upstream %q: a name with blanks, quotes, $, ; or braces", name)
		}
	}
	return nil
}

// HTTPSnippet is the path of the file that the http block includes.
func (l Live) HTTPSnippet() string { return filepath.Join(l.Dir, "live.conf") }

// ZoneLine is the line that an upstream needs so that its weights can be set: it moves NGINX's record of the servers
// into shared memory. NGINX wants about 0.8 KiB per server.
func ZoneLine(upstream string, servers int) string {
	return fmt.Sprintf("zone %s %dk;", upstream, 64*((servers+16+63)/64))
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
	for name, fs := range map[string]embed.FS{"live.lua": liveFiles, "weights.lua": liveFiles, "control.lua": liveFiles,
		"running.lua": statusFiles} {
		text, err := fs.ReadFile(name)
		if err != nil {
			return nil, err
		}
		files[filepath.Join(l.Dir, name)] = string(text)
	}
	return files, l.admission(files)
}

func (l Live) shim() Status {
	s := *l.Status
	s.Dir, s.Hooked = l.Dir, true
	return s
}

// Hooks returns the statements that the Lua hooks of the http block have to run, by hook.
func (l Live) Hooks() map[string][]string {
	upstreams := "nil"
	if l.Upstreams != nil {
		names := make([]string, len(l.Upstreams))
		for i, name := range l.Upstreams {
			names[i] = quote(name)
		}
		upstreams = "{ " + strings.Join(names, ", ") + " }"
	}
	hooks := map[string][]string{
		"init_by_lua_block": {fmt.Sprintf(
			`package.loaded["trimtab.live"] = dofile(%s).init{ dict = "trimtab_live", dir = %s, `+
				`token_file = %s, upstreams = %s }`,
			quote(filepath.Join(l.Dir, "live.lua")), quote(l.Dir), quote(l.TokenFile), upstreams)},
		"init_worker_by_lua_block": {`package.loaded["trimtab.live"].start()`},
	}
	l.admissionHooks(hooks)
	if l.Status != nil {
		shim := l.shim()
		hooks["init_by_lua_block"] = append(hooks["init_by_lua_block"], shim.InitLua())
		hooks["log_by_lua_block"] = []string{shim.LogLua()}
	}
	return hooks
}

func (l Live) http() string {
	var b strings.Builder
	b.WriteString("# Written by trimtab nginx live install. Belongs into the http block.\n")
	fmt.Fprintf(&b, "lua_shared_dict trimtab_live %dk;\n", l.dictKiB())
	b.WriteString(l.admissionDict())
	if !l.Hooked {
		hooks := l.Hooks()
		for _, hook := range slices.Sorted(maps.Keys(hooks)) {
			fmt.Fprintf(&b, "%s {\n    %s\n}\n", hook, strings.Join(hooks[hook], "\n    "))
		}
	}
	if l.Status != nil {
		fmt.Fprintf(&b, "include %s;\n", l.shim().HTTPSnippet())
	}
	b.WriteString(l.references())
	fmt.Fprintf(&b, `server {
    listen %s;
    access_log off;
    client_max_body_size 16m;
    client_body_buffer_size 1m;
    location = %s { content_by_lua_block { package.loaded["trimtab.live"].control() } }
%s    location / { return 404; }
}
`, l.Listen, LivePath, l.admissionLocation())
	return b.String()
}

// dictKiB allows for three lists of all servers (kept, in force, and one being written), each of up to 64 bytes per
// server besides the signature of the same size, twice over for what the dictionary's pages and keys need. It grows in
// steps, since a dictionary of another size begins empty.
func (l Live) dictKiB() int { return 1024 * max(1, (l.Servers*3*128*2+(1<<20)-1)>>20) }

// quote writes s as a Lua string; the names have been checked to hold nothing that Lua and Go escape differently.
func quote(s string) string { return strconv.Quote(s) }
