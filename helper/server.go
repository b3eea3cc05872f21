package helper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"trimtab/nginx"
)

// Server is the helper's side.
type Server struct {
	// Applier changes the configuration. Its Status is asked of the worker when AskStatus is set, else as it is.
	Applier   *nginx.Applier
	AskStatus bool
	// Upstreams are those that may be changed; empty: all that can be.
	Upstreams []string
	// Patience is how long the worker may take to answer a question; 0 means 5 s.
	Patience time.Duration
}

// Serve answers the worker until it ends, which is no error, or breaks the protocol. A change that is under way is finished
// or taken back first.
func (s *Server) Serve(ctx context.Context, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })
	defer stop()
	if s.AskStatus {
		s.Applier.Status = func(context.Context) (nginx.Status, error) { return s.ask(conn) }
	}
	for {
		var req request
		if err := readFrame(conn, &req); err != nil {
			if errors.Is(err, io.EOF) || ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("serve the worker: %w", err)
		}
		answer, err := s.handle(ctx, &req)
		if err != nil {
			return fmt.Errorf("serve the worker: %w", err)
		}
		if err := writeFrame(conn, answer); err != nil {
			return fmt.Errorf("serve the worker: %w", err)
		}
	}
}

func (s *Server) handle(ctx context.Context, req *request) (reply, error) {
	switch req.Op {
	case opLook:
		look, err := s.look(ctx)
		return reply{Look: look, Failure: failureOf(err)}, nil
	case opApply:
		if err := s.allowed(req.Want); err != nil {
			return reply{Failure: failureOf(err)}, nil
		}
		from := req.From
		if !req.HasFrom {
			from = nil
		} else if from == nil {
			from = nginx.Settings{}
		}
		receipt, err := s.Applier.ApplyFrom(ctx, req.Want, from)
		return reply{Receipt: &receipt, Failure: failureOf(err)}, nil
	case opRecover:
		recovery, err := s.Applier.Recover(ctx)
		return reply{Recovery: recovery, Failure: failureOf(err)}, nil
	}
	return reply{}, fmt.Errorf("%w: operation %.40q", errProtocol, req.Op)
}

// allowed refuses what is not the worker's to change. Weights and servers are judged by the plan.
func (s *Server) allowed(want nginx.Settings) error {
	if len(want) == 0 {
		return &nginx.Refusal{Reason: "no upstream is named"}
	}
	for name := range want {
		if len(s.Upstreams) > 0 && !slices.Contains(s.Upstreams, name) {
			return &nginx.Refusal{Reason: fmt.Sprintf("upstream %.200q is not one that may be changed", name)}
		}
	}
	return nil
}

func (s *Server) look(ctx context.Context) (*Look, error) {
	cfg, err := nginx.ReadConfig(s.Applier.Config)
	if err != nil {
		return nil, err
	}
	look := &Look{Upstreams: []Upstream{}, LeftOut: []string{}}
	for _, u := range cfg.Upstreams {
		if len(s.Upstreams) > 0 && !slices.Contains(s.Upstreams, u.Name) {
			continue
		}
		if err := cfg.Tunable(u.Name); err != nil {
			look.LeftOut = append(look.LeftOut, err.Error())
			continue
		}
		up := Upstream{Name: u.Name, Method: u.Method, Servers: []Peer{}}
		for _, p := range u.Peers {
			up.Servers = append(up.Servers, Peer{Server: p.Label(), Weight: p.Weight, Down: p.Down, Backup: p.Backup})
		}
		look.Upstreams = append(look.Upstreams, up)
	}
	if b, err := s.Applier.Breaker(); err == nil && b.Open(time.Now()) {
		look.Held = "circuit breaker: " + b.String()
	} else if wait := s.budget(); wait != "" {
		look.Held = "reload budget: " + wait
	}
	if pid, err := s.Applier.Master(ctx, cfg); err != nil {
		look.Held = "master: " + err.Error()
	} else {
		look.Master = pid
		if look.Load, err = nginx.ReadLoad(pid); err != nil {
			look.Held = "master: " + err.Error()
		}
	}
	return look, nil
}

// ask has the worker say what the status page shows.
func (s *Server) ask(conn net.Conn) (nginx.Status, error) {
	if err := writeFrame(conn, reply{AskStatus: true}); err != nil {
		return nginx.Status{}, err
	}
	patience := s.Patience
	if patience == 0 {
		patience = 5 * time.Second
	}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nginx.Status{}, err
	}
	defer func() { _ = conn.SetReadDeadline(time.Time{}) }()
	var said statusReply
	if err := readFrame(conn, &said); err != nil {
		// What comes later would be taken for the answer to another question.
		_ = conn.Close()
		return nginx.Status{}, fmt.Errorf("ask the worker for the status page: %w", err)
	}
	if said.Error != "" {
		return nginx.Status{}, errors.New(said.Error)
	}
	return said.Status, nil
}

// budget says why no reload may be made now; empty: one may.
func (s *Server) budget() string {
	if s.Applier.Budget == nil {
		return ""
	}
	return s.Applier.Budget.Held(time.Now())
}
