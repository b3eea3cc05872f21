package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"
)

func TestTheImageRunsAsNobodyOnAReadOnlyRoot(t *testing.T) {
	b := ready(t)
	archive := made(t, b)["trimtab-1.2.3+4+gabcdef-oci.tar"]
	dir := t.TempDir()
	for name, m := range tarMembers(t, bytes.NewReader(archive)) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if len(m.text) == 0 {
			continue // a folder
		}
		if err := os.WriteFile(path, m.text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	path, err := layout.FromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	index, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 2 {
		t.Fatalf("got %d images, want one for each architecture", len(manifest.Manifests))
	}
	for _, m := range manifest.Manifests {
		arch := m.Platform.Architecture
		img, err := index.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		file, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		c := file.Config
		if c.User != "65532:65532" || c.Entrypoint[0] != "/usr/bin/trimtab" || c.Cmd[0] != "tune" ||
			file.Architecture != arch || !file.Created.Equal(b.at) {
			t.Errorf("%s: got %+v", arch, c)
		}
		// What it writes is in volumes; the rest may be read-only.
		for _, volume := range []string{"/var/lib/trimtab", "/run/trimtab"} {
			if _, ok := c.Volumes[volume]; !ok {
				t.Errorf("%s: %s is no volume", arch, volume)
			}
		}
		layers, err := img.Layers()
		if err != nil || len(layers) != 1 {
			t.Fatalf("%s: got %d layers, %v, want one", arch, len(layers), err)
		}
		content, err := layers[0].Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		files := tarMembers(t, content)
		content.Close()
		if got := string(files["usr/bin/trimtab"].text); got != "a program for "+arch {
			t.Errorf("%s: got program %q", arch, got)
		}
		if state := files["var/lib/trimtab/"]; state.Uid != nobody || state.Mode&0o777 != 0o700 {
			t.Errorf("%s: the state's folder is of %d, mode %o", arch, state.Uid, state.Mode)
		}
		if program := files["usr/bin/trimtab"]; program.Uid != 0 || program.Mode&0o777 != 0o755 {
			t.Errorf("%s: the program is of %d, mode %o", arch, program.Uid, program.Mode)
		}
	}
}
