//go:build !linux

package loadgen

import (
	"errors"
	"io"
)

// StayAwake is supported on Linux only.
func StayAwake() (io.Closer, error) {
	return nil, errors.New("keep processors awake: supported on Linux only")
}
