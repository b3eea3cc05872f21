package dns

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"trimtab/nginx"
)

// Config says how weights are set.
type Config struct {
	Listen string // where the server answers; empty: DefaultListen
	Zone   string // empty: DefaultZone
	Store  Store
	// Status shows what NGINX's balancers go by. nil, or a page that does not know weights: a change counts as made
	// when NGINX has asked for it, which proves less, and the receipt says so.
	Status nginx.StatusFunc
	// Valid is how long NGINX goes by an answer; 0 means the 2 s that follow from the time to live of 1 s. Confirm is
	// how long after that a change may take to show; 0 means 1 s.
	Valid, Confirm time.Duration
}

// Actuator sets weights by DNS. It may be used from several goroutines and processes.
type Actuator struct {
	cfg  Config
	zone string
	turn chan struct{} // holds one change at a time: a second would see the first one's weights, or hide them
}

// defaultValid follows from serversTTL: NGINX asks one second after the time to live is over.
const defaultValid = (serversTTL + 1) * time.Second

// New checks cfg; it asks nobody.
func New(cfg Config) (*Actuator, error) {
	if cfg.Listen == "" {
		cfg.Listen = DefaultListen
	}
	if cfg.Valid == 0 {
		cfg.Valid = defaultValid
	}
	if cfg.Confirm == 0 {
		cfg.Confirm = time.Second
	}
	if _, err := loopback(cfg.Listen); err != nil {
		return nil, err
	}
	z, err := cleanZone(cfg.Zone)
	if err != nil {
		return nil, err
	}
	return &Actuator{cfg: cfg, zone: z, turn: make(chan struct{}, 1)}, nil
}

// State returns what NGINX is told.
func (a *Actuator) State() (*State, error) { return a.cfg.Store.Read() }

// Apply sets the weights of the servers named in want and leaves all others alone. It returns when the status page
// shows them. It fails with a *nginx.Refusal when nothing was changed, and with a *nginx.RollbackError when NGINX was
// not seen to take the change, which is then taken back. Once written, a change is finished or taken back whatever ctx
// says.
func (a *Actuator) Apply(ctx context.Context, want nginx.Settings) (nginx.Receipt, error) {
	return a.Change(ctx, slices.Sorted(maps.Keys(want)), func(s *State) (bool, error) { return s.Set(want) })
}

// Change is Apply for any change of the state; names are the upstreams that it is about.
func (a *Actuator) Change(ctx context.Context, names []string, change func(*State) (bool, error)) (nginx.Receipt,
	error) {
	began := time.Now()
	r := nginx.Receipt{Weights: nginx.Settings{}}
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		return r, context.Cause(ctx)
	}
	err := a.change(ctx, names, change, &r)
	r.Took = time.Since(began)
	if refusal := (*nginx.Refusal)(nil); errors.As(err, &refusal) && !r.Changed {
		r.Refused = refusal.Reason
	}
	return r, err
}

func (a *Actuator) change(ctx context.Context, names []string, change func(*State) (bool, error),
	r *nginx.Receipt) error {
	about, err := Ask(ctx, a.cfg.Listen, a.zone)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return &nginx.Refusal{Reason: err.Error(), RetryAfter: time.Second}
	}
	if err := a.usable(ctx, names); err != nil {
		return err
	}
	before, after, err := a.cfg.Store.Update(ctx, change)
	if err != nil {
		return err
	}
	r.Weights = after.Settings(names...)
	if after.Serial == before.Serial {
		return nil
	}
	// From here on the change is finished or taken back.
	ctx = context.WithoutCancel(ctx)
	written := time.Now()
	err = a.answered(ctx, after.Serial, about)
	if err == nil {
		err = a.seen(ctx, after, names, written, r)
	}
	if err != nil {
		restore := a.takeBack(ctx, before, after, names)
		r.Weights = before.Settings(names...)
		return &nginx.RollbackError{Cause: err, Restore: restore}
	}
	r.Changed, r.Confirmed = true, time.Now()
	return nil
}

// usable refuses upstreams that NGINX does not take from DNS, as far as the status page shows it: there the answer
// would never be seen.
func (a *Actuator) usable(ctx context.Context, names []string) error {
	if a.cfg.Status == nil {
		return nil
	}
	page, err := a.cfg.Status(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", nginx.ErrStatus, err)
	}
	for _, name := range names {
		if _, ok := page.Upstreams[name]; !ok {
			return refuse("the status page does not show upstream %q", name)
		}
	}
	return nil
}

// answered waits until the server answers from a serial.
func (a *Actuator) answered(ctx context.Context, serial uint64, before About) error {
	err := poll(ctx, 2*rescan+time.Second, func(ctx context.Context) error {
		about, err := Ask(ctx, a.cfg.Listen, a.zone)
		if err == nil && about.Serial < serial {
			err = fmt.Errorf("it still answers from serial %d, not %d", about.Serial, serial)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("the DNS server (%s) did not take the change: %w", before.About, err)
	}
	return nil
}

// errUnknown: the page does not know weights.
var errUnknown = errors.New("the status page does not know weights")

// seen waits until NGINX is seen to go by the state.
func (a *Actuator) seen(ctx context.Context, st *State, names []string, written time.Time, r *nginx.Receipt) error {
	return poll(ctx, a.cfg.Valid+a.cfg.Confirm, func(ctx context.Context) error {
		err := errUnknown
		if a.cfg.Status != nil {
			page, failed := a.cfg.Status(ctx)
			if failed != nil {
				return failed
			}
			err = shows(page, st, names)
		}
		if !errors.Is(err, errUnknown) {
			return err
		}
		for _, name := range names {
			at, err := LastAsked(ctx, a.cfg.Listen, a.zone, name)
			if err != nil {
				return err
			}
			// NGINX asks for the addresses and puts the list in force in the moment after the answer.
			if !at.After(written) || time.Since(at) < settleTime {
				return fmt.Errorf("NGINX has not asked for upstream %q since the change", name)
			}
		}
		r.Notes = append(r.Notes,
			"no status page shows weights: that NGINX goes by them is known only from its having asked for them")
		return nil
	})
}

// settleTime is what NGINX is given from the answer until its list is in force, where nothing shows that.
const settleTime = 50 * time.Millisecond

// shows reports why the page does not show the state; errUnknown where it cannot.
func shows(page nginx.Status, st *State, names []string) error {
	for _, name := range names {
		shown := map[string]nginx.PeerStatus{}
		for _, p := range page.Upstreams[name] {
			if p.Weight == 0 && p.Server != name {
				return errUnknown
			}
			if was, twice := shown[p.Server]; !twice || was.Backup {
				shown[p.Server] = p
			}
		}
		for _, o := range st.Upstreams[name].Servers {
			p, there := shown[o.Address]
			// What is left out may still be there as the static line that stands in for the first second.
			switch primary := there && !p.Backup && !p.Down; {
			case o.Down && primary:
				return fmt.Errorf("the status page still shows server %s in upstream %q", o.Address, name)
			case o.Down:
			case !there:
				return fmt.Errorf("the status page does not show server %s in upstream %q", o.Address, name)
			case p.Backup != o.Backup:
				return fmt.Errorf("the status page shows server %s in upstream %q as backup: %t, want %t: NGINX does "+
					"not go by DNS", o.Address, name, p.Backup, o.Backup)
			case p.Weight != o.Weight && !o.Backup: // a backup's weight is mixed with the static line's
				return fmt.Errorf("the status page shows weight %d of server %s in upstream %q, want %d", p.Weight,
					o.Address, name, o.Weight)
			}
		}
		for server, p := range shown {
			known := slices.ContainsFunc(st.Upstreams[name].Servers, func(o Peer) bool { return o.Address == server })
			if !known && !p.Backup && !p.Down && server != name {
				return fmt.Errorf("the status page still shows server %s in upstream %q", server, name)
			}
		}
	}
	return nil
}

// takeBack puts what the change changed back, unless somebody else has changed it since.
func (a *Actuator) takeBack(ctx context.Context, before, after *State, names []string) error {
	_, restored, err := a.cfg.Store.Update(ctx, func(s *State) (bool, error) {
		if s.Serial != after.Serial {
			return false, refuse("somebody else has changed the weights since: they stay")
		}
		for _, name := range names {
			if u, was := before.Upstreams[name]; was {
				s.Upstreams[name] = u
			} else {
				delete(s.Upstreams, name)
			}
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	return a.answered(ctx, restored.Serial, About{About: "the same"})
}

// InForce returns what NGINX goes by: what it is told, once the status page shows it. It fails while the two differ,
// with what differs.
func (a *Actuator) InForce(ctx context.Context) (nginx.Settings, error) {
	st, err := a.cfg.Store.Read()
	if err != nil {
		return nil, err
	}
	if a.cfg.Status == nil {
		return st.Settings(), nil
	}
	page, err := a.cfg.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", nginx.ErrStatus, err)
	}
	err = shows(page, st, slices.Sorted(maps.Keys(st.Upstreams)))
	if err != nil && !errors.Is(err, errUnknown) {
		return nil, err
	}
	return st.Settings(), nil
}

// poll calls ready until it returns nil or limit has passed.
func poll(ctx context.Context, limit time.Duration, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last error
	for pause := 2 * time.Millisecond; ; pause = min(pause*3/2, 50*time.Millisecond) {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil && last != nil {
			err = last // that the last try was cut off says nothing
		}
		last = err
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("not confirmed within %s: %w", limit, err)
		case <-t.C:
		}
	}
}
