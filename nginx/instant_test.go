package nginx

import (
	"os"
	"os/exec"
	"sync"
	"testing"
)

// At every instant the live file is one of those that were asked for, to the byte, and nginx -t passes: readers look at
// it without pause while it is being changed.
func TestEveryInstantTheFileIsWhole(t *testing.T) {
	b := newBed(t, "")
	a := b.applier(t)
	const changes = 12
	known := map[string]bool{b.text(1, 2): true}
	for i := range changes {
		known[b.text(2+i, 97)] = true
	}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	reads, tests := 0, 0
	readers.Go(func() {
		for {
			data, err := os.ReadFile(b.Config)
			if err != nil || !known[string(data)] {
				t.Errorf("read %d: got %v, file\n%s", reads, err, data)
				return
			}
			reads++
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	readers.Go(func() {
		for {
			if out, err := exec.Command(b.Binary, "-t", "-q", "-p", b.Dir, "-c",
				b.Config).CombinedOutput(); err != nil {
				t.Errorf("test %d: %v: %s", tests, err, out)
				return
			}
			tests++
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for i := range changes {
		if _, err := a.Apply(t.Context(), b.want(2+i, 97)); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	readers.Wait()
	if reads < 100 || tests < 3 {
		t.Errorf("only %d reads and %d tests", reads, tests)
	}
	t.Logf("%d reads and %d tests during %d changes", reads, tests, changes)
}
