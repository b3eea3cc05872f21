package helper

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"trimtab/nginx"
)

// Client is the worker's side: what Root does, over the sockets. Its methods may be called from several goroutines.
type Client struct {
	changes, questions wire
	gone               chan struct{} // closed when the helper has ended

	mu     sync.Mutex
	status nginx.StatusFunc
	origin nginx.OriginFunc
	known  []Upstream // of the last answer to Loaded
	since  int64
}

// wire is one of the two sockets: one request is under way on it at a time.
type wire struct {
	mu     sync.Mutex
	conn   net.Conn
	broken error  // the first failure of the socket: nothing is asked after it
	over   func() // is called then
}

// ErrGone is returned once the helper has ended or a socket has failed: the worker has to end too.
var ErrGone = errors.New("the helper is gone")

// NewClient returns a client on the sockets of Inherited.
func NewClient(changes, questions net.Conn) *Client {
	c := &Client{gone: make(chan struct{})}
	over := sync.OnceFunc(func() { close(c.gone) })
	c.changes.conn, c.questions.conn = changes, questions
	c.changes.over, c.questions.over = over, over
	return c
}

// Gone is closed once a method has returned ErrGone.
func (c *Client) Gone() <-chan struct{} { return c.gone }

// Answer sets what answers the helper's questions about the status page, which come while something is changed.
func (c *Client) Answer(status nginx.StatusFunc, origin nginx.OriginFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status, c.origin = status, origin
}

// Close ends the helper.
func (c *Client) Close() error { return errors.Join(c.changes.conn.Close(), c.questions.conn.Close()) }

// Look is Root's.
func (c *Client) Look(context.Context) (Look, error) {
	r, _, err := c.ask(request{Op: opLook}, nil)
	if err != nil || r.Look == nil {
		return Look{}, orProtocol(err)
	}
	return *r.Look, nil
}

// Standing is Root's.
func (c *Client) Standing(_ context.Context, dry bool) (Standing, error) {
	r, _, err := c.ask(request{Op: opStanding, Dry: dry}, nil)
	if err != nil || r.Standing == nil {
		return Standing{}, orProtocol(err)
	}
	return *r.Standing, nil
}

// Hold is Root's.
func (c *Client) Hold(_ context.Context, on *bool) (held string, err error) {
	r, _, err := c.ask(request{Op: opHold, Hold: on}, nil)
	return r.Held, err
}

// Loaded is Root's; what it has said of one load it does not ask again.
func (c *Client) Loaded(_ context.Context, loadMsec int64) ([]Upstream, error) {
	c.mu.Lock()
	known, since := c.known, c.since
	c.mu.Unlock()
	if known != nil && since == loadMsec {
		return known, nil
	}
	r, _, err := c.ask(request{Op: opLoaded, LoadMsec: loadMsec}, nil)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.known, c.since = r.Upstreams, loadMsec
	c.mu.Unlock()
	return r.Upstreams, nil
}

// ApplyFrom is Root's.
func (c *Client) ApplyFrom(ctx context.Context, want, from nginx.Settings) (nginx.Receipt, error) {
	return receipt(c.change(ctx, request{Op: opApply, Want: want, From: from, HasFrom: from != nil}))
}

// Order is Root's.
func (c *Client) Order(ctx context.Context, want nginx.Settings) (nginx.Receipt, error) {
	return receipt(c.change(ctx, request{Op: opOrder, Want: want}))
}

func receipt(r reply, err error) (nginx.Receipt, error) {
	if r.Receipt != nil {
		return *r.Receipt, err
	}
	out := nginx.Receipt{}
	if refusal := (*nginx.Refusal)(nil); errors.As(err, &refusal) {
		out.Refused = refusal.Reason
	}
	return out, orProtocol(err)
}

// Recover is Root's.
func (c *Client) Recover(ctx context.Context) (*nginx.Recovery, error) {
	r, err := c.change(ctx, request{Op: opRecover})
	return r.Recovery, err
}

// Test is Root's.
func (c *Client) Test(ctx context.Context) (tried bool, err error) {
	r, err := c.change(ctx, request{Op: opTest})
	return r.Tried, err
}

// Answers is Root's.
func (c *Client) Answers(_ context.Context, conn net.Conn) error {
	_, _, err := c.ask(request{Op: opAnswers, Socket: true}, conn)
	return err
}

// editsEvery is how often the helper is asked for edits.
const editsEvery = 250 * time.Millisecond

// Watch is Root's. It ends with ErrGone when the helper does.
func (c *Client) Watch(ctx context.Context, report func(Edit)) error {
	tick := time.NewTicker(editsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		r, _, err := c.ask(request{Op: opEdits}, nil)
		if err != nil {
			return err
		}
		for _, e := range r.Edits {
			report(e)
		}
	}
}

// Settings returns path and text of the daemon's configuration, read anew.
func (c *Client) Settings() (path string, text []byte, err error) {
	r, _, err := c.ask(request{Op: opSettings}, nil)
	return r.Path, r.Text, err
}

// Adopt makes the settings that were read last count.
func (c *Client) Adopt() error {
	_, _, err := c.ask(request{Op: opAdopt}, nil)
	return err
}

// File returns a file that the settings name.
func (c *Client) File(key string) ([]byte, error) {
	r, _, err := c.ask(request{Op: opFile, Key: key}, nil)
	return r.Text, err
}

// Listen returns the socket on which the worker is to answer.
func (c *Client) Listen() (net.Listener, error) {
	_, f, err := c.ask(request{Op: opListen}, nil)
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, errProtocol
	}
	defer f.Close()
	return net.FileListener(f)
}

// Notify tells systemd.
func (c *Client) Notify(state string) {
	_, _, _ = c.ask(request{Op: opNotify, State: state}, nil)
}

func orProtocol(err error) error {
	if err != nil {
		return err
	}
	return errProtocol
}

// ask has a question answered; socket, if not nil, is shown with it.
func (c *Client) ask(req request, socket net.Conn) (reply, *os.File, error) {
	w := &c.questions
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return reply{}, nil, w.broken
	}
	err := writeFrame(w.conn, req)
	if err == nil && socket != nil {
		err = descriptor(socket, func(fd int) error { return sendSocket(w.conn, fd) })
	}
	var r reply
	if err == nil {
		err = readFrame(w.conn, &r)
	}
	var f *os.File
	if err == nil && r.Socket {
		f, err = receiveSocket(w.conn)
	}
	if err != nil {
		return reply{}, nil, w.fail(err)
	}
	r.label(fromSocket)
	return r, f, r.Failure.err()
}

// change sends a request and answers questions until the result comes. When ctx ends the helper is told, and finishes
// or takes back what it cannot leave: whether a change was made has to be known.
func (c *Client) change(ctx context.Context, req request) (reply, error) {
	w := &c.changes
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return reply{}, w.broken
	}
	req.label(toSocket)
	if err := writeFrame(w.conn, req); err != nil {
		return reply{}, w.fail(err)
	}
	stop := context.AfterFunc(ctx, func() { _, _, _ = c.ask(request{Op: opCancel}, nil) })
	defer stop()
	// The page is asked for until the end, whatever ctx says: a change that has begun is confirmed by it.
	asking := context.WithoutCancel(ctx)
	for {
		var r reply
		if err := readFrame(w.conn, &r); err != nil {
			return reply{}, w.fail(err)
		}
		var err error
		switch {
		case r.AskStatus:
			err = c.saysStatus(asking)
		case r.AskOrigin:
			err = c.showsOrigin(asking)
		default:
			r.label(fromSocket)
			err := r.Failure.err()
			if err != nil && ctx.Err() != nil && r.Receipt != nil && !r.Receipt.Changed {
				err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
			}
			return r, err
		}
		if err != nil {
			return reply{}, w.fail(err)
		}
	}
}

// saysStatus answers what the status page shows.
func (c *Client) saysStatus(ctx context.Context) error {
	c.mu.Lock()
	status := c.status
	c.mu.Unlock()
	var said statusReply
	if status == nil {
		said.Error = "the worker has no status page"
	} else if st, err := status(ctx); err != nil {
		said.Error = err.Error()
	} else {
		said.Status = labelledStatus(st, toSocket)
	}
	return writeFrame(c.changes.conn, said)
}

// showsOrigin shows the helper a connection on which the status page is answering.
func (c *Client) showsOrigin(ctx context.Context) error {
	c.mu.Lock()
	origin := c.origin
	c.mu.Unlock()
	conn := c.changes.conn
	if origin == nil {
		return writeFrame(conn, statusReply{Error: "the worker has no status page"})
	}
	var broken error
	err := origin(ctx, func(page net.Conn) error {
		broken = descriptor(page, func(fd int) error {
			return errors.Join(writeFrame(conn, statusReply{Socket: true}), sendSocket(conn, fd))
		})
		var r reply
		if broken == nil {
			broken = readFrame(conn, &r)
		}
		if broken == nil && !r.Seen {
			broken = errProtocol
		}
		return broken
	})
	if broken != nil {
		return broken
	}
	var said statusReply
	if err != nil {
		said.Error = err.Error()
	}
	return writeFrame(conn, said)
}

func (w *wire) fail(err error) error {
	w.broken = fmt.Errorf("%w: %w", ErrGone, err)
	w.over()
	return w.broken
}
