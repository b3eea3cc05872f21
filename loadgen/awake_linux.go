package loadgen

import (
	"fmt"
	"io"
	"os"
)

// StayAwake keeps the idle processors of the machine from sleeping until the result is closed: they poll for work
// instead. Waking a sleeping one takes 30 to 100 µs and varies as much, and a virtual one has to wait for its turn on
// the host on top. Other processes lose nothing by it; the price is electricity. It is the interface of the kernel's
// power management for this (PM QoS), usually for root only.
func StayAwake() (io.Closer, error) {
	const path = "/dev/cpu_dma_latency"
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("keep processors awake: %w", err)
	}
	if _, err := f.Write(make([]byte, 4)); err != nil { // a latency of 0 µs, as long as the file is open
		f.Close()
		return nil, fmt.Errorf("keep processors awake: write %s: %w", path, err)
	}
	return f, nil
}
