package vts

import "regexp"

var (
	userInfo = regexp.MustCompile(`//[^/?#]*@`)
	secrets  = regexp.MustCompile(`([?&][^=&#]*)=[^&#]*`)
	anchor   = regexp.MustCompile(`#.*$`)
)

// Redact returns an address without what may be a secret in it: user and password, the values of its query, its
// fragment. It also takes addresses that cannot be parsed, so that errors about them may show it.
func Redact(address string) string {
	address = anchor.ReplaceAllString(address, "")
	address = userInfo.ReplaceAllString(address, "//…@")
	return secrets.ReplaceAllString(address, "$1=…")
}
