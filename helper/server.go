package helper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"reflect"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"trimtab/nginx"
)

// Settings are what the helper takes from the daemon's configuration, which it reads itself.
type Settings struct {
	Path  string          // of the configuration file
	Text  []byte          // its text; nil: there is none
	Files map[string]File // that the worker may be given, by what they are called
	Root  *Root
	// Limits are equal in settings between which the budget of reloads goes on.
	Limits any
	// AskStatus and AskOrigin have the worker say what the status page shows, and show a connection to it.
	AskStatus, AskOrigin bool
}

// File is one that the settings name.
type File struct {
	Path string
	Read func(path string) ([]byte, error)
}

// Server is the helper's side.
type Server struct {
	Settings Settings
	// Read reads the daemon's configuration again; nil: it stays as it is.
	Read func() (Settings, error)
	// Listen opens the socket that the settings name; nil: there is none.
	Listen func(ctx context.Context) (*os.File, error)
	// Notify tells systemd; nil: nobody is told.
	Notify func(state string)
	// Patience is how long the worker may take to answer a question; 0 means 10 s.
	Patience time.Duration
	Logger   *slog.Logger // nil: silence

	mu     sync.Mutex
	next   *Settings          // read, and not adopted yet
	cancel context.CancelFunc // of the change under way
	edits  []Edit
	unseen func() // ends the watch of the files
	eyes   sync.WaitGroup
	orders orderBudget
}

// Serve answers the worker until it ends, which is no error, or breaks the protocol. Over changes go those requests
// that may take long. A change that is under way is finished or taken back first.
func (s *Server) Serve(ctx context.Context, changes, questions net.Conn) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	stop := context.AfterFunc(ctx, func() {
		_ = changes.SetReadDeadline(time.Now())
		_ = questions.SetReadDeadline(time.Now())
	})
	defer stop()
	s.mu.Lock()
	s.adopt(ctx, changes, s.Settings)
	s.mu.Unlock()
	ended := make(chan error, 2)
	for _, conn := range []net.Conn{changes, questions} {
		go func() {
			ended <- s.serve(ctx, conn, changes)
			end() // either of the two is the end of both
		}()
	}
	err := errors.Join(<-ended, <-ended)
	s.letAllIn()
	s.mu.Lock()
	if s.unseen != nil {
		s.unseen()
	}
	s.mu.Unlock()
	s.eyes.Wait()
	return err
}

// serve answers on one socket.
func (s *Server) serve(ctx context.Context, conn, changes net.Conn) error {
	for {
		var req request
		if err := readFrame(conn, &req); err != nil {
			if errors.Is(err, io.EOF) || ctx.Err() != nil {
				return nil //nolint:nilerr // the end
			}
			return fmt.Errorf("serve the worker: %w", err)
		}
		req.label(fromSocket)
		var socket *os.File
		if req.Socket {
			var err error
			if socket, err = receiveSocket(conn); err != nil {
				return fmt.Errorf("serve the worker: %w", err)
			}
		}
		answer, send, err := s.contained(ctx, conn == changes, &req, socket, changes)
		if socket != nil {
			socket.Close()
		}
		if err == nil {
			err = s.answer(conn, answer, send)
		}
		if err != nil {
			return fmt.Errorf("serve the worker: %w", err)
		}
	}
}

func (s *Server) answer(conn net.Conn, r reply, send *os.File) error {
	r.label(toSocket)
	r.Socket = send != nil
	if err := writeFrame(conn, r); err != nil || send == nil {
		return err
	}
	defer send.Close()
	return sendSocket(conn, int(send.Fd()))
}

// contained handles a request. A panic of it is an error of this request only.
func (s *Server) contained(ctx context.Context, change bool, req *request, socket *os.File,
	changes net.Conn) (r reply, send *os.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log().Error("internal fault of the helper: please report it", "request", req.Op, "panic", fmt.Sprint(p),
				"stack", string(debug.Stack()))
			r, send, err = reply{Failure: &failure{Text: fmt.Sprintf("internal fault of the helper: %v", p)}}, nil, nil
		}
	}()
	if change {
		r, err = s.change(ctx, req)
		return r, nil, err
	}
	return s.question(ctx, req, socket, changes)
}

// change handles what is asked on the socket for changes.
func (s *Server) change(ctx context.Context, req *request) (reply, error) {
	root := s.root()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	s.cancel = cancel
	s.mu.Unlock()
	switch req.Op {
	case opApply:
		err := allowed(root, req.Want)
		if held := root.Held(); err == nil && held != "" {
			err = &nginx.Refusal{Reason: held}
		}
		if err != nil {
			return reply{Failure: failureOf(err)}, nil
		}
		from := req.From
		if !req.HasFrom {
			from = nil
		} else if from == nil {
			from = nginx.Settings{}
		}
		receipt, err := root.ApplyFrom(ctx, req.Want, from)
		receipt.Diff = "" // it shows lines around those of the upstream
		return reply{Receipt: &receipt, Failure: failureOf(err)}, nil
	case opOrder:
		err := allowed(root, req.Want)
		if err == nil {
			err = s.orders.allow(time.Now())
		}
		if err != nil {
			return reply{Failure: failureOf(err)}, nil
		}
		receipt, err := root.Order(ctx, req.Want)
		if receipt.Reloaded {
			s.orders.spend(time.Now())
		}
		receipt.Diff = ""
		return reply{Receipt: &receipt, Failure: failureOf(err)}, nil
	case opRecover:
		recovery, err := root.Recover(ctx)
		return reply{Recovery: recovery, Failure: failureOf(err)}, nil
	case opTest:
		tried, err := root.Test(ctx)
		return reply{Tried: tried, Failure: failureOf(err)}, nil
	}
	if r, ok := s.controls(ctx, root, req); ok {
		return r, nil
	}
	return reply{}, fmt.Errorf("%w: operation %.40q", errProtocol, req.Op)
}

// question handles what is asked on the other socket.
func (s *Server) question(ctx context.Context, req *request, socket *os.File, changes net.Conn) (reply, *os.File,
	error) {
	root := s.root()
	switch req.Op {
	case opCancel:
		s.mu.Lock()
		if s.cancel != nil {
			s.cancel()
		}
		s.mu.Unlock()
		return reply{}, nil, nil
	case opLook:
		look, err := root.Look(ctx)
		if err != nil {
			return reply{Failure: failureOf(err)}, nil, nil
		}
		return reply{Look: &look}, nil, nil
	case opStanding:
		standing, err := root.Standing(ctx, req.Dry)
		return reply{Standing: &standing, Failure: failureOf(err)}, nil, nil
	case opHold:
		held, err := root.Hold(ctx, req.Hold)
		return reply{Held: held, Failure: failureOf(err)}, nil, nil
	case opLoaded:
		list, err := root.Loaded(ctx, req.LoadMsec)
		return reply{Upstreams: list, Failure: failureOf(err)}, nil, nil
	case opEdits:
		s.mu.Lock()
		edits := s.edits
		s.edits = nil
		s.mu.Unlock()
		return reply{Edits: edits}, nil, nil
	case opAnswers:
		if socket == nil {
			return reply{}, nil, fmt.Errorf("%w: no socket to look at", errProtocol)
		}
		conn, err := net.FileConn(socket)
		if err == nil {
			err = root.Answers(ctx, conn)
			conn.Close()
		}
		return reply{Failure: failureOf(err)}, nil, nil
	case opSettings:
		return s.read(), nil, nil
	case opAdopt:
		s.mu.Lock()
		if s.next != nil {
			s.adopt(ctx, changes, *s.next)
			s.next = nil
		}
		s.mu.Unlock()
		return reply{}, nil, nil
	case opFile:
		text, err := s.file(req.Key)
		return reply{Text: text, Failure: failureOf(err)}, nil, nil
	case opListen:
		if s.Listen == nil {
			return reply{Failure: &failure{Text: "no address is to be listened on"}}, nil, nil
		}
		f, err := s.Listen(ctx)
		return reply{Failure: failureOf(err)}, f, nil
	case opNotify:
		if s.Notify != nil && mayNotify(req.State) {
			s.Notify(req.State)
		}
		return reply{}, nil, nil
	}
	return reply{}, nil, fmt.Errorf("%w: operation %.40q", errProtocol, req.Op)
}

// allowed refuses what is not the worker's to change. Weights and servers are judged by the plan.
func allowed(root *Root, want nginx.Settings) error {
	if len(want) == 0 {
		return &nginx.Refusal{Reason: "no upstream is named"}
	}
	for name := range want {
		if !root.may(name) {
			return &nginx.Refusal{Reason: fmt.Sprintf("upstream %.200q is not one that may be changed", name)}
		}
	}
	return nil
}

// mayNotify lets through what a service says of itself: nothing that makes systemd follow another process or keep
// descriptors.
func mayNotify(state string) bool {
	if len(state) > 4096 {
		return false
	}
	for line := range strings.SplitSeq(state, "\n") {
		key, _, _ := strings.Cut(line, "=")
		switch key {
		case "READY", "RELOADING", "STOPPING", "WATCHDOG", "WATCHDOG_USEC", "STATUS", "MONOTONIC_USEC":
		default:
			return false
		}
	}
	return true
}

func (s *Server) root() *Root {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Settings.Root
}

// read reads the settings anew, for the worker to judge.
func (s *Server) read() reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Settings
	if s.Read != nil {
		read, err := s.Read()
		if err != nil {
			return reply{Failure: failureOf(err)}
		}
		s.next, now = &read, read
	}
	return reply{Path: now.Path, Text: now.Text}
}

// file reads one of the files that the settings name: those that were read last, or else those that count.
func (s *Server) file(key string) ([]byte, error) {
	s.mu.Lock()
	f, ok := s.Settings.Files[key]
	if s.next != nil {
		f, ok = s.next.Files[key]
	}
	s.mu.Unlock()
	if !ok {
		return nil, &nginx.Refusal{Reason: fmt.Sprintf("the configuration names no file %.40q", key)}
	}
	return f.Read(f.Path)
}

// adopt makes settings count; s.mu is held.
func (s *Server) adopt(ctx context.Context, changes net.Conn, next Settings) {
	last := s.Settings
	if last.Root != nil && last.Root != next.Root && reflect.DeepEqual(last.Limits, next.Limits) {
		next.Root.Applier.Budget = last.Root.Applier.Budget
	}
	if next.AskStatus {
		next.Root.Applier.Status = func(context.Context) (nginx.Status, error) { return s.askStatus(changes) }
	}
	if next.AskOrigin {
		next.Root.Applier.Origin = func(_ context.Context,
			look func(net.Conn) error) error {
			return s.askOrigin(changes, look)
		}
	}
	s.Settings, s.edits = next, nil
	if s.unseen != nil {
		s.unseen()
		s.unseen = nil
	}
	if next.Root.Applier.Config == "" {
		return
	}
	ctx, s.unseen = context.WithCancel(ctx)
	s.eyes.Go(func() { s.watch(ctx, next.Root) })
}

// editsKept bounds how many edits wait for the worker to ask; beyond it the oldest go, for the newest says how things
// are.
const editsKept = 64

// watch collects edits. What ends it is said and leaves the worker without news of edits: every change reads the files
// anew.
func (s *Server) watch(ctx context.Context, root *Root) {
	defer func() {
		if p := recover(); p != nil {
			s.log().Error("internal fault of the helper: edits are not noticed any more", "panic", fmt.Sprint(p),
				"stack", string(debug.Stack()))
		}
	}()
	err := root.Watch(ctx, func(e Edit) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		if s.edits = append(s.edits, e); len(s.edits) > editsKept {
			s.edits = s.edits[1:]
		}
	})
	if err != nil {
		s.log().Error("NGINX's configuration is not watched", "error", err)
	}
}

func (s *Server) log() *slog.Logger {
	if s.Logger != nil {
		return s.Logger
	}
	return slog.New(slog.DiscardHandler)
}
