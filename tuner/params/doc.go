// Package params holds every tuned number of the tuner with its unit, its meaning and where it comes from, as tags of
// the fields of Params. All reads them; the test writes them to docs/lab/parameters.md; trimtab arena ablate sets each
// to other values and says what that does to latencies.
//
//	p := params.Default()
//	for _, d := range params.All() {
//		fmt.Println(d.Name, d.Of(p), d.Unit)
//	}
//	p, err := p.With("Headroom", 1.3)
//
// It holds neither what an operator configures beside them nor numbers of arithmetic, such as steps of a search.
package params
