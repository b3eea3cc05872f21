package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"trimtab/cluster/draw"
)

// plot draws the page in the format of the path's extension.
func (a *analysis) plot(w io.Writer, path string) error {
	mix := a.model.Mixture
	page := draw.Page{
		Title: fmt.Sprintf("%d regimes in %d intervals, %d features, %s covariance", mix.K, len(a.assigned), mix.D,
			mix.Covariance),
		Model: a.model, X: a.x, Assigned: a.assigned, Intervals: a.intervals, Curve: a.curve,
		Transitions: a.transitions,
	}
	return draw.Write(w, plotFormat(path), page)
}

func plotFormat(path string) string {
	return strings.ToLower(strings.TrimPrefix(filepath.Ext(path), "."))
}
