package tuner

import (
	"maps"

	"trimtab/weights"
)

// ledger says whose the weights of a group are.
type ledger struct {
	Operator weights.Group `json:"operator"`        // what was found at the start, or set by somebody else since
	Asked    weights.Group `json:"asked,omitempty"` // what was committed last; nil: nothing
	InForce  weights.Group `json:"in_force"`        // what the last sample showed
}

func (l *ledger) clone() ledger {
	return ledger{Operator: maps.Clone(l.Operator), Asked: maps.Clone(l.Asked), InForce: maps.Clone(l.InForce)}
}

// observe takes in what a sample shows in force and reports whether somebody else has changed it. Servers that come
// have the weight that the operator gave them, those that have gone are forgotten.
func (l *ledger) observe(now weights.Group) (edited bool) {
	was := l.InForce
	l.InForce = maps.Clone(now)
	switch {
	case was == nil:
		l.Operator = maps.Clone(now)
		return false
	case !was.SameServers(now):
		follow(l.Operator, now)
		if l.Asked != nil {
			follow(l.Asked, now)
		}
		for server, setting := range now {
			if before, known := was[server]; known && before != setting && !l.ours(server, setting) {
				edited = true
			}
		}
	default:
		edited = !now.Equal(was) && !now.Equal(l.Asked)
	}
	if edited {
		l.Operator, l.Asked = maps.Clone(now), nil
	}
	return edited
}

func (l *ledger) ours(server string, s weights.Setting) bool {
	asked, ok := l.Asked[server]
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
