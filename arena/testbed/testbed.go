package testbed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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
	"trimtab/nginx/live"
	"trimtab/nginx/lua"
	"trimtab/vts"
)

// Options describe a testbed.
type Options struct {
	Scenario *deathstarbench.Scenario
	Dir      string // everything is written below it; created when missing
	Listen   string // address of NGINX; empty means 127.0.0.1 and a free port
	Seed     uint64 // of service times, injected errors and the social graph
	Store    string // of the social network, as socialnet.OpenStore wants it; empty means in memory
	Admin    string // loopback address of the backends' admin call; empty means 127.0.0.1 and a free port
	// Resolver is the loopback address where the upstreams ask for their weights; empty: they stand in nginx.conf.
	Resolver string
	// Live installs the control call for weights without a reload and, of the upstreams whose scenario allows it, for
	// admission.
	Live   bool
	Logger *slog.Logger
}

// Testbed is a running world: the backends of a scenario behind an NGINX.
type Testbed struct {
	Scenario  *deathstarbench.Scenario
	Dir       string
	URL       string // of NGINX, such as http://127.0.0.1:18080
	StatusURL string
	AdminURL  string         // of the backends' admin call
	Live      *live.Actuator // control call; nil: not installed
	NGINX     *instance.Instance
	Backends  *socialnet.Backends

	network *socialnet.Network
	names   map[string]string // server name by address
	// admitting are the files that the locations of upstreams include whose requests may be refused, by upstream.
	admitting map[string]string
	unlock    func()
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
	if t.network, err = openNetwork(ctx, opts.Store, opts.Seed); err != nil {
		return nil, err
	}
	if t.Backends, err = socialnet.StartAll(ctx, opts.Scenario, t.network, socialnet.Options{Seed: opts.Seed,
		Logger: opts.Logger}); err != nil {
		return nil, err
	}
	if t.AdminURL, err = t.Backends.ServeAdmin(opts.Admin); err != nil {
		return nil, err
	}
	for _, s := range opts.Scenario.Servers {
		t.names[t.Backends.Addr(s.Name)] = s.Name
	}
	prefix := filepath.Join(dir, "nginx")
	shim := lua.Status{Dir: filepath.Join(prefix, "lua")}
	files, err := shim.Files()
	if err != nil {
		return nil, err
	}
	include := shim.HTTPSnippet()
	if opts.Live {
		if include, files, err = t.prepareLive(shim); err != nil {
			return nil, err
		}
	}
	if err := install(shim.Dir, files); err != nil {
		return nil, err
	}
	conf, err := nginxConf(prefix, listen, opts.Resolver, opts.Scenario, t.Backends.Addr,
		includes{http: include, server: shim.LocationSnippet(), admission: t.admitting})
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

// postsPerUser fills home timelines (some forty friends write on each) before the first request, so that the size of
// replies does not drift during a run.
const postsPerUser = 3

// openNetwork returns a network with DeathStarBench's number of users and a graph like its own.
func openNetwork(ctx context.Context, store string, seed uint64) (_ *socialnet.Network, err error) {
	s, err := socialnet.OpenStore(ctx, store)
	if err != nil {
		return nil, err
	}
	n := socialnet.NewNetwork(s)
	graph, err := deathstarbench.GenerateGraph(deathstarbench.DefaultUsers, seed)
	if err == nil {
		err = n.Populate(ctx, graph.Nodes, deathstarbench.DefaultFirstUser, graph.Edges)
	}
	if err == nil {
		err = n.Prefill(ctx, graph.Nodes, deathstarbench.DefaultFirstUser, postsPerUser, seed)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("populate the social network: %w", err), n.Close())
	}
	return n, nil
}

// checkFree says in one line what NGINX says in five.
func checkFree(listen string) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("--listen %s: %w: want a free address such as 127.0.0.1:18080", listen, err)
	}
	return l.Close()
}

// install writes the files of the status shim, and of the control call.
func install(dir string, files map[string]string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("install the status shim: %w", err)
	}
	for path, text := range files {
		mode := fs.FileMode(0o644)
		if filepath.Base(path) == tokenName {
			mode = 0o600
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
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
