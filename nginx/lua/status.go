package lua

import (
	"embed"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

//go:embed status.lua page.lua running.lua variables.lua
var statusFiles embed.FS

// StatusPath is where the status page is served, as nginx-module-vts' documentation has it.
const StatusPath = "/status/format/json"

// StatusModule is how the page of the shim begins its moduleVersion.
const StatusModule = "trimtab-lua-"

// DefaultBucketsMsec are the bounds of the histograms in ms. They lie closer together than in the module's
// documentation, since what is read off them are tail latencies and tardiness.
func DefaultBucketsMsec() []int {
	return []int{1, 2, 5, 10, 15, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640, 1000, 2000, 5000, 10000}
}

// Status describes an installation of the status shim: the page of nginx-module-vts, counted by the Lua module.
type Status struct {
	Dir         string // where the files are installed, absolute; NGINX's master must be able to read it
	Listen      string // of a server of its own for the page: "127.0.0.1:port" or "unix:/path"; "" for none
	BucketsMsec []int  // bounds of the histograms in ms, rising; nil means DefaultBucketsMsec, empty means none
	DictKiB     int    // size of the shared dictionary; 0 means 10240, enough for about 1000 servers with 20 bounds
	// Hooked leaves init_by_lua and log_by_lua out of the snippet, of which an http block can hold only one each:
	// another snippet, such as that of Live, runs InitLua and LogLua in its own.
	Hooked bool
	// NoMemory counts by NGINX's variables alone, on every version: weights on the page are null then.
	NoMemory bool
}

func (s Status) withDefaults() Status {
	if s.BucketsMsec == nil {
		s.BucketsMsec = DefaultBucketsMsec()
	}
	if s.DictKiB == 0 {
		s.DictKiB = 10240
	}
	return s
}

// Validate reports what keeps the description from being rendered.
func (s Status) Validate() error {
	s = s.withDefaults()
	if !filepath.IsAbs(s.Dir) || strings.ContainsAny(s.Dir, "\n\"'\\;{}$ ") {
		return fmt.Errorf("status shim: folder %q: want an absolute path without blanks, quotes, $, ; or braces", s.Dir)
	}
	if strings.ContainsAny(s.Listen, "\n\"'\\;{}$ ") {
		return fmt.Errorf("status shim: listen %q: want 127.0.0.1:port or unix:/path", s.Listen)
	}
	if s.DictKiB < 64 {
		return fmt.Errorf("status shim: a dictionary of %d KiB: want at least 64", s.DictKiB)
	}
	for i, b := range s.BucketsMsec {
		if b <= 0 || i > 0 && b <= s.BucketsMsec[i-1] {
			return errors.New("status shim: the bounds of the histogram must be positive and rise")
		}
	}
	return nil
}

// HTTPSnippet is the path of the file that the http block includes.
func (s Status) HTTPSnippet() string { return filepath.Join(s.Dir, "status.conf") }

// LocationSnippet is the path of the file that a server block may include to serve the page as well.
func (s Status) LocationSnippet() string { return filepath.Join(s.Dir, "status-location.conf") }

// Files returns the files to install, by path.
func (s Status) Files() (map[string]string, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	files := map[string]string{s.HTTPSnippet(): s.http(), s.LocationSnippet(): s.location("")}
	for _, name := range []string{"status.lua", "page.lua", "running.lua", "variables.lua"} {
		text, err := statusFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		files[filepath.Join(s.Dir, name)] = string(text)
	}
	return files, nil
}

// InitLua is the statement that init_by_lua has to run.
func (s Status) InitLua() string {
	s = s.withDefaults()
	bounds := make([]string, len(s.BucketsMsec))
	for i, b := range s.BucketsMsec {
		bounds[i] = strconv.Itoa(b)
	}
	parts := make([]string, 0, 3)
	for _, name := range []string{"running", "variables", "page"} {
		parts = append(parts, fmt.Sprintf("%s = dofile(%s)", name, quote(filepath.Join(s.Dir, name+".lua"))))
	}
	return fmt.Sprintf("package.loaded[\"trimtab.status\"] = dofile(%s).setup{ dict = \"trimtab_status\", memory = "+
		"%t, %s, buckets_ms = { %s } }",
		quote(filepath.Join(s.Dir, "status.lua")), !s.NoMemory, strings.Join(parts, ", "), strings.Join(bounds, ", "))
}

// LogLua is the statement that log_by_lua has to run.
func (s Status) LogLua() string { return `package.loaded["trimtab.status"].log()` }

func (s Status) http() string {
	s = s.withDefaults()
	var b strings.Builder
	b.WriteString("# Written by trimtab nginx shim install. Belongs into the http block.\n")
	fmt.Fprintf(&b, "lua_shared_dict trimtab_status %dk;\n", s.DictKiB)
	b.WriteString("map $proxy_host $trimtab_group { default $proxy_host; }\n")
	if !s.Hooked {
		fmt.Fprintf(&b, "init_by_lua_block {\n    %s\n}\nlog_by_lua_block {\n    %s\n}\n", s.InitLua(), s.LogLua())
	}
	if s.Listen != "" {
		fmt.Fprintf(&b, "server {\n    listen %s;\n    server_name trimtab-status;\n%s    location / { return "+
			"404; }\n}\n", s.Listen, s.location("    "))
	}
	return b.String()
}

// location renders the page's location. Only the machine itself may ask: the page names every server.
func (s Status) location(indent string) string {
	var b strings.Builder
	access := "allow 127.0.0.1; allow ::1; allow unix:; deny all;"
	fmt.Fprintf(&b, "%slocation = %s {\n", indent, StatusPath)
	fmt.Fprintf(&b, "%s    %s\n%s    access_log off;\n", indent, access, indent)
	fmt.Fprintf(&b, "%s    content_by_lua_block { package.loaded[\"trimtab.status\"].page() }\n%s}\n", indent, indent)
	return b.String()
}
