// Package worlds generates scenarios from a seed: worlds that nobody has looked at, on which what was chosen on others
// is judged.
//
//	w := worlds.Random(17)
//	w.Scenario // valid and complete, named "random-17"
//	w.About    // what it is made of, in one line
//
// The same seed gives the same world. Every choice below is drawn by itself, so that all combinations occur.
//
// # Random
//
// Some 300 s of a few thousand requests at most per second, tenths of a second to simulate:
//
//   - 2 to 24 servers (log-uniform) of 1 to 64 slots: all equal; two generations (the new one with twice the slots, in
//     0.5 to 0.85 of the time); spread (slots and times each by a factor of e^±1.2 and e^±0.7); or noisy neighbours (a
//     third is 1.2 to 2.5 times slower and varies more).
//   - Mean service times of 4 to 250 ms, lognormal with a coefficient of variation of 0 (1 in 10), 0.1 to 1.7, or up to
//     2.5 (1 in 10).
//   - 1 to 3 groups on all servers, on a part of them each, or on servers of their own. Their classes of requests are
//     slow on the same servers (a common factor), or each server has its own factor e^±0.7 for each class.
//   - The level, 0.25 to 0.92, is what the busiest server is asked for at the worst instant when every group is split
//     in the best way, faults left out (deathstarbench.Scenario.Peak).
//   - Load: constant, steps, sine, night (nearly nothing, then morning), flash (a crowd within two seconds); the same
//     course for all groups or one of each kind. In 3 of 10 worlds of several groups their mix changes instead: another
//     class is the busy one every 25 to 80 s (mix), or each has bursts and silence of its own (bursts). Arrivals:
//     fixed, exp, norm or zipf.
//   - Regions in 3 of 10: servers have 0.3 to 60 ms of network delay by region, in a third of these by class too.
//   - Faults: none, slowdown, capacity, down, error, network_delay, gc (pauses of 1 to 3 s that recur on every second
//     server or on all), hang, shed; on at most a quarter of the servers, but for pauses.
//   - Weights at the start: equal, right (in proportion to capacity, largest 20) or wrong (drawn, reversed, or right in
//     another order). Deadlines and priorities given or left out. Control interval 2 or 3 s.
//
// # Recurring
//
// Two to three hours in which 3 or 4 regimes of load, 3 to 10 minutes each, return at least 6 times with a little
// difference every time. Each server is fast for one class of requests, 1.3 to 3 times as fast as for others, so that
// the weights that are best depend on which classes are busy. A busy regime asks the busiest server for 0.55 to 0.88 of
// its slots when every group is split in proportion to capacity. Four stories: office (mixes of the day and a quiet
// night), batch (a mix by day, one class alone by night), campaigns (which class is busy alternates, in an order of
// chance) and crowd (a nearly empty night, then everybody at once); in some of them deploys: one server after the other
// is slower for a while after a new version went out.
//
// # What it is not
//
// A model of any real site: no correlation between classes beyond their common course, no daily growth, no clients that
// try again. The distribution is wide rather than typical.
package worlds
