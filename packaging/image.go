package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// nobody is the user of the image: it reads no file of anyone and may write only into /var/lib/trimtab.
const nobody = 65532

// image writes an OCI archive with one image for each architecture.
func (b build) image() error {
	index := v1.ImageIndex(mutate.IndexMediaType(empty.Index, types.OCIImageIndex))
	for _, arch := range b.arches {
		img, err := b.imageOf(arch)
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{
			MediaType: types.OCIManifestSchema1, Platform: &v1.Platform{OS: "linux", Architecture: arch},
			Annotations: map[string]string{"org.opencontainers.image.ref.name": "trimtab:" + b.number()},
		}})
	}
	dir, err := os.MkdirTemp("", "trimtab-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if _, err := layout.Write(dir, index); err != nil {
		return err
	}
	return b.archive(dir, filepath.Join(b.out, "trimtab-"+b.number()+"-oci.tar"))
}

func (b build) imageOf(arch string) (v1.Image, error) {
	binary, err := os.ReadFile(b.static(arch))
	if err != nil {
		return nil, err
	}
	config, err := os.ReadFile(filepath.Join(b.in, "trimtab.toml"))
	if err != nil {
		return nil, err
	}
	files := b.tree([]entry{
		{name: "etc/", mode: 0o755}, {name: "etc/passwd", mode: 0o644,
			text: []byte(fmt.Sprintf("trimtab:x:%d:%d::/:/sbin/nologin\n", nobody, nobody))},
		{name: "etc/trimtab/", mode: 0o755}, {name: "etc/trimtab/trimtab.toml", mode: 0o644, text: config},
		{name: "run/", mode: 0o755}, {name: "run/trimtab/", mode: 0o700, owner: nobody}, {name: "tmp/", mode: 0o1777},
		{name: "usr/", mode: 0o755}, {name: "usr/bin/", mode: 0o755}, {name: "usr/bin/trimtab", mode: 0o755,
			text: binary},
		{name: "var/", mode: 0o755}, {name: "var/lib/", mode: 0o755}, {name: "var/lib/trimtab/", mode: 0o700,
			owner: nobody},
	})
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(files)), nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1),
		types.OCIConfigJSON), layer)
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(img, b.config(img, arch))
}

// config says how the image runs: as nobody, with the state in a volume, so that everything else may be read-only.
func (b build) config(img v1.Image, arch string) *v1.ConfigFile {
	file, err := img.ConfigFile()
	if err != nil {
		file = &v1.ConfigFile{}
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = "linux", arch, v1.Time{Time: b.at}
	file.Config = v1.Config{
		User: fmt.Sprintf("%d:%d", nobody, nobody), Entrypoint: []string{"/usr/bin/trimtab"}, Cmd: []string{"tune"},
		WorkingDir: "/tmp",
		Env:        []string{"PATH=/usr/bin"}, Volumes: map[string]struct{}{"/var/lib/trimtab": {}, "/run/trimtab": {}},
		Labels: map[string]string{"org.opencontainers.image.title": "trimtab",
			"org.opencontainers.image.version": b.number(), "org.opencontainers.image.licenses": "Apache-2.0"},
	}
	for i := range file.History {
		file.History[i].Created = v1.Time{Time: b.at}
	}
	return file
}

// entry is a file of an archive, or with a slash at its end a folder.
type entry struct {
	name  string
	mode  int64
	owner int
	text  []byte
}

// tree is a tar archive of the entries, as they come.
func (b build) tree(entries []entry) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: e.mode, Uid: e.owner, Gid: e.owner, ModTime: b.at, Typeflag: tar.TypeReg,
			Size: int64(len(e.text)), Format: tar.FormatUSTAR}
		if e.name[len(e.name)-1] == '/' {
			h.Typeflag = tar.TypeDir
		}
		_ = w.WriteHeader(h) // into memory: neither of them fails
		_, _ = w.Write(e.text)
	}
	_ = w.Close()
	return out.Bytes()
}

// archive puts a folder into one file.
func (b build) archive(dir, path string) error {
	var entries []entry
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		if d.IsDir() {
			entries = append(entries, entry{name: rel + "/", mode: 0o755})
			return nil
		}
		text, err := os.ReadFile(name)
		entries = append(entries, entry{name: rel, mode: 0o644, text: text})
		return err
	})
	if err != nil {
		return err
	}
	return os.WriteFile(path, b.tree(entries), 0o644)
}
