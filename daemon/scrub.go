package daemon

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
)

// shortestSecret is how long a value has to be to count as a secret: replacing shorter ones would leave little of a
// text.
const shortestSecret = 4

// secrets are what a configuration holds of them: of the status page's address, its headers, and the password, the
// longest first.
func (c *Config) secrets() []string {
	var out []string
	add := func(s string) {
		if len(s) >= shortestSecret {
			out = append(out, s)
		}
	}
	if u, err := url.Parse(c.Status.URL); err == nil {
		if password, ok := u.User.Password(); ok {
			add(password)
			add(url.QueryEscape(password))
		}
		for _, values := range u.Query() {
			for _, v := range values {
				add(v)
				add(url.QueryEscape(v))
			}
		}
	}
	for name, value := range c.Status.Headers {
		if !strings.EqualFold(name, "Host") {
			add(value)
		}
	}
	add(c.password)
	slices.SortFunc(out, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	return slices.Compact(out)
}

// scrub is a text without the secrets of the configuration, whatever has put them there.
func (c *Config) scrub(text string) string {
	for _, s := range c.secrets() {
		text = strings.ReplaceAll(text, s, "…")
	}
	return text
}
