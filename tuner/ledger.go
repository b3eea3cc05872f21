package tuner

import (
	"maps"

	"trimtab/weights"
)

// ledger says whose the weights of a group are.
type ledger struct {
	operator weights.Group // what the operator gave: what was found at the start, or set by somebody else since
	asked    weights.Group // what was committed last; nil: nothing
	inForce  weights.Group // what the last sample showed
}

// observe takes in what a sample shows in force and reports whether somebody else has changed it. Servers that come
// have the weight that the operator gave them, those that have gone are forgotten.
func (l *ledger) observe(now weights.Group) (edited bool) {
	was := l.inForce
	l.inForce = maps.Clone(now)
	switch {
	case was == nil:
		l.operator = maps.Clone(now)
		return false
	case !was.SameServers(now):
		follow(l.operator, now)
		if l.asked != nil {
			follow(l.asked, now)
		}
		for server, setting := range now {
			if before, known := was[server]; known && before != setting && !l.ours(server, setting) {
				edited = true
			}
		}
	default:
		edited = !now.Equal(was) && !now.Equal(l.asked)
	}
	if edited {
		l.operator, l.asked = maps.Clone(now), nil
	}
	return edited
}

func (l *ledger) ours(server string, s weights.Setting) bool {
	asked, ok := l.asked[server]
	return ok && asked == s
}

// follow makes settings that are kept have the servers that are there now.
func follow(kept, now weights.Group) {
	maps.DeleteFunc(kept, func(server string, _ weights.Setting) bool { _, there := now[server]; return !there })
	for server, setting := range now {
		if _, known := kept[server]; !known {
			kept[server] = setting
		}
	}
}
