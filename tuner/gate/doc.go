// Package gate judges whether a change of weights pays and is safe. Ingredients are judged by name: what the change is
// predicted to gain, for how long it has been so, what it costs while few changes are left (price.go), whether the last
// one has settled. Ejection of failing servers has its own rule (eject.go).
//
// Judging is separate from spending: only what was applied and confirmed is spent (Budget.Spend, State.Committed,
// Ejection.Committed).
package gate
