// Package edge is the network-aware world of edge and cloud: clients and servers sit in regions, servers offer several
// models of different speed and accuracy, and every request wants an answer within a time and of an accuracy, or may be
// denied.
//
//	delay = matrix[client's region][server's region] · size in MB
//	answer after delay + wait for a slot + service of the model
//
//	score = (timely and correct + 0.7·only correct + 0.3·only timely − neither) / all requests, a denied one counting 0
//
// An answer is correct when the model's accuracy is at least the one that is wanted, timely when it comes within the
// time.
//
// A Policy places one request after the other (Place) and is told what became of them (Done). Play plays it in
// simulated time, Emulate against real HTTP servers on loopback, with the same requests. Policies are Random,
// RegionAware, Learner (a deep Q-network) and Believer, which is Trimtab's way for this world: it believes what it
// measures, predicts and takes the best. Nobody is told the matrix but RegionAware, who knows which region is near.
package edge
