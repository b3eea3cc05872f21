package arena

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// PanicError is a panic of a policy or a world while a cell was played.
type PanicError struct {
	Value any
	Place string // file:line that panicked
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v (%s)", e.Value, e.Place) }

// newPanicError describes the panic that the calling deferred function has just recovered from.
func newPanicError(value any) *PanicError {
	e := &PanicError{Value: value, Place: "place unknown", Stack: debug.Stack()}
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	panicking := false
	for {
		f, more := frames.Next()
		inRuntime := strings.HasPrefix(f.Function, "runtime.")
		if panicking && !inRuntime {
			e.Place = fmt.Sprintf("%s:%d", f.File, f.Line)
			return e
		}
		panicking = panicking || inRuntime
		if !more {
			return e
		}
	}
}
