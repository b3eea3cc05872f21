package nginx

import "trimtab/weights"

// SettingsOf returns the settings of a set of weights.
func SettingsOf(w weights.Set) Settings {
	out := make(Settings, len(w))
	for group, servers := range w {
		out[group] = make(map[string]Setting, len(servers))
		for server, s := range servers {
			out[group][server] = Setting{Weight: s.Weight.Int(), Down: s.Down}
		}
	}
	return out
}

// SetOf is the set of weights of settings.
func SetOf(s Settings) weights.Set {
	out := make(weights.Set, len(s))
	for group, servers := range s {
		out[group] = make(weights.Group, len(servers))
		for server, now := range servers {
			out[group][server] = weights.Setting{Weight: weights.Clamp(now.Weight), Down: now.Down}
		}
	}
	return out
}
