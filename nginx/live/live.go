package live

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"trimtab/nginx"
	"trimtab/nginx/lua"
	"trimtab/trusted"
)

// Config says where the control call is.
type Config struct {
	Address   string // "127.0.0.1:port" or "unix:/path", as in the listen directive of the control call
	TokenFile string // file whose first line is the token; read at every call, so that it may be renewed
	// Token reads TokenFile; nil: this process does.
	Token   func() ([]byte, error)
	Timeout time.Duration // of one call; 0 means 5 s
	// Prove, when not nil, says whether the far end of the connection is the NGINX that is meant; something has been
	// read from it then. The token is sent only on a connection that passes: a program that took the address while
	// NGINX was down must not learn it.
	Prove func(ctx context.Context, conn net.Conn) error
}

// Actuator sets weights through the control call. It may be used from several goroutines.
type Actuator struct {
	config Config
	client *http.Client
}

// ErrUnreachable is returned when the control call got no answer: NGINX is down, or live weights are not installed.
var ErrUnreachable = errors.New("NGINX does not take the control call")

const maxReply = 64 << 20

// New checks cfg and returns an actuator; it does not connect.
func New(cfg Config) (*Actuator, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.Timeout < 0 {
		return nil, fmt.Errorf("live weights: timeout %v: want more than 0", cfg.Timeout)
	}
	network, address := "tcp", cfg.Address
	if path, ok := strings.CutPrefix(cfg.Address, "unix:"); ok {
		network, address = "unix", path
	} else if host, _, err := net.SplitHostPort(cfg.Address); err != nil {
		return nil, fmt.Errorf("live weights: address %q: want 127.0.0.1:port or unix:/path", cfg.Address)
	} else if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("live weights: address %q is not loopback: the token would cross the network "+
			"in the clear", cfg.Address)
	}
	dialer := net.Dialer{Timeout: cfg.Timeout}
	return &Actuator{config: cfg, client: &http.Client{
		Timeout: cfg.Timeout,
		Transport: &http.Transport{
			// A connection of its own for every call: a kept one may end at a worker that drains after a reload.
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				conn, err := dialer.DialContext(ctx, network, address)
				if err != nil || cfg.Prove == nil {
					return conn, err
				}
				return proved(ctx, conn, cfg)
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// State is what NGINX's balancers go by now.
type State struct {
	Format    int              `json:"format"`
	PID       int              `json:"pid"` // of the worker that answered
	Upstreams map[string]Group `json:"upstreams"`
}

// Group is the state of one upstream group.
type Group struct {
	Live     bool     `json:"live"`     // its weights can be set
	Why      string   `json:"why"`      // not live
	Method   string   `json:"method"`   // round_robin, least_conn, ip_hash or hash
	Version  int64    `json:"version"`  // rises with every change of weights
	Set      bool     `json:"set"`      // weights were set
	Outdated bool     `json:"outdated"` // and are void, because the file's servers or weights have changed since
	Servers  []Server `json:"servers"`  // those that are no backups first
}

// Server is the state of one server of a group.
type Server struct {
	Server     string `json:"server"` // as the status page prints it
	Weight     int    `json:"weight"`
	BaseWeight int    `json:"base_weight"` // of the file
	Down       bool   `json:"down"`
	Backup     bool   `json:"backup"`
	Fails      int    `json:"fails"`
	Active     int    `json:"active"` // connections to it in use, over all workers
}

// State asks for what is in force.
func (a *Actuator) State(ctx context.Context) (*State, error) {
	return a.call(ctx, http.MethodGet, nil)
}

// Reset returns every group to the weights of the file.
func (a *Actuator) Reset(ctx context.Context) (*State, error) {
	return a.call(ctx, http.MethodDelete, nil)
}

// Apply sets the weights of the servers named in want and leaves all others alone. They are in force for the next
// request when it returns. It fails with a *nginx.Refusal when NGINX refuses, and then nothing has changed.
func (a *Actuator) Apply(ctx context.Context, want nginx.Settings) (nginx.Receipt, error) {
	began := time.Now()
	r, err := a.apply(ctx, want)
	r.Took = time.Since(began)
	if refusal := (*nginx.Refusal)(nil); errors.As(err, &refusal) {
		r.Refused = refusal.Reason
	}
	return r, err
}

func (a *Actuator) apply(ctx context.Context, want nginx.Settings) (nginx.Receipt, error) {
	r := nginx.Receipt{Weights: nginx.Settings{}}
	before, err := a.State(ctx)
	if err != nil {
		return r, err
	}
	if err := before.check(want); err != nil {
		return r, err
	}
	r.Weights = before.settings(want)
	if before.holds(want) && !before.outdated(want) {
		return r, nil
	}
	after, err := a.call(ctx, http.MethodPut, lines(want))
	if err != nil {
		if refusal := (*nginx.Refusal)(nil); errors.As(err, &refusal) || ctx.Err() != nil {
			return r, err
		}
		// Whether the call arrived is not known: ask.
		seen, again := a.State(ctx)
		if again != nil || !seen.holds(want) {
			return r, err
		}
		after = seen
	}
	if !after.holds(want) {
		return r, fmt.Errorf("live weights: it took the call, but its state differs from the weights asked for")
	}
	r.Changed, r.Confirmed, r.Weights = true, time.Now(), after.settings(want)
	return r, nil
}

func lines(want nginx.Settings) []byte {
	var b bytes.Buffer
	for _, name := range sorted(want) {
		for _, server := range sorted(want[name]) {
			word := "up"
			if want[name][server].Down {
				word = "down"
			}
			fmt.Fprintf(&b, "%s %s %d %s\n", name, server, want[name][server].Weight, word)
		}
	}
	return b.Bytes()
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// check refuses what the control call would refuse, with the names that the operator knows.
func (s *State) check(want nginx.Settings) error {
	for _, name := range sorted(want) {
		g, ok := s.Upstreams[name]
		switch {
		case !ok:
			return refuse("upstream %q is not one whose weights may be set live: run trimtab nginx live install", name)
		case !g.Live:
			return refuse("upstream %q: weights cannot be set live: %s", name, g.Why)
		}
		for _, server := range sorted(want[name]) {
			if !slices.ContainsFunc(g.Servers, func(o Server) bool { return o.Server == server }) {
				return refuse("upstream %q has no server %s in the running configuration", name, server)
			}
			if w := want[name][server].Weight; w < 1 || w > nginx.MaxWeight {
				return refuse("upstream %q: weight %d of server %s: want 1 to %d", name, w, server, nginx.MaxWeight)
			}
		}
	}
	return nil
}

func refuse(format string, args ...any) error {
	return &nginx.Refusal{Reason: fmt.Sprintf(format, args...)}
}

// holds reports whether all that is wanted is in force.
func (s *State) holds(want nginx.Settings) bool {
	for name, servers := range want {
		found := 0
		for _, o := range s.Upstreams[name].Servers {
			if w, ok := servers[o.Server]; ok {
				found++
				if w.Weight != o.Weight || w.Down != o.Down {
					return false
				}
			}
		}
		if found != len(servers) {
			return false
		}
	}
	return true
}

func (s *State) outdated(want nginx.Settings) bool {
	for name := range want {
		if s.Upstreams[name].Outdated {
			return true
		}
	}
	return false
}

// settings returns what is in force in the groups named in want.
func (s *State) settings(want nginx.Settings) nginx.Settings {
	out := nginx.Settings{}
	for name := range want {
		out[name] = map[string]nginx.Setting{}
		for _, o := range s.Upstreams[name].Servers {
			out[name][o.Server] = nginx.Setting{Weight: o.Weight, Down: o.Down}
		}
	}
	return out
}

// call makes the control call; while NGINX reloads, again and again until a worker of the new configuration answers.
func (a *Actuator) call(ctx context.Context, method string, body []byte) (*State, error) {
	enough := time.After(a.config.Timeout)
	for {
		s, err := a.once(ctx, method, body)
		if !errors.Is(err, errReloading) {
			return s, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("live weights at %s: %w", a.config.Address, context.Cause(ctx))
		case <-enough:
			return nil, fmt.Errorf("live weights at %s: %w for %v", a.config.Address, err, a.config.Timeout)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// errReloading: a worker of the configuration before answered.
var errReloading = errors.New("NGINX has been reloading")

func (a *Actuator) once(ctx context.Context, method string, body []byte) (*State, error) {
	text, err := a.ask(ctx, method, lua.LivePath, body)
	if err != nil {
		return nil, err
	}
	s := &State{}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("live weights at %s: reply: %w", a.config.Address, err)
	}
	if s.Format != 2 {
		return nil, fmt.Errorf("live weights at %s: format %d, want 2: run trimtab nginx live install and reload NGINX",
			a.config.Address, s.Format)
	}
	return s, nil
}

// ask sends one authenticated request and returns the text of a good reply.
func (a *Actuator) ask(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	token, err := a.token()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://trimtab"+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("live weights: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := a.client.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, fmt.Errorf("live weights at %s: %w", a.config.Address, cause)
		}
		return nil, fmt.Errorf("%w at %s: %w", ErrUnreachable, a.config.Address, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return nil, fmt.Errorf("live weights at %s: read reply: %w", a.config.Address, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, a.failure(resp.StatusCode, text)
	}
	return text, nil
}

func (a *Actuator) failure(status int, text []byte) error {
	var said struct {
		Error string `json:"error"`
		Again bool   `json:"again"`
	}
	if json.Unmarshal(text, &said) != nil || said.Error == "" {
		return fmt.Errorf("live weights at %s: HTTP %d without a reason: is that Trimtab's control call?",
			a.config.Address, status)
	}
	if said.Again {
		return errReloading
	}
	switch status {
	case http.StatusBadRequest, http.StatusConflict, http.StatusInsufficientStorage:
		return refuse("%s", said.Error)
	case http.StatusUnauthorized:
		return fmt.Errorf("live weights at %s: %s: NGINX reads %s when it loads its configuration; reload it "+
			"after a change", a.config.Address, said.Error, a.config.TokenFile)
	}
	return fmt.Errorf("live weights at %s: HTTP %d: %s", a.config.Address, status, said.Error)
}

func (a *Actuator) token() (string, error) {
	if a.config.Token == nil {
		return readToken(a.config.TokenFile)
	}
	text, err := a.config.Token()
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	return tokenOf(a.config.TokenFile, text)
}

func readToken(path string) (string, error) {
	text, err := trusted.Secret(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read token: %w: trimtab nginx live install makes it", err)
	}
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	return tokenOf(path, text)
}

// tokenOf is the token in the text of its file.
func tokenOf(path string, text []byte) (string, error) {
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimSpace(line); len(line) < 32 {
		return "", fmt.Errorf("token in %s: want at least 32 characters", path)
	}
	return line, nil
}
