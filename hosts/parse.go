package hosts

import (
	"bytes"
	"math"
	"strconv"
)

// counters are what is read of one page. Times are in s, sizes in bytes.
type counters struct {
	cpu, idle              float64 // of all processors
	memory, available      float64
	received, sent         float64 // of all interfaces but lo
	pressed                [3]float64
	hasCPU, hasMemory, net bool
	hasPressure            bool
}

// pressures are the names of what tasks waited for, in the order of counters.pressed.
var pressures = [3]string{"node_pressure_cpu_waiting_seconds_total", "node_pressure_memory_waiting_seconds_total",
	"node_pressure_io_waiting_seconds_total"}

// parse reads Prometheus's text format as far as it is needed here; lines that are not understood are passed over.
func parse(page []byte) (c counters) {
	for line := range bytes.Lines(page) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' || !bytes.HasPrefix(line, []byte("node_")) {
			continue
		}
		name, labels, value, ok := split(line)
		if !ok {
			continue
		}
		switch string(name) {
		case "node_cpu_seconds_total":
			c.cpu += value
			c.hasCPU = true
			if mode := label(labels, "mode"); mode == "idle" || mode == "iowait" || mode == "steal" {
				c.idle += value
			}
		case "node_memory_MemTotal_bytes":
			c.memory = value
		case "node_memory_MemAvailable_bytes":
			c.available, c.hasMemory = value, true
		case "node_network_receive_bytes_total":
			if label(labels, "device") != "lo" {
				c.received += value
				c.net = true
			}
		case "node_network_transmit_bytes_total":
			if label(labels, "device") != "lo" {
				c.sent += value
				c.net = true
			}
		default:
			for i, p := range pressures {
				if string(name) == p {
					c.pressed[i], c.hasPressure = value, true
				}
			}
		}
	}
	c.hasMemory = c.hasMemory && c.memory > 0
	return c
}

// split parts a line name{labels} value [time].
func split(line []byte) (name, labels []byte, value float64, ok bool) {
	end := bytes.IndexAny(line, "{ \t")
	if end <= 0 {
		return nil, nil, 0, false
	}
	name = line[:end]
	rest := line[end:]
	if rest[0] == '{' {
		close := closing(rest)
		if close < 0 {
			return nil, nil, 0, false
		}
		labels, rest = rest[1:close], rest[close+1:]
	}
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		return nil, nil, 0, false
	}
	value, err := strconv.ParseFloat(string(fields[0]), 64)
	if err != nil || math.IsNaN(value) || math.IsInf(value, 0) || value < 0 {
		return nil, nil, 0, false
	}
	return name, labels, value, true
}

// closing is where the labels end, outside of quotes; −1: nowhere.
func closing(text []byte) int {
	quoted := false
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && quoted:
			i++
		case text[i] == '"':
			quoted = !quoted
		case text[i] == '}' && !quoted:
			return i
		}
	}
	return -1
}

// label is the value of a label; empty: it is not there. Values that matter here have no escapes.
func label(labels []byte, name string) string {
	for len(labels) > 0 {
		eq := bytes.IndexByte(labels, '=')
		if eq < 0 || len(labels) < eq+2 || labels[eq+1] != '"' {
			return ""
		}
		key, rest := bytes.TrimSpace(labels[:eq]), labels[eq+2:]
		end := 0
		for end < len(rest) && rest[end] != '"' {
			if rest[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(rest) {
			return ""
		}
		if string(key) == name {
			return string(rest[:end])
		}
		labels = bytes.TrimLeft(rest[end+1:], ", ")
	}
	return ""
}
