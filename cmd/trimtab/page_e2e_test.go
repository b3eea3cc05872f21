package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"

	"trimtab/nginx"
	"trimtab/page/browse"
)

// The page of a daemon that is a process (two, as root), on a real NGINX under load, in Chromium: it shows what
// happens, says what is pinned, lists what was tuned and ordered, holds and goes on by the token, and comes back after
// a restart.
func TestE2EPageOfADaemonInABrowser(t *testing.T) {
	if _, err := binary(); err != nil { // which takes its time, and not the browser's
		t.Fatal(err)
	}
	browser := browse.New(t)
	b := startBed(t)
	b.pace = "300ms 100ms 3s"
	token := filepath.Join(b.dir, "page.token")
	if err := os.WriteFile(token, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := nginx.ReadConfig(b.NGINX.Config)
	if err != nil {
		t.Fatal(err)
	}
	upstream := cfg.Upstreams[0]
	pinned, drained := upstream.Peers[0].Label(), upstream.Peers[1].Label()
	b.configure(fmt.Sprintf("page_token_file = %q\n", token))
	text, err := os.ReadFile(b.config)
	if err != nil {
		t.Fatal(err)
	}
	text = fmt.Appendf(text, "[[upstream]]\nname = %q\n[[upstream.server]]\naddress = %q\npin = 0.1\n", upstream.Name,
		pinned)
	if err := os.WriteFile(b.config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	b.load()
	daemon, log := b.process("tune", "--config", b.config)
	await(t, "the page", func() bool { code, _ := b.get("/page/live"); return code == 200 })
	browser.Size(t, 1200, 900, false)
	browser.Run(t, chromedp.Navigate("http://"+b.listen+"/"))
	browser.Await(t, "the upstreams", `document.title.startsWith("Trimtab on ") &&
		document.querySelectorAll("#groups tbody tr").length > 0`)
	await(t, "a change", b.counted("trimtab_changes_total"))
	browser.Await(t, "the change", `/tuned/.test(document.querySelector("#change-list").innerText) &&
		document.querySelectorAll(".plot canvas").length === 4`)
	browser.Await(t, "the server that the configuration pins", fmt.Sprintf(
		`[...document.querySelectorAll("#servers tbody tr")].some((r) => r.cells[0].textContent === %q &&
		 r.cells[1].textContent.includes("pinned 10 %%"))`, pinned))
	before := browse.Eval[string](t, browser, `document.querySelector("#fresh").textContent`)
	browser.Await(t, "newer data", fmt.Sprintf(`document.querySelector("#fresh").textContent !== %q`, before))

	button := func(secret, id, want string) {
		t.Helper()
		browser.Run(t, chromedp.SetValue("#token", secret))
		browser.Await(t, "the button", fmt.Sprintf(`!document.querySelector(%q).disabled`, id))
		browser.Run(t, chromedp.Click(id))
		browser.Await(t, want, fmt.Sprintf(`document.querySelector("#hold-said").textContent === %q`, want))
	}
	button("guessed", "#hold-on", "the token is wrong")
	browser.Excuse("401")
	if _, err := os.Stat(filepath.Join(b.dir, "state", "hold")); err == nil {
		t.Error("a wrong token made the hold file")
	}
	// After a wrong one nobody's is looked at for a second.
	browser.Await(t, "the hold", `(() => { const said = document.querySelector("#hold-said").textContent;
		if (said === "Held.") return true;
		document.querySelector("#token").value = "s3cret";
		if (said !== "…") document.querySelector("#hold-on").click();
		return false; })()`)
	browser.Excuse("401")
	browser.Await(t, "why changes are held",
		`document.querySelector("#status-text").textContent.includes("hold file") &&
		 document.querySelector("#status-todo").textContent.length > 0`)

	if code, stdout, stderr := command(t.Context(), "drain", "--config", b.config, "--upstream", upstream.Name,
		"--server", drained,
		"--wait", "1s"); code != exitOK && code != exitReload {
		t.Fatalf("drain: code %d: %s%s", code, stdout, stderr)
	}
	browser.Await(t, "the order and its change", fmt.Sprintf(
		`/ordered/.test(document.querySelector("#change-list").innerText) &&
		 document.querySelector("#change-list").innerText.includes(%q) &&
		 document.querySelector("#rest").innerText.includes("drained")`,
		drained+" is drained"))

	b.signal(daemon, syscall.SIGTERM)
	browser.Await(t, "that nobody answers", `document.querySelector("#fresh").textContent.includes("does not answer")`)
	if err := daemon.Wait(); err != nil {
		t.Errorf("stopped: %v: %s", err, log)
	}
	b.process("tune", "--config", b.config)
	browser.Await(t, "the daemon after its restart",
		`document.querySelector("#fresh").textContent.startsWith("As of") &&
		 document.querySelector("#status-text").textContent.includes("hold file")`)
	browser.ExcuseStop()
	button("s3cret", "#hold-off", "Goes on.")
	browser.Await(t, "that changes pass", `!document.querySelector("#status-text").textContent.includes("hold file")`)
	browser.Faultless(t)
	if strings.Contains(log.String(), "s3cret") {
		t.Errorf("the token is in the log: %s", log)
	}
}
