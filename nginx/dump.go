package nginx

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// CompareFiles checks that the configuration consists of the files that nginx -T reads.
func (a *Applier) CompareFiles(ctx context.Context, cfg *Config) error {
	theirs, err := a.dumpedFiles(ctx)
	if err != nil {
		return err
	}
	ours := make([]string, 0, len(cfg.Files))
	for _, f := range cfg.Files {
		ours = append(ours, f.Path)
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	for _, path := range theirs {
		if !slices.Contains(ours, path) {
			return fmt.Errorf("nginx -T reads %s, which was not found here", path)
		}
	}
	for _, path := range ours {
		if !slices.Contains(theirs, path) {
			return fmt.Errorf("%s was read here, but nginx -T does not read it", path)
		}
	}
	return nil
}

// dumpedFiles lists the files that nginx -T prints.
func (a *Applier) dumpedFiles(ctx context.Context) ([]string, error) {
	v := a.validator()
	out, errs, err := Output(ctx, v.timeout, v.binary, append(slices.Clone(v.args), "-T", "-q")...)
	if err != nil {
		if text := firstEmerg(string(errs)); text != "" && ctx.Err() == nil {
			return nil, fmt.Errorf("nginx -T: %s", text)
		}
		return nil, fmt.Errorf("run %s -T: %w", v.binary, err)
	}
	var files []string
	for line := range strings.Lines(string(out)) {
		if rest, ok := strings.CutPrefix(line, "# configuration file "); ok {
			// A prefix with a slash at its end makes NGINX print two.
			files = append(files, filepath.Clean(strings.TrimSuffix(strings.TrimSpace(rest), ":")))
		}
	}
	return files, nil
}
