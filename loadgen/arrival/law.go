package arrival

// Law names how a rate changes over time: constant, steps, ramp, sine, or other.
func Law(r Rate) string {
	switch r.(type) {
	case Constant:
		return "constant"
	case steps:
		return "steps"
	case *piecewise:
		return "ramp"
	case *Sine:
		return "sine"
	}
	return "other"
}
