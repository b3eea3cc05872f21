package vts

import "strconv"

// field is a figure of a HostSample with its key in a record.
type field struct {
	key string
	of  func(*HostSample) *float64
}

// hostFields are all figures of a HostSample. Those that a machine does not tell (−1) are left out of records.
func hostFields() []field {
	return []field{
		{"cpu", func(h *HostSample) *float64 { return &h.CPU }},
		{"memory", func(h *HostSample) *float64 { return &h.Memory }},
		{"received_bytes_per_s", func(h *HostSample) *float64 { return &h.Received }},
		{"sent_bytes_per_s", func(h *HostSample) *float64 { return &h.Sent }},
		{"cpu_pressure", func(h *HostSample) *float64 { return &h.CPUPressure }},
		{"memory_pressure", func(h *HostSample) *float64 { return &h.MemoryPressure }},
		{"io_pressure", func(h *HostSample) *float64 { return &h.IOPressure }},
	}
}

// UnknownHost is what is known of the machine of a server that has said nothing.
func UnknownHost(server string) HostSample {
	h := HostSample{Server: server}
	for _, f := range hostFields() {
		*f.of(&h) = -1
	}
	return h
}

func appendHosts(dst []byte, hosts []HostSample) []byte {
	dst = append(dst, `,"hosts":[`...)
	for i := range hosts {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"server":`...)
		dst = appendString(dst, hosts[i].Server)
		for _, f := range hostFields() {
			if v := *f.of(&hosts[i]); v >= 0 {
				dst = append(dst, `,"`...)
				dst = append(dst, f.key...)
				dst = append(dst, `":`...)
				dst = strconv.AppendFloat(dst, v, 'g', -1, 64)
			}
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// recordHosts reads what appendHosts wrote; a machine without a name is left out.
func (s *scanner) recordHosts() (out []HostSample) {
	fields := hostFields()
	s.expect('[')
	for first := true; s.more(first); first = false {
		h := UnknownHost("")
		s.expect('{')
		for first := true; ; first = false {
			key, ok := s.key(first)
			if !ok {
				break
			}
			if string(key) == "server" {
				h.Server = string(s.str())
				continue
			}
			known := false
			for _, f := range fields {
				if f.key == string(key) {
					*f.of(&h), known = s.float(), true
				}
			}
			if !known {
				s.skip()
			}
		}
		if s.err != nil {
			return nil
		}
		if h.Server != "" {
			out = append(out, h)
		}
	}
	return out
}
