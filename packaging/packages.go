package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm"
)

// pack makes one package.
func (b build) pack(format, arch string) error {
	info := &nfpm.Info{
		Name: "trimtab", Arch: arch, Platform: "linux", Version: b.number(), VersionSchema: "none", Section: "net",
		Priority:   "optional",
		Maintainer: "Trimtab maintainers <trimtab@localhost>", License: "Apache-2.0", MTime: b.at,
		DisableGlobbing: true,
		Description: "tunes the upstream weights of NGINX while it serves traffic\n" +
			"A daemon that observes the status page of an open-source NGINX, learns what its\nservers can do, and " +
			"sets the weights that pay; with a load generator and a testbed.",
		Overridables: nfpm.Overridables{Contents: b.contents(format, arch), Scripts: nfpm.Scripts{
			PostInstall: b.path("packaging/deb/postinst"), PreRemove: b.path("packaging/deb/prerm"),
			PostRemove: b.path("packaging/deb/postrm"),
		}},
	}
	info.RPM.BuildHost = "localhost"
	info.RPM.Summary = "Tunes the upstream weights of NGINX while it serves traffic"
	if format == "deb" {
		info.Depends = []string{"libc6", "passwd"} // libc6 has the loader
		info.Recommends = []string{"nginx", "libnginx-mod-http-lua"}
		info.Deb.Scripts.Templates = b.path("packaging/deb/templates")
	}
	info = nfpm.WithDefaults(info)
	packager, err := nfpm.Get(format)
	if err != nil {
		return err
	}
	if err := nfpm.PrepareForPackager(info, format); err != nil {
		return err
	}
	out, err := os.Create(filepath.Join(b.out, packager.ConventionalFileName(info)))
	if err != nil {
		return err
	}
	defer out.Close()
	if err := packager.Package(info, out); err != nil {
		return err
	}
	return out.Close()
}

func (b build) path(name string) string { return filepath.Join(b.root, name) }

// contents are the files of a package.
func (b build) contents(format, arch string) files.Contents {
	var list files.Contents
	add := func(from, to, kind string, mode os.FileMode) {
		list = append(list, &files.Content{Source: from, Destination: to, Type: kind,
			FileInfo: &files.ContentFileInfo{Mode: mode, MTime: b.at, Owner: "root", Group: "root"}})
	}
	add(b.pie(arch), "/usr/bin/trimtab", "", 0o755)
	add(filepath.Join(b.in, "trimtab.service"), "/usr/lib/systemd/system/trimtab.service", "", 0o644)
	add(filepath.Join(b.in, "trimtab.toml"), "/etc/trimtab/trimtab.toml", files.TypeConfigNoReplace, 0o644)
	for _, name := range []string{"README.md", "CHANGELOG.md", "LICENSE", "THIRD_PARTY_NOTICES"} {
		add(b.path(name), "/usr/share/doc/trimtab/"+name, "", 0o644)
	}
	if format == "deb" {
		add(b.path("packaging/deb/copyright"), "/usr/share/doc/trimtab/copyright", "", 0o644)
	}
	add(b.path("scripts/trimtab.toml"), "/usr/share/doc/trimtab/examples/trimtab.toml", "", 0o644)
	for _, name := range []string{"compose.yaml", "kubernetes.yaml"} {
		add(b.path("packaging/examples/"+name), "/usr/share/doc/trimtab/examples/"+name, "", 0o644)
	}
	man, _ := filepath.Glob(filepath.Join(b.in, "man", "*.gz"))
	for _, page := range man {
		name := filepath.Base(page)
		section := strings.TrimSuffix(name, ".gz")
		add(page, "/usr/share/man/man"+section[len(section)-1:]+"/"+name, "", 0o644)
	}
	zsh := "/usr/share/zsh/vendor-completions/_trimtab"
	if format == "rpm" {
		zsh = "/usr/share/zsh/site-functions/_trimtab"
	}
	add(filepath.Join(b.in, "completion.bash"), "/usr/share/bash-completion/completions/trimtab", "", 0o644)
	add(filepath.Join(b.in, "completion.zsh"), zsh, "", 0o644)
	add(filepath.Join(b.in, "completion.fish"), "/usr/share/fish/vendor_completions.d/trimtab.fish", "", 0o644)
	return list
}
