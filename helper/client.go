package helper

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"trimtab/nginx"
)

// Client is the worker's side. Its methods may be called from several goroutines: one request is under way at a time.
type Client struct {
	mu     sync.Mutex
	conn   net.Conn
	status nginx.StatusFunc
	broken error // the first failure of the socket: nothing is asked after it
}

// ErrGone is returned once the helper has ended or the socket has failed: the worker has to end too.
var ErrGone = errors.New("the helper is gone")

// NewClient returns a client on the inherited socket; status answers the helper's questions about the status page.
func NewClient(conn net.Conn, status nginx.StatusFunc) *Client {
	return &Client{conn: conn, status: status}
}

// Close ends the helper.
func (c *Client) Close() error { return c.conn.Close() }

// Look returns what stands in the configuration and what NGINX is doing.
func (c *Client) Look(ctx context.Context) (Look, error) {
	r, err := c.call(ctx, request{Op: opLook})
	if err != nil || r.Look == nil {
		return Look{}, orProtocol(err)
	}
	return *r.Look, nil
}

// ApplyFrom is nginx.Applier's.
func (c *Client) ApplyFrom(ctx context.Context, want, from nginx.Settings) (nginx.Receipt, error) {
	r, err := c.call(ctx, request{Op: opApply, Want: want, From: from, HasFrom: from != nil})
	if r.Receipt != nil {
		return *r.Receipt, err
	}
	return nginx.Receipt{}, orProtocol(err)
}

// Recover is nginx.Applier's.
func (c *Client) Recover(ctx context.Context) (*nginx.Recovery, error) {
	r, err := c.call(ctx, request{Op: opRecover})
	return r.Recovery, err
}

func orProtocol(err error) error {
	if err != nil {
		return err
	}
	return errProtocol
}

// call sends a request and answers questions until the result comes. It is not cut short by ctx: whether a change was made
// has to be known. ctx ends the reading of the status page.
func (c *Client) call(ctx context.Context, req request) (reply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return reply{}, c.broken
	}
	if err := writeFrame(c.conn, req); err != nil {
		return reply{}, c.fail(err)
	}
	for {
		var r reply
		if err := readFrame(c.conn, &r); err != nil {
			return reply{}, c.fail(err)
		}
		if !r.AskStatus {
			return r, r.Failure.err()
		}
		var said statusReply
		if c.status == nil {
			said.Error = "the worker has no status page"
		} else if st, err := c.status(ctx); err != nil {
			said.Error = err.Error()
		} else {
			said.Status = st
		}
		if err := writeFrame(c.conn, said); err != nil {
			return reply{}, c.fail(err)
		}
	}
}

func (c *Client) fail(err error) error {
	c.broken = fmt.Errorf("%w: %w", ErrGone, err)
	return c.broken
}
