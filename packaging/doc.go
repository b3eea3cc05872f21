// Command packaging makes what is given out: packages for Debian and Red Hat, static binaries, a container image, checksums.
//
// It is a module of its own, so that nothing of what makes packages is linked into Trimtab. Every file in what it makes has the time of the
// commit, and every list is in order: two builds of one commit are the same, byte by byte. It builds nothing: scripts/packages.sh does, and
// names the folder with the binaries, man pages and completions.
package main
