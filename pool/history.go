package pool

import (
	"cmp"
	"context"
	"strings"

	"recado/modem"
)

// History is what happened to a modem in this run, oldest first. ErrNoModem
// when there is none of this ID.
func (p *Pool) History(id string) ([]modem.Entry, error) {
	l := p.lineOf(id)
	if l == nil {
		return nil, ErrNoModem
	}
	return l.modem.History(), nil
}

// PowerCycle cuts a modem's power for a moment, by order of an operator, and
// forgives its line. A submission that is open is waited for, as long as ctx
// lasts. ErrNoModem when there is none of this ID, modem.ErrNoPower when its
// socket has no switch.
func (p *Pool) PowerCycle(ctx context.Context, id string) error {
	l := p.lineOf(id)
	if l == nil {
		return ErrNoModem
	}
	if err := l.modem.PowerCycleNow(ctx); err != nil {
		return err
	}
	l.forgive()
	return nil
}

// mayDisturb says whether a rung of the ladder that others on the same USB hub
// may feel is fine now: not while one of them has a message in hand, or listens
// for an answer.
func (l *line) mayDisturb(string) bool {
	hub := hubOf(l.usbPath())
	if hub == "" {
		return true
	}
	for _, other := range l.p.all() {
		if other != l && hubOf(other.usbPath()) == hub && other.inTheMiddle() {
			return false
		}
	}
	return true
}

// usbPath is where on the USB bus the line's modem is, or was last; "" unknown.
func (l *line) usbPath() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return cmp.Or(l.heard.USBPath, l.port.USBPath)
}

// inTheMiddle says that an interruption now would cost a message its answer.
func (l *line) inTheMiddle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.busy || l.heard.State == modem.StateSending || l.heard.State == modem.StateUnknown
}

// hubOf is the USB path of what a device is plugged into: "1-1" of "1-1.2", and
// the bus, "1", of "1-1"; "" when the path is not known.
func hubOf(path string) string {
	if i := strings.LastIndexAny(path, ".-"); i > 0 {
		return path[:i]
	}
	return ""
}
