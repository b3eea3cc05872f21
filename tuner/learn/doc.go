// Package learn holds what experience says of each regime of load: the value of the few actions that there are (Q
// learning, one reward a visit), and how far the model of costs is off.
//
//	r := learn.NewRegime()
//	a := r.Choose()             // when the regime begins
//	r.Learn(a, reward, 0.1)     // when it has ended
//
// The package knows neither what an action does nor how a cost is measured.
package learn
