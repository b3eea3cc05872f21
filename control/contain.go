package control

import (
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
)

// Panic is what somebody panicked with.
type Panic struct {
	Value any
	Place string // the statement, as "folder/file.go:12"
	Stack []byte
}

func (p *Panic) Error() string { return fmt.Sprintf("panic at %s: %v", p.Place, p.Value) }

// Contain calls f and turns its panic into an error that is ErrInternal and a *Panic.
func Contain(f func()) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: %w", ErrInternal, &Panic{Value: v, Place: panicPlace(), Stack: debug.Stack()})
		}
	}()
	f()
	return nil
}

// panicPlace is the statement that panicked, for a deferred function that has just recovered: the first frame below the
// runtime's own ones.
func panicPlace() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	panicking := false
	for {
		f, more := frames.Next()
		own := strings.HasPrefix(f.Function, "runtime.")
		if panicking && !own {
			dir, file := filepath.Split(f.File)
			return fmt.Sprintf("%s:%d", filepath.Join(filepath.Base(dir), file), f.Line)
		}
		panicking = panicking || f.Function == "runtime.gopanic"
		if !more {
			return "an unknown place"
		}
	}
}
