package pool

import (
	"context"
	"fmt"
	"slices"
)

// Remove takes a modem out of the pool's care, by its port's name, and returns
// when the port is closed. A message in hand is waited for as long as ctx lasts;
// what is open after that ends without its answer. ErrNoModem when there is no
// such port.
func (p *Pool) Remove(ctx context.Context, port string) error {
	p.mu.Lock()
	i := slices.IndexFunc(p.lines, func(l *line) bool { return l.port.Name == port })
	if i < 0 {
		p.mu.Unlock()
		return fmt.Errorf("%w on %s", ErrNoModem, port)
	}
	l, stop := p.lines[i], p.lines[i].stop
	p.mu.Unlock()

	hint, cancel := p.Watch()
	defer cancel()
	l.mu.Lock()
	l.leaving = true
	l.mu.Unlock()
	for l.isBusy() && ctx.Err() == nil {
		select {
		case <-hint:
		case <-ctx.Done():
		}
	}
	if stop != nil {
		stop()
		l.alive.Wait()
	}
	p.mu.Lock()
	p.lines = slices.DeleteFunc(p.lines, func(other *line) bool { return other == l })
	p.mu.Unlock()
	// The others no longer share their IMEI or their SIM with it.
	for _, other := range p.all() {
		other.apply(other.modem.Snapshot())
	}
	p.changed()
	p.kick()
	return nil
}
