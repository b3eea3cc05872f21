package cluster

import "math"

// Agreement says how far two labellings of the same intervals agree, whatever their labels are called.
type Agreement struct {
	// AdjustedRand is the adjusted Rand index (Hubert and Arabie 1985): 1 for equal partitions, 0 expected by chance.
	AdjustedRand float64 `json:"adjusted_rand"`
	// NormalisedMutualInformation is mutual information over the mean of the entropies: 1 for equal partitions, 0 for
	// independent ones.
	NormalisedMutualInformation float64 `json:"normalised_mutual_information"`
	// Homogeneity is 1 when every cluster holds intervals of one class only, Completeness when every class lies in
	// one cluster only (Rosenberg and Hirschberg 2007).
	Homogeneity  float64 `json:"homogeneity"`
	Completeness float64 `json:"completeness"`
	N            int     `json:"n"`
}

// Agree compares the clusters of n rows with their classes. It panics when the lengths differ.
func Agree[A, B comparable](clusters []A, classes []B) Agreement {
	if len(clusters) != len(classes) {
		panic("cluster: labellings of different lengths")
	}
	type pair struct {
		a A
		b B
	}
	both, as, bs := map[pair]int{}, map[A]int{}, map[B]int{}
	for i, a := range clusters {
		both[pair{a, classes[i]}]++
		as[a]++
		bs[classes[i]]++
	}
	n := float64(len(clusters))
	if n == 0 {
		return Agreement{}
	}
	pairs := func(c int) float64 { return float64(c) * float64(c-1) / 2 }
	// Sums over a map would differ in the last digits from run to run: sum integers, and entropies by count.
	var index, sumA, sumB float64
	joint, countsA, countsB := map[int]int{}, map[int]int{}, map[int]int{}
	for _, c := range both {
		index += pairs(c)
		joint[c]++
	}
	for _, c := range as {
		sumA += pairs(c)
		countsA[c]++
	}
	for _, c := range bs {
		sumB += pairs(c)
		countsB[c]++
	}
	agreement := Agreement{AdjustedRand: 1, NormalisedMutualInformation: 1, Homogeneity: 1, Completeness: 1,
		N: len(clusters)}
	expected := 0.0
	if len(clusters) > 1 {
		expected = sumA * sumB / pairs(len(clusters))
	}
	if most := (sumA + sumB) / 2; most != expected {
		agreement.AdjustedRand = (index - expected) / (most - expected)
	}
	hA, hB, hAB := entropyOfCounts(countsA, n), entropyOfCounts(countsB, n), entropyOfCounts(joint, n)
	mutual := max(0, hA+hB-hAB)
	if hA+hB > 0 {
		agreement.NormalisedMutualInformation = mutual / ((hA + hB) / 2)
	}
	if hB > 0 {
		agreement.Homogeneity = mutual / hB
	}
	if hA > 0 {
		agreement.Completeness = mutual / hA
	}
	return agreement
}

// entropyOfCounts is −Σ p log p, given how often each size of a class occurs, in the order of the sizes.
func entropyOfCounts(sizes map[int]int, n float64) float64 {
	var h float64
	for c := 1; c <= int(n); c++ {
		if times := sizes[c]; times > 0 {
			p := float64(c) / n
			h -= float64(times) * p * math.Log(p)
		}
	}
	return h
}
