package helper

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// MaxFrame bounds one message, in bytes: a configuration of 100,000 servers fits.
const MaxFrame = 16 << 20

// errProtocol is what a frame is that is none.
var errProtocol = errors.New("not a message of the helper's protocol")

// writeFrame sends v as one frame.
func writeFrame(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("send a message: %w", err)
	}
	if len(text) > MaxFrame {
		return fmt.Errorf("send a message of %d bytes: at most %d may be", len(text), MaxFrame)
	}
	frame := append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(text)), uint32(len(text))), text...)
	if _, err := w.Write(frame); err != nil {
		return fmt.Errorf("send a message: %w", err)
	}
	return nil
}

// readFrame receives one frame into v; io.EOF when the other side has ended between two.
func readFrame(r io.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return io.EOF
		}
		return fmt.Errorf("receive a message: %w", err)
	}
	size := binary.BigEndian.Uint32(head[:])
	if size == 0 || size > MaxFrame {
		return fmt.Errorf("%w: %d bytes", errProtocol, size)
	}
	// Grows with what arrives, not with what is announced.
	var text bytes.Buffer
	if n, err := io.CopyN(&text, r, int64(size)); err != nil {
		// not io.EOF, which is an end between two
		return fmt.Errorf("receive a message: %d of %d bytes: %v", n, size, err) //nolint:errorlint // see above
	}
	d := json.NewDecoder(&text)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %w", errProtocol, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("%w: something after the object", errProtocol)
	}
	return nil
}

// sendSocket sends an open socket behind a frame that announces it. The descriptor stays the caller's.
func sendSocket(conn net.Conn, fd int) error {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return errors.New("send a socket: not over a Unix socket")
	}
	if _, _, err := u.WriteMsgUnix([]byte{0}, unix.UnixRights(fd), nil); err != nil {
		return fmt.Errorf("send a socket: %w", err)
	}
	return nil
}

// receiveSocket receives what sendSocket sends; the caller closes it.
func receiveSocket(conn net.Conn) (*os.File, error) {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("%w: a socket, but not over a Unix socket", errProtocol)
	}
	one, rights := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	n, m, _, _, err := u.ReadMsgUnix(one, rights)
	if err != nil {
		return nil, fmt.Errorf("receive a socket: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:m])
	if err != nil || n != 1 || len(messages) != 1 {
		return nil, fmt.Errorf("%w: no socket behind the frame that announces it", errProtocol)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, fmt.Errorf("%w: no socket behind the frame that announces it", errProtocol)
	}
	unix.CloseOnExec(fds[0])
	return os.NewFile(uintptr(fds[0]), "received"), nil
}

// descriptor calls f with the descriptor below a connection, TLS or not.
func descriptor(conn net.Conn, f func(fd int) error) error {
	if wrapped, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = wrapped.NetConn()
	}
	s, ok := conn.(syscall.Conn)
	if !ok {
		return fmt.Errorf("%T has no descriptor", conn)
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = f(int(fd)) })
	return errors.Join(err, failed)
}
