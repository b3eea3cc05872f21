package helper

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// MaxFrame bounds one message, in bytes.
const MaxFrame = 4 << 20

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
	if _, err := w.Write(append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(text)), uint32(len(text))), text...)); err != nil {
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
		return fmt.Errorf("receive a message: %d of %d bytes: %v", n, size, err) // not io.EOF, which is an end between two
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
