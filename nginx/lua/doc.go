// Package lua holds the Lua sources that Trimtab brings to NGINX and renders the snippets that load them: the status
// shim, which serves the page of nginx-module-vts on a stock NGINX (Status), and live weights, which change
// without a reload (Live). It writes no files and talks to no NGINX; package nginx/live and cmd/trimtab do.
package lua
