// Package browse looks at a page in Chromium, for tests.
//
//	b := browse.New(t) // skips the test where there is no Chromium
//	b.Run(t, chromedp.Navigate("http://127.0.0.1:9146/"))
//	b.Await(t, "the upstreams", `document.querySelectorAll("#groups tbody tr").length === 3`)
//	b.Faultless(t)
//
// It needs Debian's package chromium, which scripts/setup-watch.sh installs. The program does not contain it.
package browse
