package loadgen

import (
	"runtime/debug"
	"testing"
)

// Attacks that overlap share the setting, the last one to end restores the process's own, and the user's GOGC is left
// alone.
func TestCollectionsAreRareOnlyWhileAttacksRun(t *testing.T) {
	own := debug.SetGCPercent(70)
	defer debug.SetGCPercent(own)
	percent := func() int {
		p := debug.SetGCPercent(1000)
		debug.SetGCPercent(p)
		return p
	}
	first := collectLess()
	during := percent()
	if most := 100 * garbageMost / leastHeap; during < 100 || during > most {
		t.Errorf("during an attack: got GOGC %d, want 100 to %d", during, most)
	}
	second := collectLess()
	first()
	if got := percent(); got != during {
		t.Errorf("one of two attacks ended: got GOGC %d, want %d", got, during)
	}
	second()
	if got := percent(); got != 70 {
		t.Errorf("all attacks ended: got GOGC %d, want 70", got)
	}
	t.Setenv("GOGC", "70")
	restore := collectLess()
	defer restore()
	if got := percent(); got != 70 {
		t.Errorf("with GOGC set by the user: got %d, want 70", got)
	}
}
