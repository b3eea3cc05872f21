package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"trimtab/nginx/instance"
)

// needNGINX skips the test when NGINX or its Lua module is not installed; make test installs them first.
func needNGINX(t *testing.T) {
	t.Helper()
	if err := checkTestbed(t.Context()); errors.Is(err, instance.ErrMissing) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
}

// buffer collects what a program prints, for reading while it runs.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// await polls until done is true; it fails the test when that takes longer than a minute.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited two minutes for %s", what)
		}
	}
}

// start runs the program in the background until the test ends or stop is called, which returns its exit code.
func start(t *testing.T, args ...string) (stdout, stderr *buffer, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	stdout, stderr = new(buffer), new(buffer)
	code := make(chan int, 1)
	go func() { code <- run(ctx, args, stdout, stderr) }()
	stop = sync.OnceValue(func() int { cancel(); return <-code })
	t.Cleanup(func() { stop() })
	return stdout, stderr, stop
}

// built is where binary put the program; empty when no test needed one.
var built string

// binary builds the program once for the tests that need a process of its own.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "trimtab-e2e-")
	if err != nil {
		return "", err
	}
	built = filepath.Join(dir, "trimtab")
	out, err := exec.Command("go", "build", "-o", built, ".").CombinedOutput()
	if err != nil {
		return "", errors.New(string(out))
	}
	return built, nil
})

func TestMain(m *testing.M) {
	// What run starts as a process of its own is this program.
	if os.Getenv("TRIMTAB_HELPER_FDS") != "" {
		main()
	}
	code := m.Run()
	if built != "" {
		os.RemoveAll(filepath.Dir(built))
	}
	os.Exit(code)
}

// processesOf returns the command lines of running processes that mention dir.
func processesOf(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, e := range entries {
		line, err := os.ReadFile(e)
		if err == nil && bytes.Contains(line, []byte(dir)) {
			found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}
