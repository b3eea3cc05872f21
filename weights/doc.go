// Package weights is the vocabulary of what Trimtab sets: the weight of one server, the setting of a server, of an
// upstream group and of all groups, and how shares become whole weights. It is the ground floor: it imports nothing of
// the project, and everything else may import it.
//
//	w := weights.Quantise([]float64{0.25, 0.5, 1}) // 1, 2, 4
package weights
