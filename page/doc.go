// Package page is the page on which a person sees a tuner work: live from a daemon or a run, or as a file with its data
// inside.
//
//	r := page.NewRecorder(page.About{Title: "trimtab tune", Version: version})
//	r.Step(page.Step{Sample: sample, Explanation: e, …}) // every control interval
//	mux.Handle("/", page.Handler(r, page.Options{}))
//	page.Write(w, r.Data())                              // the same page, for good
//
// A Recorder keeps the last state and a bounded history; what it takes does not grow with time. The page asks for what
// is new every interval. It is made of three files of this package and of uPlot, all of them inside the program: a
// browser needs nothing else. Names come from NGINX's configuration: they are put into the page as text alone.
//
// Changing anything is left to Options.Hold, and takes a token.
package page
