// Package bus carries what a fleet says over NATS with JetStream: node and centre are clients, and the centre brings a
// server of its own unless others are given.
//
//	trimtab.sample.NODE             what a node saw; stream trimtab_samples
//	trimtab.decision                what the centre decided, quarantined or took back; stream trimtab_decisions
//	$KV.trimtab_plans.all           the plan for all nodes; node.NODE for one that has limits of its own
//	$KV.trimtab_members.NODE        what a node says of itself
//	$KV.trimtab_policy.student-N    policy version N
//	$KV.trimtab_beliefs.snapshot    what the centre has learned
//	$KV.trimtab_lease.centre        which centre plans
//	$KV.trimtab_status.centre       where the fleet stands
//
// Every message is at least once; the samples' message id (node.boot.number) removes what is sent twice within two
// minutes, and the Auditor of package fleet the rest. A node holds at most MostWaiting samples that could not be sent,
// none older than a minute.
//
// Identity is a certificate of the fleet's own authority (Keys): its common name is the node's, its unit the role. A
// node may publish its own subjects and read plans, and nothing else (Permissions).
package bus
