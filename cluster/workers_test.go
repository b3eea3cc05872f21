package cluster

import (
	"strings"
	"testing"
)

func TestPanicOfAWorkerIsOneOfWhoWaits(t *testing.T) {
	for _, c := range []struct {
		name   string
		panics int
	}{
		{"nobody panics", 0},
		{"one of three panics, and the others end first", 1},
		{"all panic", 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			done := make([]bool, 3)
			defer func() {
				p, _ := recover().(*WorkerPanic)
				if (p != nil) != (c.panics > 0) {
					t.Fatalf("got %v, want a panic %t", p, c.panics > 0)
				}
				if p != nil && (!strings.Contains(p.Error(), "torn") || !strings.Contains(string(p.Stack),
					"workers_test.go")) {
					t.Errorf("got %v with the stack %s, want where it came from", p, p.Stack)
				}
				for i, d := range done {
					if d != (i >= c.panics) {
						t.Errorf("worker %d ended well: %t", i, d)
					}
				}
			}()
			var w workers
			for i := range done {
				w.Go(func() {
					if i < c.panics {
						panic("torn")
					}
					done[i] = true
				})
			}
			w.Wait()
		})
	}
}
