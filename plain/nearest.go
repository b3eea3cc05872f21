package plain

import "slices"

// Nearest is the candidate that a misspelt word most likely means: the one with the fewest edits, at most a third of its letters and
// three, the first of several in alphabetical order; empty when none is that near.
func Nearest(word string, candidates []string) string {
	best, least := "", 4
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if d := edits(word, c); d < least && d <= max(1, len(c)/3) {
			best, least = c, d
		}
	}
	return best
}

// DidYouMean is " (did you mean x?)", or nothing when no candidate is near.
func DidYouMean(word string, candidates []string) string {
	if near := Nearest(word, candidates); near != "" && near != word {
		return " (did you mean " + near + "?)"
	}
	return ""
}

// edits is the number of letters to insert, remove, replace or swap with their neighbour that make b of a (optimal string alignment).
func edits(a, b string) int {
	var before, last []int
	now := make([]int, len(b)+1)
	for j := range now {
		now[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, now = last, now, make([]int, len(b)+1)
		now[0] = i
		for j := 1; j <= len(b); j++ {
			differ := 1
			if a[i-1] == b[j-1] {
				differ = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+differ)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
	}
	return now[len(b)]
}
