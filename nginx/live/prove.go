package live

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"trimtab/nginx/lua"
)

// ErrUnproved is returned when what answers at the address of the control call is not known to be NGINX; the token has
// not been sent then.
var ErrUnproved = errors.New("the token was not sent")

// proved makes a call without the token on a new connection and then asks whose it is. It returns the connection, ready
// for another call, or closes it. The call is needed because a connection that nobody has accepted belongs to nobody.
func proved(ctx context.Context, conn net.Conn, cfg Config) (net.Conn, error) {
	err := hail(ctx, conn, cfg.Timeout)
	if err == nil {
		err = cfg.Prove(ctx, conn)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("%w: %w", ErrUnproved, err)
	}
	return conn, nil
}

// hail makes a call without the token, which is answered by an error, and leaves the connection as before.
func hail(ctx context.Context, conn net.Conn, timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: trimtab\r\n\r\n", lua.LivePath); err != nil {
		return fmt.Errorf("call without the token: %w", err)
	}
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return fmt.Errorf("call without the token: %w", err)
	}
	n, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxReply))
	resp.Body.Close()
	switch {
	case err != nil:
		return fmt.Errorf("call without the token: %w", err)
	case resp.StatusCode == http.StatusOK:
		return errors.New("a call without the token was answered as if it had one")
	case resp.Close || in.Buffered() > 0 || n == maxReply:
		return fmt.Errorf("call without the token: HTTP %d, and the connection is not kept: is that Trimtab's "+
			"control call?", resp.StatusCode)
	}
	return conn.SetDeadline(time.Time{})
}
