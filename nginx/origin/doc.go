// Package origin says which process is at the other end of a connection within this machine, so that a page is known to
// be that of the NGINX that is changed, and a token is sent to nobody else.
//
// A TCP connection is looked up in the kernel's table of sockets (/proc/net/tcp), which has the far end's number and
// user, and the number among the open files of the processes that it may belong to. A Unix socket carries the process
// that began to listen. Both mean the connection at hand, not whoever listens on that port now. The far end must have
// been accepted: ask once something has been read from the connection.
//
// It does not see through proxies, and not into other network namespaces or machines: there, ErrElsewhere is returned.
package origin
