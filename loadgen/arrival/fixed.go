package arrival

// fixedGaps are all equal.
type fixedGaps struct{}

func (fixedGaps) Next() float64 { return 1 }
func (fixedGaps) CV() float64   { return 0 }

func (fixedGaps) CDF(x float64) float64 {
	if x < 1 {
		return 0
	}
	return 1
}
