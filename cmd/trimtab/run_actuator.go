package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"trimtab/arena/testbed"
	"trimtab/control"
	"trimtab/nginx"
	"trimtab/nginx/dns"
	"trimtab/nginx/instance"
	"trimtab/weights"
)

// newActuatorFunc returns what changes the weights of a testbed, and how to end it.
type newActuatorFunc func(*testbed.Testbed) (control.Actuator, func(), error)

// actuatorFor is the way of the given kind, and where the testbed's upstreams ask for their weights.
func actuatorFor(ctx context.Context, kind string) (resolver string, _ newActuatorFunc, err error) {
	switch kind {
	case "reload":
		return "", testbedActuator, nil
	case "live":
		return "", liveTestbedActuator, nil
	case "dns":
	default:
		return "", nil, withCode(exitUsage, fmt.Errorf("--actuator %q: want reload, live or dns", kind))
	}
	binary, err := instance.Binary(ctx)
	if err != nil {
		return "", nil, withCode(exitConfig, err)
	}
	switch old, err := tooOld(ctx, binary); {
	case err != nil:
		return "", nil, withCode(exitConfig, err)
	case old != "":
		return "", nil, withCode(exitConfig, errors.New(old))
	}
	if resolver, err = freeResolver(); err != nil {
		return "", nil, withCode(exitConfig, err)
	}
	return resolver, func(bed *testbed.Testbed) (control.Actuator, func(), error) { return dnsActuator(bed, resolver) },
		nil
}

// freeResolver is a loopback address whose port is free for UDP and TCP.
func freeResolver() (string, error) {
	ports, err := instance.FreePorts(10)
	if err != nil {
		return "", err
	}
	for _, port := range ports {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if c, err := net.ListenPacket("udp", address); err == nil {
			return address, c.Close()
		}
	}
	return "", errors.New("find a free port: none is free for UDP and TCP")
}

// byDNS sets the weights of a testbed by DNS.
type byDNS struct{ *dns.Actuator }

var _ control.Actuator = byDNS{}

// Apply implements control.Actuator.
func (a byDNS) Apply(ctx context.Context, w weights.Set) (control.Receipt, error) {
	r, err := a.Actuator.Apply(ctx, nginx.SettingsOf(w))
	return control.Receipt{Changed: r.Changed, At: r.Confirmed, Took: r.Took}, withCode(applyCode(err), err)
}

// InForce implements control.Actuator.
func (a byDNS) InForce(ctx context.Context) (weights.Set, error) {
	now, err := a.Actuator.InForce(ctx)
	return nginx.SetOf(now), err
}

// dnsActuator answers a testbed's NGINX and sets its weights.
func dnsActuator(bed *testbed.Testbed, resolver string) (control.Actuator, func(), error) {
	status, closeStatus, err := freshStatus(bed.StatusURL, "")
	if err != nil {
		return nil, nil, err
	}
	store := dns.Store{Path: filepath.Join(bed.Dir, "state", "dns.json")}
	if _, _, err := store.Update(context.Background(), func(s *dns.State) (bool, error) {
		s.Upstreams = map[string]dns.Upstream{}
		for _, u := range bed.Scenario.Upstreams {
			var servers []dns.Peer
			for i, name := range u.Servers {
				weight := 1
				if i < len(u.Weights) {
					weight = u.Weights[i]
				}
				servers = append(servers, dns.Peer{Address: bed.Backends.Addr(name), Weight: weight, Base: weight})
			}
			s.Upstreams[u.Name] = dns.Upstream{Servers: servers}
		}
		return true, nil
	}); err != nil {
		return nil, nil, withCode(exitConfig, err)
	}
	server, err := dns.NewServer(dns.ServerConfig{Listen: resolver, Store: store})
	if err != nil {
		return nil, nil, withCode(exitConfig, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { _ = server.Run(ctx) })
	end := func() { cancel(); all.Wait(); closeStatus() }
	a, err := dns.New(dns.Config{Listen: resolver, Store: store, Status: status})
	if err == nil {
		err = awaitDNS(ctx, a)
	}
	if err != nil {
		end()
		return nil, nil, withCode(exitConfig, err)
	}
	return byDNS{a}, end, nil
}

// awaitDNS waits until NGINX goes by what it is told: until then it has asked in vain.
func awaitDNS(ctx context.Context, a *dns.Actuator) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := a.InForce(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("NGINX does not take its weights by DNS: %w", err)
		case <-tick.C:
		}
	}
}
