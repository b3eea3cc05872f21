package tuner_test

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"testing"

	"trimtab/control"
	"trimtab/tuner"
	"trimtab/tuner/load"
	"trimtab/vts"
)

// TestRecordedPages learns recordings whose pages once ended in a panic: a histogram of one bound, and 50 ordinary
// servers.
func TestRecordedPages(t *testing.T) {
	for _, name := range []string{"one-bound-histogram.ndjson", "ordinary-50-2-25-1.ndjson"} {
		t.Run(name, func(t *testing.T) {
			file, err := vts.Open(filepath.Join("../../shared/cases/17-panics", name))
			if errors.Is(err, fs.ErrNotExist) {
				t.Skip("the recordings are not here: ", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			p, err := tuner.New(tuner.Config{Regimes: load.RegimeConfig{Observe: -1}})
			if err != nil {
				t.Fatal(err)
			}
			learned := 0
			for last := (*vts.Status)(nil); ; {
				st, err := file.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if last != nil {
					if s, err := vts.Delta(last, st); err == nil {
						p.Observe(s, control.InForce(s))
						if _, err := json.Marshal(p.Explain()); err != nil {
							t.Fatal(err)
						}
						learned++
					}
				}
				last = st
			}
			if learned < 3 {
				t.Errorf("%d intervals were learned, want at least 3", learned)
			}
		})
	}
}
