package nginx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestUntrustedPathsAreRefusedWithTheRemedy(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, a *Applier)
		says  string
	}{
		{"a configuration that everyone may write", func(t *testing.T, a *Applier) { chmod(t, a.Config, 0o666) },
			"chmod o-w "},
		{"its folder", func(t *testing.T, a *Applier) { chmod(t, filepath.Dir(a.Config), 0o777) }, "chmod o-w "},
		{"the state folder", func(t *testing.T, a *Applier) {
			if err := os.MkdirAll(a.StateDir, 0o700); err != nil {
				t.Fatal(err)
			}
			chmod(t, a.StateDir, 0o777)
		}, "chmod "},
		{"the binary", func(t *testing.T, a *Applier) {
			a.Binary = filepath.Join(t.TempDir(), "nginx")
			write(t, a.Binary, "#!/bin/sh\nexit 0\n")
			chmod(t, a.Binary, 0o777)
		}, "binary: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "etc")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "nginx.conf")
			write(t, path, "http { upstream u { server 10.0.0.1; server 10.0.0.2; } }\n")
			a := &Applier{Config: path, StateDir: filepath.Join(t.TempDir(), "state"), NoReload: true}
			c.spoil(t, a)
			_, err := a.Apply(t.Context(), Settings{"u": {"10.0.0.1:80": w(2)}})
			if refusal := (*Refusal)(nil); !errors.As(err, &refusal) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want a refusal with %q", err, c.says)
			}
			if text, err := os.ReadFile(path); err != nil || strings.Contains(string(text), "weight") {
				t.Errorf("got %s, %v: something was changed", text, err)
			}
		})
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// A journal that somebody planted has no file written or removed outside the configuration.
func TestPlantedJournal(t *testing.T) {
	for _, c := range []struct {
		name       string
		real, temp string // %s: a folder that is not the configuration's
	}{
		{"a file of somebody else", "%s/victim", "%s/.trimtab-x"},
		{"a temporary file that is none of Trimtab's", "", "%s/victim"},
		{"a temporary file with another name", "", "victim"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conf, other := t.TempDir(), t.TempDir()
			path, victim := filepath.Join(conf, "nginx.conf"), filepath.Join(other, "victim")
			write(t, path, "http { upstream u { server 10.0.0.1; server 10.0.0.2; } }\n")
			write(t, victim, "precious")
			a := &Applier{Config: path, StateDir: filepath.Join(t.TempDir(), "state"), NoReload: true}
			old, err := a.keep([]byte("evil"))
			if err != nil {
				t.Fatal(err)
			}
			real, temp := path, filepath.Join(conf, c.temp)
			if c.real != "" {
				real = fmt.Sprintf(c.real, other)
			}
			if strings.Contains(c.temp, "%s") {
				temp = fmt.Sprintf(c.temp, other)
			}
			live, err := os.ReadFile(real)
			if err != nil {
				t.Fatal(err)
			}
			j := &journal{Phase: phaseReload, Config: path,
				Files: []journalFile{{Path: real, Real: real, Temp: temp, Old: hashOf([]byte("evil")),
					New: hashOf(live)}}}
			if err := a.writeJournal(j); err != nil {
				t.Fatal(err, old)
			}
			if rec, err := a.Recover(t.Context()); rec != nil || err != nil {
				t.Errorf("got %+v, %v, want nothing to recover", rec, err)
			}
			if text, err := os.ReadFile(victim); err != nil || string(text) != "precious" {
				t.Errorf("got %q, %v in the file that was not meant", text, err)
			}
			if aside, _ := filepath.Glob(a.StateDir + "/" + journalName + ".unreadable-*"); len(aside) != 1 {
				t.Errorf("got %v, want the journal put aside", aside)
			}
		})
	}
}
