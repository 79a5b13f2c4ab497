package pool

import "context"

// DeleteForeign has a modem delete the drafts and sent messages that other
// devices have left in its memories and on its SIM, by order of an operator:
// when they fill the memory nothing can be received. Each is kept as a raw row
// first. It returns how many there are; that they go takes a moment more.
// ErrNoModem when there is none of this ID, modem.ErrNotReady.
func (p *Pool) DeleteForeign(ctx context.Context, id string) (int, error) {
	l := p.lineOf(id)
	if l == nil {
		return 0, ErrNoModem
	}
	return l.modem.DeleteForeign(ctx)
}
