package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Scenarios that once ended the program, or ended it without a word: they are played to the end.
func TestScenariosFromTheField(t *testing.T) {
	for _, c := range []struct{ name, file, seed string }{
		{"an index from a number that was none", "shop-long.toml", "4"},
		{"an end without a word", "shop-long.toml", "22"},
		{"a step of the load and a slowdown within a minute", "shop.toml", "1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join("../../../shared/cases/17-panics", c.file)
			if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
				t.Skip("the cases are not here: ", err)
			}
			out, errs := new(buffer), new(buffer)
			code := run(t.Context(), []string{"arena", path, "--policy", "tuned,least_conn/tuned", "--seeds", "1",
				"--seed", c.seed, "--json"}, out, errs)
			if code != 0 || out.String() == "" {
				t.Errorf("code %d, %q: %s", code, out, errs)
			}
		})
	}
}
