//go:build linux

package loadgen

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// helper is a process of the test binary that answers with 64-bit numbers when its stdin ends.
type helper struct {
	line  string // the first one it printed
	stdin io.Closer
	out   *bufio.Reader
	cmd   *exec.Cmd
}

func startHelper(tb testing.TB, env ...string) *helper {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	h := &helper{stdin: stdin, out: bufio.NewReader(stdout), cmd: cmd}
	if h.line, err = h.out.ReadString('\n'); err != nil {
		tb.Fatal(err)
	}
	h.line = strings.TrimSpace(h.line)
	return h
}

// stop ends the process and returns its numbers.
func (h *helper) stop(tb testing.TB) []uint64 {
	tb.Helper()
	h.stdin.Close()
	data, err := io.ReadAll(h.out)
	if err = errors.Join(err, h.cmd.Wait()); err != nil {
		tb.Fatal(err)
	}
	values := make([]uint64, len(data)/8)
	for i := range values {
		values[i] = binary.LittleEndian.Uint64(data[8*i:])
	}
	return values
}

// runHelper runs what the environment makes of this process.
func runHelper() (ran bool, err error) {
	switch {
	case os.Getenv(recorderEnv) != "":
		return true, record(os.Stdin, os.Stdout)
	case os.Getenv(witnessEnv) != "":
		return true, witness(os.Stdin, os.Stdout)
	}
	return false, nil
}
