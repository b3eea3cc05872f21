// Package dns gives NGINX its upstream weights by DNS: since 1.27.3 the open-source server takes the servers of an
// upstream and their weights from SRV records, asks for them again every two seconds, and needs neither a reload nor a
// module.
//
//	upstream app {
//	    zone app 128k;
//	    resolver 127.0.0.1:5653 ipv6=off; resolver_timeout 1s;
//	    server app.trimtab service=http resolve;   # weights and servers come from here
//	    server 10.0.0.1:80 backup;                 # until the first answer, and should there never be one
//	}
//
// Model: State, a small file, holds what NGINX is to be told. Server answers from it, over loopback only; Actuator
// changes it and waits until the status page shows that NGINX goes by it, and takes the change back when it does not.
// Whoever else changes the file (trimtab nginx dns set, another daemon, a list of members) is answered from within
// moments.
//
// What keeps requests safe: a resolver that does not answer freezes NGINX's weights and breaks nothing. So whatever is
// not known for sure is answered SERVFAIL, never NXDOMAIN, which would empty the upstream. A list without a server that
// takes requests is refused before it is written.
//
// The package writes nothing into the operator's configuration: Plan says what to change there.
package dns
