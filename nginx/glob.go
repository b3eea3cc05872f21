package nginx

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// glob lists the paths that match pattern as glob(3) does in the C locale: sorted by bytes, no leading dot matched by
// a wildcard, a missing folder matching nothing.
func glob(pattern string) ([]string, error) {
	if !strings.HasPrefix(pattern, "/") {
		return nil, os.ErrInvalid
	}
	found := []string{"/"}
	parts := strings.FieldsFunc(pattern, func(r rune) bool { return r == '/' })
	for i, part := range parts {
		last := i == len(parts)-1
		var next []string
		for _, dir := range found {
			if !strings.ContainsAny(part, "*?[\\") {
				path := filepath.Join(dir, part)
				if _, err := os.Lstat(path); err == nil {
					next = append(next, path)
				}
				continue
			}
			entries, err := os.ReadDir(dir)
			if err != nil {
				continue // glob(3) without GLOB_ERR passes over what it cannot read
			}
			for _, e := range entries {
				if !matchPart(part, e.Name()) {
					continue
				}
				path := filepath.Join(dir, e.Name())
				if !last {
					if info, err := os.Stat(path); err != nil || !info.IsDir() {
						continue
					}
				}
				next = append(next, path)
			}
		}
		found = next
	}
	slices.Sort(found)
	return found, nil
}

// matchPart matches one path component.
func matchPart(pattern, name string) bool {
	if strings.HasPrefix(name, ".") && !strings.HasPrefix(pattern, ".") {
		return false
	}
	// C negates a set with !, Go with ^.
	ok, err := filepath.Match(strings.ReplaceAll(pattern, "[!", "[^"), name)
	return err == nil && ok
}
