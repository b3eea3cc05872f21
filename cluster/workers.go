package cluster

import (
	"fmt"
	"runtime/debug"
	"sync"
)

// workers are goroutines whose panic, which nobody could recover from, becomes one of who waits for them.
type workers struct {
	group sync.WaitGroup
	mu    sync.Mutex
	panic *WorkerPanic // the first one
}

// WorkerPanic is what a worker panicked with.
type WorkerPanic struct {
	Value any
	Stack []byte // of the worker
}

func (p *WorkerPanic) Error() string { return fmt.Sprintf("in a worker: %v", p.Value) }

// workerPanic describes what the deferred function that calls it has just recovered; a panic of a worker's own worker
// stays what it is.
func workerPanic(v any) *WorkerPanic {
	if p, ok := v.(*WorkerPanic); ok {
		return p
	}
	return &WorkerPanic{Value: v, Stack: debug.Stack()}
}

// Go runs f in a goroutine.
func (w *workers) Go(f func()) {
	w.group.Go(func() {
		defer func() {
			if v := recover(); v != nil {
				w.mu.Lock()
				defer w.mu.Unlock()
				if w.panic == nil {
					w.panic = workerPanic(v)
				}
			}
		}()
		f()
	})
}

// Wait returns when all have ended.
func (w *workers) Wait() {
	w.group.Wait()
	if w.panic != nil {
		panic(w.panic)
	}
}
