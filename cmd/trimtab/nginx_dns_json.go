package main

import "trimtab/nginx/dns"

// dnsInstallJSON says what was changed in NGINX's files for weights by DNS.
type dnsInstallJSON struct {
	Diff      string            `json:"diff"`
	Tested    bool              `json:"tested"`
	Written   bool              `json:"written"`
	Upstreams []string          `json:"upstreams"`
	Present   []string          `json:"present"`
	Skipped   []string          `json:"skipped"`
	Notes     []string          `json:"notes"`
	Names     map[string]string `json:"names"`
	State     string            `json:"state"`
}

// dnsShowJSON says what NGINX is told, and whether it goes by it.
type dnsShowJSON struct {
	State       *dns.State `json:"state"`
	Answered    bool       `json:"answered"`
	NotAnswered string     `json:"not_answered_because"`
	InForce     bool       `json:"in_force"`
	NotInForce  string     `json:"not_in_force_because"`
}
