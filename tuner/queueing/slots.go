package queueing

// Slots are the numbers of slots, requests in service at once, that a server may be believed to have. Between two of
// them the waiting time differs by less than the noise of an interval.
var Slots = [...]float64{1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128}
