package vts

import (
	"reflect"
	"testing"
	"time"
)

// Machines that say something are recorded with the status, and come back in the sample of the record.
func TestMachinesAreRecorded(t *testing.T) {
	talks := HostSample{Server: "10.0.0.1:80", CPU: 0.25, Memory: 0.5, Received: 1e6, Sent: 12.5, CPUPressure: 0.125,
		MemoryPressure: 0, IOPressure: 0.0625}
	for _, c := range []struct {
		name  string
		hosts []HostSample
	}{
		{"none", nil},
		{"one that tells all", []HostSample{talks}},
		{"one that tells nothing, beside it", []HostSample{talks, UnknownHost(`a"b`)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, after := testStatus(7), testStatus(8)
			after.Hosts, after.NowMsec, after.At = c.hosts, before.NowMsec+1000, before.At.Add(time.Second)
			var got [2]Status
			for i, st := range []*Status{before, after} {
				if err := DecodeRecord(AppendRecord(nil, st), &got[i]); err != nil {
					t.Fatal(err)
				}
			}
			s, err := Delta(&got[0], &got[1])
			if err != nil || !reflect.DeepEqual(s.Hosts, c.hosts) {
				t.Errorf("machines of the sample: got %+v, %v, want %+v", s.Hosts, err, c.hosts)
			}
		})
	}
	for _, c := range []struct{ name, line string }{
		{"machines that are no list", `{"now_ms":1,"hosts":{}}`},
		{"a machine that is no object", `{"now_ms":1,"hosts":[1]}`},
		{"a share below 0", `{"now_ms":1,"hosts":[{"server":"a","cpu":-1}]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := DecodeRecord([]byte(c.line), new(Status)); err == nil {
				t.Error("got no error")
			}
		})
	}
}
