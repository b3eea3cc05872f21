// Package nginx reads the configuration of an NGINX, changes upstream weights in it and makes the change effective
// without ever breaking it.
//
// The promise: at every instant the live configuration passes `nginx -t` and differs from the operator's file in
// nothing but weight digits (and the word down, when ejection is switched on; and the digits of a limit_req_zone's rate
// that the operator named, see Applier.EditRates); after any crash each file is exactly the old one or exactly the new
// one.
//
//	ReadConfig  files → upstreams and peers with byte offsets and file:line
//	Config.Plan wanted Settings → the bytes that change, or a Refusal that says why not
//	Applier     lock, plan, validate the candidate, journal, replace, HUP, confirm, else restore
//	Watcher     notices an operator's edit
//
// Reading follows NGINX's own lexical rules byte for byte. Nothing is ever reformatted: an edit splices digits.
//
//	cfg, err := nginx.ReadConfig("/etc/nginx/nginx.conf")
//	plan, err := cfg.Plan(nginx.Settings{"backend": {"10.0.0.1:80": {Weight: 3}}}, nginx.PlanOptions{})
//	fmt.Print(plan.Diff())
//
// The package does not decide weights, does not start or stop NGINX and does not read status pages itself: what the
// status page says comes through StatusFunc.
package nginx
