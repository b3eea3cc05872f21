// Package localhttp is what every HTTP server of Trimtab stands behind: it answers to this machine only, and a program
// on it that is slow, or a page in a browser on it, gets nowhere.
//
// Where: a Unix socket, with a mode and the users that may connect, or a TCP port on loopback. Requests must name this
// machine as their host, which a foreign page that had its name changed to 127.0.0.1 does not (DNS rebinding), and must
// not come from a page of another origin. Connections are bounded in number, silent ones in time.
//
// It does not know who may see what: on TCP every user of the machine may ask.
package localhttp
