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
