package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// build is what is made of what.
type build struct {
	root    string    // of the project
	in      string    // folder with trimtab-linux-ARCH, trimtab-pie-ARCH, man and completions
	out     string    // folder of the results
	version string    // as git describes it, such as v2.0.0-3-gabcdef
	at      time.Time // of the commit
	arches  []string  // that were built for
}

func main() {
	b := build{}
	flag.StringVar(&b.root, "root", ".", "folder of the project")
	flag.StringVar(&b.in, "in", "", "folder with what was built")
	flag.StringVar(&b.out, "out", "dist", "folder of the results")
	flag.StringVar(&b.version, "version", "", "version")
	man5 := flag.String("man5", "", "only write trimtab.toml(5) to this file")
	arches := flag.String("arch", "amd64 arm64", "architectures, separated by blanks")
	at := flag.Int64("time", 0, "seconds since 1970 that every file gets")
	flag.Parse()
	b.arches = strings.Fields(*arches)
	b.at = time.Unix(*at, 0).UTC()
	run := b.run
	if *man5 != "" {
		run = func() error { return b.man5(*man5) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "packaging:", err)
		os.Exit(1)
	}
}

func (b build) run() error {
	if b.in == "" || b.version == "" || b.at.Unix() == 0 {
		return errors.New("want -in, -version and -time")
	}
	if err := os.MkdirAll(b.out, 0o755); err != nil {
		return err
	}
	for _, arch := range b.arches {
		for _, format := range []string{"deb", "rpm"} {
			if err := b.pack(format, arch); err != nil {
				return fmt.Errorf("make %s for %s: %w", format, arch, err)
			}
		}
	}
	if err := b.image(); err != nil {
		return fmt.Errorf("make image: %w", err)
	}
	return nil
}

// number is the version as packages have it: without the v, and with signs that all of them take.
func (b build) number() string {
	v := strings.TrimPrefix(b.version, "v")
	if !strings.Contains(v, ".") {
		v = "0.0.0+" + v // a commit before the first tag
	}
	return strings.ReplaceAll(v, "-", "+")
}

// static is the program that needs nothing of the machine; pie the position-independent one of the packages, which needs
// its dynamic loader.
func (b build) static(arch string) string { return filepath.Join(b.in, "trimtab-linux-"+arch) }
func (b build) pie(arch string) string    { return filepath.Join(b.in, "trimtab-pie-"+arch) }
