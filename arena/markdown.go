package arena

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"trimtab/plain"
)

// RewriteMarkdown replaces what stands between the marks <!-- name:begin --> and <!-- name:end --> of a file. The file
// is replaced as a whole or not at all.
func RewriteMarkdown(path, name string, text []byte) error {
	begin, end := "<!-- "+name+":begin -->", "<!-- "+name+":end -->"
	old, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("rewrite the tables: %w", err)
	}
	before, rest, ok := bytes.Cut(old, []byte(begin))
	_, after, ended := bytes.Cut(rest, []byte(end))
	if !ok || !ended {
		return fmt.Errorf("rewrite the tables in %s: the marks %s and %s are missing", path, begin, end)
	}
	var b bytes.Buffer
	b.Write(before)
	b.WriteString(begin + "\n\n")
	b.Write(bytes.TrimSpace(text))
	b.WriteString("\n\n" + end)
	b.Write(after)
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("rewrite the tables: %w", err)
	}
	return replaceFile(path, b.Bytes(), info.Mode().Perm())
}

// proseColumns is where lines of prose in documents end.
const proseColumns = 120

// MarkdownProse breaks a paragraph into the lines of a document.
func MarkdownProse(text string) string {
	return strings.ReplaceAll(plain.Wrap(text, proseColumns), "\n  ", "\n") // no indent: it is no list
}

// replaceFile writes a file whole or not at all.
func replaceFile(path string, text []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(text)
	if e := f.Chmod(mode); err == nil {
		err = e
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
