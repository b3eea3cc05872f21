package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// shimmed starts an NGINX with an upstream, installs the status page as its operator would, and returns its URL.
func shimmed(t *testing.T) (b *initBed, page string) {
	t.Helper()
	b = newInitBed(t)
	listen := freeAddr(t)
	code, stdout, stderr := trimtab(t, "nginx", "shim", "install", "--dir", filepath.Join(b.Dir, "trimtab"), "--enable",
		b.folder, "--listen", listen, "-c", b.Config)
	if code != exitOK || !strings.Contains(stdout, "nginx -s reload -c "+b.Config) {
		t.Fatalf("got code %d, %s%s, want the command that makes it take effect, for this NGINX", code, stdout, stderr)
	}
	text, err := os.ReadFile(b.PIDFile())
	if err != nil {
		t.Fatal(err)
	}
	master, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(master, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	page = "http://" + listen + "/status/format/json"
	await(t, "the page", func() bool {
		r, err := http.Get(page)
		return err == nil && r.Body.Close() == nil && r.StatusCode == http.StatusOK
	})
	return b, page
}

// What operators do with nginx check and set beside the way that the documents show.
func TestE2ECheckAndSetGoByTheNGINXThatIsMeant(t *testing.T) {
	inThisNamespace(t)
	b, page := shimmed(t)
	_, others := shimmed(t)
	state := filepath.Join(t.TempDir(), "state")
	before, err := os.ReadFile(b.Config)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(b.Dir)
	check := func(more ...string) (int, string, string) {
		return trimtab(t, append([]string{"nginx", "check", "-c", "nginx.conf", "--prefix", b.Dir, "--state-dir",
			state}, more...)...)
	}
	t.Run("a relative -c is that of the folder", func(t *testing.T) {
		if code, out, errs := check("--status", page); code != exitOK || !strings.Contains(out, b.Config+": 2 files") {
			t.Errorf("got code %d, %s%s, want %s found well", code, out, errs, b.Config)
		}
	})
	t.Run("the probe of retries starts the nginx of --nginx", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		if code, out, errs := check("--status", page, "--nginx", b.Binary); code != exitOK ||
			!strings.Contains(out, "retries    probed") {
			t.Errorf("got code %d, %s%s, want the probe made though PATH has no nginx", code, out, errs)
		}
	})
	t.Run("the page of another NGINX does not pass", func(t *testing.T) {
		if code, out, _ := check("--status", others); code != exitRefused ||
			!strings.Contains(out, "FAIL  whose page") || !strings.Contains(out, "name the page of this NGINX") {
			t.Errorf("check: got code %d, %s, want %d and whose page it is", code, out, exitRefused)
		}
		server := strings.Fields(string(before)[strings.Index(string(before), "upstream app"):])[4]
		code, _, errs := trimtab(t, "nginx", "set", "-c", "nginx.conf", "--prefix", b.Dir, "--state-dir", state,
			"--status", others, "--upstream", "app", "--weight", strings.TrimSuffix(server, ";")+"=7")
		after, err := os.ReadFile(b.Config)
		if err != nil {
			t.Fatal(err)
		}
		if code != exitRefused || string(after) != string(before) || !strings.Contains(errs, "another process answers") {
			t.Errorf("set: got code %d, %s, file changed %t: want %d before anything is touched", code, errs,
				string(after) != string(before), exitRefused)
		}
	})
	t.Run("the next step has the flags of this one", func(t *testing.T) {
		bare := newInitBed(t) // where live weights are possible
		_, out, errs := trimtab(t, "nginx", "check", "-c", bare.Config, "--prefix", bare.Dir, "--state-dir", state)
		if want := "trimtab nginx live install -c " + bare.Config; !strings.Contains(out, want) {
			t.Errorf("got %s%s, want %q", out, errs, want)
		}
	})
}
