// Package setup finds out what a machine has and makes the first configuration for it.
//
// Find looks for running NGINX masters in /proc: their binary, configuration, prefix, version, the addresses they listen on, and whether
// they run in a container, in which case their files are not those of this machine. Pages tries the addresses for a status page. Text
// writes a configuration of what was found. A Record holds what was made, so that it can be taken back: files are put back only where
// nobody has changed them since.
//
// It changes nothing of NGINX; who calls it does.
package setup
