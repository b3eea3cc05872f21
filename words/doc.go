// Package words says in plain words what the tuner decided, in log lines, trimtab explain, tables and pages alike:
// shares in percent and times in milliseconds, not weights and costs.
//
//	words.Change(was, now, explanation)  "b: 20 → 9 % of compose_backend; expected p99 310 → 45 ms; b saturates at 160/s"
//	words.Hold(pool, budget)             "no change: 13 % better expected, 20 % needed while 2 of 6 changes are left"
//
// It makes words of data and decides nothing. Names are shown as package plain shows them.
package words
