package loadgen

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"time"
)

// conn is one connection.
type conn struct {
	net.Conn
	host  *host
	left  int64 // bytes that may still be read
	read  *bufio.Reader
	write *bufio.Writer
	probe probe
	used  bool // it has answered a request
}

// errUnanswered wraps the error of a connection that ended before the first byte of an answer.
var errUnanswered = errors.New("no answer")

// exchange sends req on the connection and reads its answer to the end.
func (c *conn) exchange(req *http.Request, extra http.Header, deadline time.Time, maxBody int64) (*http.Response,
	uint64, error) {
	if err := c.SetDeadline(deadline); err != nil {
		return nil, 0, err
	}
	c.left = maxHeader
	if err := writeRequest(c.write, req, extra); err != nil {
		return nil, 0, fmt.Errorf("write request: %w", err)
	}
	if _, err := c.read.Peek(1); err != nil {
		if errors.Is(err, io.EOF) || failureOf(err) == Reset {
			return nil, 0, fmt.Errorf("%w: %w", errUnanswered, err)
		}
		return nil, 0, fmt.Errorf("read answer: %w", err)
	}
	for range maxInformational {
		resp, err := c.readHeader(req)
		if err != nil {
			return nil, 0, fmt.Errorf("read answer: %w", err)
		}
		if resp.StatusCode >= 100 && resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		n, err := drain(resp.Body, maxBody)
		return resp, n, err
	}
	return nil, 0, errInformational
}

// maxHeader is the longest header of an answer in bytes; what of the body comes with it counts as well.
const maxHeader = 1 << 20

// readHeader reads the header of an answer and allows what follows any length.
func (c *conn) readHeader(req *http.Request) (*http.Response, error) {
	resp, err := http.ReadResponse(c.read, req)
	if err != nil {
		return nil, notHTTP(err)
	}
	c.left = math.MaxInt64
	return resp, nil
}

// Read reads from the connection no more than may still be read.
func (c *conn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errTooLarge
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

// notHTTP marks an error of the parser, which is not one of the connection.
func notHTTP(err error) error {
	if failureOf(err) == Other {
		return fmt.Errorf("%w: %w", errMalformed, err)
	}
	return err
}

var errMalformed = errors.New("not HTTP")

// maxInformational is how many answers of status 1xx may come before the final one.
const maxInformational = 5

var errInformational = fmt.Errorf("%w: too many answers of status 1xx", errMalformed)

// drain reads body to its end.
func drain(body io.ReadCloser, maxBody int64) (uint64, error) {
	if body == http.NoBody {
		return 0, nil
	}
	var from io.Reader = body
	if maxBody >= 0 {
		from = io.LimitReader(body, maxBody+1)
	}
	n, err := io.Copy(io.Discard, from)
	if err != nil {
		return uint64(n), fmt.Errorf("read body: %w", notHTTP(err))
	}
	if maxBody >= 0 && n > maxBody {
		return uint64(n), errTooLarge
	}
	return uint64(n), body.Close()
}

// writeRequest writes req with the extra header fields.
func writeRequest(w *bufio.Writer, req *http.Request, extra http.Header) error {
	for k, v := range extra {
		req.Header[k] = v
	}
	if host := extra.Get("Host"); host != "" {
		req.Host = host
	}
	if err := req.Write(w); err != nil {
		return err
	}
	return w.Flush()
}
