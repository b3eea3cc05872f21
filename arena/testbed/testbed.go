package testbed

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/socialnet"
	"trimtab/nginx/instance"
	"trimtab/nginx/lua"
	"trimtab/vts"
)

// Options describe a testbed.
type Options struct {
	Scenario *deathstarbench.Scenario
	Dir      string // everything is written below it; created when missing
	Listen   string // address of NGINX; empty means 127.0.0.1 and a free port
	Seed     uint64 // of service times, injected errors and the social graph
	Logger   *slog.Logger
}

// Testbed is a running world: the backends of a scenario behind an NGINX.
type Testbed struct {
	Scenario  *deathstarbench.Scenario
	Dir       string
	URL       string // of NGINX, such as http://127.0.0.1:18080
	StatusURL string
	NGINX     *instance.Instance
	Backends  *socialnet.Backends

	network *socialnet.Network
	names   map[string]string // server name by address
	unlock  func()
}

// Start brings up backends and NGINX. On error nothing is left running. The caller must Stop the testbed.
func Start(ctx context.Context, opts Options) (_ *Testbed, err error) {
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create the output directory: %w: choose another with --out", err)
	}
	t := &Testbed{Scenario: opts.Scenario, Dir: dir, names: make(map[string]string)}
	defer func() {
		if err != nil {
			t.Stop()
		}
	}()
	if t.unlock, err = lockDir(dir); err != nil {
		return nil, err
	}
	listen := opts.Listen
	if listen == "" {
		ports, err := instance.FreePorts(1)
		if err != nil {
			return nil, err
		}
		listen = "127.0.0.1:" + strconv.Itoa(ports[0])
	} else if err := checkFree(listen); err != nil {
		return nil, err
	}
	if t.network, err = populate(ctx, opts.Seed); err != nil {
		return nil, err
	}
	if t.Backends, err = socialnet.StartAll(ctx, opts.Scenario, t.network, socialnet.Options{Seed: opts.Seed, Logger: opts.Logger}); err != nil {
		return nil, err
	}
	for _, s := range opts.Scenario.Servers {
		t.names[t.Backends.Addr(s.Name)] = s.Name
	}
	prefix := filepath.Join(dir, "nginx")
	shim := lua.Status{Dir: filepath.Join(prefix, "lua")}
	if err := install(shim); err != nil {
		return nil, err
	}
	conf, err := nginxConf(prefix, listen, opts.Scenario, t.Backends.Addr, shim)
	if err != nil {
		return nil, err
	}
	if t.NGINX, err = instance.Start(ctx, prefix, conf, listen); err != nil {
		return nil, err
	}
	t.URL = "http://" + listen
	t.StatusURL = t.URL + lua.StatusPath
	return t, nil
}

// graphUsers and graphDegree size the social network behind the backends: DeathStarBench's number of users, and as
// many friends as keep a timeline full without slowing a compose down.
const (
	graphUsers  = deathstarbench.DefaultUsers
	graphDegree = 8
)

// populate returns a network whose users know their graphDegree neighbours on a ring.
func populate(ctx context.Context, seed uint64) (*socialnet.Network, error) {
	n := socialnet.NewNetwork(socialnet.NewMemory())
	edges := make([][2]int32, 0, graphUsers*graphDegree/2)
	for u := range int32(graphUsers) {
		for k := int32(1); k <= graphDegree/2; k++ {
			edges = append(edges, [2]int32{u, (u + k) % graphUsers})
		}
	}
	if err := n.Populate(ctx, graphUsers, 0, edges); err != nil {
		return nil, fmt.Errorf("populate the social network: %w", err)
	}
	return n, nil
}

// checkFree says in one line what NGINX says in five.
func checkFree(listen string) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("%w: choose another address with --listen", err)
	}
	return l.Close()
}

// install writes the files of the status shim.
func install(shim lua.Status) error {
	files, err := shim.Files()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(shim.Dir, 0o755); err != nil {
		return fmt.Errorf("install the status shim: %w", err)
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return fmt.Errorf("install the status shim: %w", err)
		}
	}
	return nil
}

// Stop ends NGINX and the backends. Calling it twice is harmless.
func (t *Testbed) Stop() {
	if t.NGINX != nil {
		t.NGINX.Stop()
	}
	if t.Backends != nil {
		t.Backends.Stop()
	}
	if t.network != nil {
		_ = t.network.Close()
		t.network = nil
	}
	if t.unlock != nil {
		t.unlock()
		t.unlock = nil
	}
}

// ServerName returns the scenario's name of the server at addr, and addr itself for an unknown one.
func (t *Testbed) ServerName(addr string) string {
	if name, ok := t.names[addr]; ok {
		return name
	}
	return addr
}

// lockDir keeps a second testbed out of the directory.
func lockDir(dir string) (unlock func(), err error) {
	path := filepath.Join(dir, ".lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the output directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("output directory %s: another testbed is using it: choose another with --out", dir)
	}
	return func() { os.Remove(path); f.Close() }, nil
}

// statusClient returns a client for the status page; fresh ones open a connection for every request.
func (t *Testbed) statusClient(fresh bool) (*vts.Client, error) {
	return vts.NewClient(vts.ClientConfig{URL: t.StatusURL, Timeout: 2 * time.Second, FreshConnections: fresh})
}
