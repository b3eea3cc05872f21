package nginx

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Hash identifies the content of a file.
type Hash [sha256.Size]byte

func hashOf(data []byte) Hash { return sha256.Sum256(data) }

func (h Hash) String() string { return fmt.Sprintf("%x", h[:8]) }

// Config is a configuration as NGINX would read it now: the main file and everything it includes.
type Config struct {
	Path string // of the main file, absolute
	// of the mount namespace that all its paths are of, such as /proc/4711/root; empty: this process's own
	Root      string
	Files     []*File     // every file once, in the order first read, the main file first
	Upstreams []*Upstream // in reading order
	// Stray are upstream blocks outside of http and stream, which NGINX refuses there: the file is one that another one
	// includes within them. Their servers are not read.
	Stray    []*Upstream
	Limits   []*Limit // limit_req_zones of http, in reading order
	PIDFile  string   // the pid directive as written; empty when there is none
	ErrorLog string   // the file of the first error_log directive of the main context; empty when there is none
	Resolver []string // the words of the resolver directive of the http block; nil when it has none
	Workers  string   // the worker_processes directive as written; empty when there is none, which means 1
	// Patterns are the include patterns with wildcards, absolute; a new file that matches belongs to the
	// configuration.
	Patterns []string
}

// File is one file of a configuration.
type File struct {
	Path   string // as NGINX opens it, absolute
	Real   string // with symbolic links resolved
	Data   []byte
	Hash   Hash
	Visits int // how often the configuration includes it

	dev, ino uint64
	info     os.FileInfo // of a file in another mount namespace; nil: Real says where it is
}

// Stat describes the file as it is now, or as it was read where it stands in another mount namespace.
func (f *File) Stat() (os.FileInfo, error) {
	if f.info != nil {
		return f.info, nil
	}
	return os.Stat(f.Real)
}

// Upstream is one upstream block.
type Upstream struct {
	Name     string
	Protocol string // http or stream
	// Method is the balancing directive: round_robin when there is none, else least_conn, ip_hash, hash, random,
	// least_time, or the name of another module's directive.
	Method     string
	MethodArgs []string
	Sources    []string // directives by which the servers come from elsewhere, such as upsync
	Zone       string
	ZoneSize   string   // as written, such as 128k; empty when the line only names a zone
	Resolver   []string // the words of its own resolver directive; nil when it has none
	File       *File
	Line       int
	Peers      []*Peer

	body int // offset behind the opening brace
}

// Body is the offset in File behind the opening brace.
func (u *Upstream) Body() int { return u.body }

// Peer is one server line of an upstream.
type Peer struct {
	Address string // as written
	// Server is the address as NGINX prints it, such as 10.0.0.1:80; empty when that cannot be known from the text
	// because Address holds a host name.
	Server       string
	Weight       int
	Down, Backup bool
	Resolve      bool
	Resolved     []string // addresses that the status page shows for a host name; see Config.Resolve
	Service      string   // of service=; empty when there is none
	Params       []string // everything behind the address, as written
	File         *File
	Line         int

	address, weight, down token // weight and down: valid when hasWeight, Down
	hasWeight             bool
	start                 int // offset of the word server
	end                   int // offset of the closing ;
}

// Span is the text of the line in File: from the word server to behind its semicolon.
func (p *Peer) Span() (start, end int) { return p.start, p.end + 1 }

// referencePrefix begins the names of upstreams that live weights bring along and that nothing uses.
const referencePrefix = "trimtab-method-"

// maxDepth bounds nested includes; a file that includes itself would nest for ever.
const maxDepth = 64

// ReadConfig reads the configuration whose main file is path.
func ReadConfig(path string) (*Config, error) { return readConfig(path, os.ReadFile) }

func readConfig(path string, read func(string) ([]byte, error)) (*Config, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("read config %s: %w", path, err)
	}
	if abs, err = findContained(abs); err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	r := &reader{
		config: &Config{Path: abs}, byPath: map[string]*File{}, glob: glob,
		load: func(path string) (*File, error) { return loadFile(path, read) },
	}
	if r.config.Root, _ = splitContained(abs); r.config.Root != "" {
		r.load = loadContained
	}
	if err := r.file(abs, place{}, 0); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: want NGINX's main file and what it includes", err)
		}
		return nil, err
	}
	r.join()
	return r.config, nil
}

// place is where in the configuration a directive stands.
type place struct {
	blocks   string // names of the open blocks, joined by a blank: "http upstream"
	upstream *Upstream
	geo      bool // include took no wildcards in a geo block before 1.27
}

type reader struct {
	config *Config
	byPath map[string]*File
	uses   []limitUse
	dryRun bool // limit_req_dry_run is on somewhere
	load   func(path string) (*File, error)
	glob   func(pattern string) ([]string, error)
}

// file reads one file in the context of the include that named it.
func (r *reader) file(path string, in place, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("read config %s: includes nest deeper than %d: does a file include itself?", path, maxDepth)
	}
	f, err := r.open(path)
	if err != nil {
		return err
	}
	l := newLexer(path, f.Data)
	stack := []place{in}
	for {
		how, err := l.next()
		if err != nil {
			return err
		}
		at := &stack[len(stack)-1]
		switch how {
		case endOfFile:
			if len(stack) > 1 {
				return l.fail(l.line, "unexpected end of file, expecting \"}\"")
			}
			return nil
		case blockClose:
			if len(stack) == 1 {
				return l.fail(l.line, "unexpected \"}\"")
			}
			stack = stack[:len(stack)-1]
		case blockOpen:
			name := l.args[0].value(f.Data)
			if strings.HasSuffix(name, "_by_lua_block") {
				if at.upstream != nil && at.blocks != "" && luaBalancers[name] {
					at.upstream.Method = name
				}
				if err := l.luaBlock(); err != nil {
					return err
				}
				continue
			}
			stack = append(stack, r.enter(*at, name, f, l))
		case endSimple:
			if err := r.directive(at, f, l, depth); err != nil {
				return err
			}
		}
	}
}

func (r *reader) open(path string) (*File, error) {
	if f, ok := r.byPath[path]; ok {
		f.Visits++
		return f, nil
	}
	f, err := r.load(path)
	if err != nil {
		return nil, err
	}
	r.byPath[path] = f
	r.config.Files = append(r.config.Files, f)
	return f, nil
}

func loadFile(path string, read func(string) ([]byte, error)) (*File, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("read config %s: %w", path, unwrapPath(err))
	}
	info, err := os.Stat(real)
	if err != nil {
		return nil, fmt.Errorf("read config %s: %w", path, unwrapPath(err))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read config %s: not a regular file", path)
	}
	data, err := read(real)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	f := &File{Path: path, Real: real, Data: data, Hash: hashOf(data), Visits: 1}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		f.dev, f.ino = uint64(st.Dev), st.Ino
	}
	return f, nil
}

// unwrapPath drops the path that os errors repeat.
func unwrapPath(err error) error {
	if e, ok := err.(*fs.PathError); ok { //nolint:errorlint // what wraps one says more
		return e.Err
	}
	return err
}

// enter returns the context inside the block that name opens.
func (r *reader) enter(at place, name string, f *File, l *lexer) place {
	in := place{blocks: strings.TrimPrefix(at.blocks+" "+name, " ")}
	switch in.blocks {
	case "http upstream", "stream upstream":
		if len(l.args) != 2 {
			break // NGINX refuses it
		}
		in.upstream = &Upstream{
			Name: l.args[1].value(f.Data), Protocol: strings.TrimSuffix(in.blocks, " upstream"), Method: "round_robin",
			File: f, Line: l.args[0].line, body: l.pos,
		}
		if !strings.HasPrefix(in.upstream.Name, referencePrefix) {
			r.config.Upstreams = append(r.config.Upstreams, in.upstream)
		}
	}
	if in.blocks == "upstream" && len(l.args) == 2 {
		r.config.Stray = append(r.config.Stray, &Upstream{Name: l.args[1].value(f.Data), File: f, Line: l.args[0].line})
	}
	in.geo = name == "geo"
	return in
}

func (r *reader) directive(at *place, f *File, l *lexer, depth int) error {
	name := l.args[0].value(f.Data)
	if name == "include" {
		if len(l.args) != 2 {
			return l.fail(l.args[0].line, "include: want one path, got %d", len(l.args)-1)
		}
		return r.include(l.args[1].value(f.Data), *at, f, l.args[0].line, depth)
	}
	if u := at.upstream; u != nil {
		switch {
		case name == "server" && len(l.args) > 1:
			p, err := readPeer(u, f, l)
			if err != nil {
				return err
			}
			u.Peers = append(u.Peers, p)
		case name == "zone" && len(l.args) > 1:
			u.Zone = l.args[1].value(f.Data)
			if len(l.args) > 2 {
				u.ZoneSize = l.args[2].value(f.Data)
			}
		case name == "resolver" && len(l.args) > 1:
			u.Resolver = l.values(f.Data)
		case name != "server" && name != "zone":
			u.directive(name, l.values(f.Data))
		}
		return nil
	}
	r.limit(at, name, f, l)
	if at.blocks == "http" && name == "resolver" {
		r.config.Resolver = l.values(f.Data)
	}
	if at.blocks == "" && len(l.args) > 1 {
		switch {
		case name == "pid":
			r.config.PIDFile = l.args[1].value(f.Data)
		case name == "worker_processes":
			r.config.Workers = l.args[1].value(f.Data)
		case name == "error_log" && r.config.ErrorLog == "" && !strings.Contains(l.args[1].value(f.Data), ":") &&
			!l.args[1].is(f.Data, "stderr"):
			r.config.ErrorLog = l.args[1].value(f.Data)
		}
	}
	return nil
}

// include reads what pattern names, relative to the folder of the main file, as ngx_conf_include does.
func (r *reader) include(pattern string, at place, f *File, line, depth int) error {
	full := r.config.Root + pattern
	if !strings.HasPrefix(pattern, "/") {
		full = filepath.Dir(r.config.Path) + "/" + pattern
	}
	if !strings.ContainsAny(full, "*?[") || at.geo && isFile(full) {
		if err := r.file(full, at, depth+1); err != nil {
			if e := (*SyntaxError)(nil); !errors.As(err, &e) && errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s:%d: include: %w", f.Path, line, err)
			}
			return err
		}
		return nil
	}
	r.config.Patterns = append(r.config.Patterns, full)
	names, err := r.glob(full)
	if err != nil {
		return fmt.Errorf("%s:%d: include %s: %w", f.Path, line, pattern, err)
	}
	for _, name := range names {
		if err := r.file(name, at, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func isFile(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
