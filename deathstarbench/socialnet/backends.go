package socialnet

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"trimtab/deathstarbench"
)

// Options are the options of StartAll.
type Options struct {
	Seed   uint64       // of all service times and injected errors
	Logger *slog.Logger // nil: silent
}

// Backends are the emulated servers of a scenario.
type Backends struct {
	scenario *deathstarbench.Scenario
	logger   *slog.Logger
	servers  []*Server

	admin     *http.Server // nil unless ServeAdmin was called
	adminDone chan struct{}
}

// StartAll starts every server of the scenario on a free port of 127.0.0.1, sharing the network. The caller must Stop
// them; when ctx is done before all are up, none is.
func StartAll(ctx context.Context, s *deathstarbench.Scenario, network *Network, opts Options) (*Backends, error) {
	b := &Backends{scenario: s, logger: opts.Logger}
	if b.logger == nil {
		b.logger = slog.New(slog.DiscardHandler)
	}
	for _, v := range s.Servers {
		err := ctx.Err()
		if err == nil {
			var server *Server
			server, err = StartServer(ServerConfig{Server: v, Own: s.Workloads, Network: network, Seed: opts.Seed,
				Logger: opts.Logger})
			if err == nil {
				b.servers = append(b.servers, server)
				continue
			}
		}
		b.Stop()
		return nil, fmt.Errorf("start the servers of scenario %s: %w", s.Name, err)
	}
	return b, nil
}

// Server returns the server of that name, or nil.
func (b *Backends) Server(name string) *Server {
	for _, s := range b.servers {
		if s.name == name {
			return s
		}
	}
	return nil
}

// Addr returns the address of a server, such as 127.0.0.1:40001, or "" when there is none of that name.
func (b *Backends) Addr(name string) string {
	if s := b.Server(name); s != nil {
		return s.Addr()
	}
	return ""
}

// Stop ends all servers and the admin call. Calling it twice is harmless.
func (b *Backends) Stop() {
	if b.admin != nil {
		_ = b.admin.Close()
		<-b.adminDone
	}
	for _, s := range b.servers {
		s.Stop()
	}
}
