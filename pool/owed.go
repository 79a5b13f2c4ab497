package pool

import (
	"context"
	"fmt"
	"slices"
	"time"

	"recado/modem"
	"recado/queue"
)

const (
	// owedFor is how long after its gate a submission's answer may come (see
	// modem.Modem.Send).
	owedFor = 180 * time.Second
	// listenUnknown is how long, after the gate, a port is only listened to when
	// it is not known how long answers take there; listenLeast the least, and
	// listenTimes how much more than what is usual.
	listenUnknown = 20 * time.Second
	listenLeast   = 5 * time.Second
	listenTimes   = 3
	// listenAnyway is for an answer that is on its way when the port is opened.
	listenAnyway = 2 * time.Second
)

// loadOwed reads what the run before this one was owed by its modems.
func (p *Pool) loadOwed(ctx context.Context) (err error) {
	if p.owed, err = p.store.Owed(ctx, owedFor); err != nil {
		return fmt.Errorf("reading which answers are owed: %w", err)
	}
	return nil
}

// expect has a line listen for the answer that the run before this one was owed
// on its port, before anything is written there: whoever writes may disturb it,
// and an answer that nobody waits for could be taken for another message's. A
// port where nothing was open is not held up. p.mu is held.
func (p *Pool) expect(ctx context.Context, l *line) {
	if len(p.owed) == 0 {
		return
	}
	behind, err := p.store.PortWas(ctx, l.port.Name)
	if err != nil {
		p.log.Error("reading which modem a port had", "port", l.port.Name, "error", err)
		return
	}
	i := slices.IndexFunc(p.owed, func(o queue.Owed) bool { return o.At(behind) })
	if i < 0 {
		return
	}
	o := p.owed[i]
	p.owed = slices.Delete(p.owed, i, i+1)
	// A clock that was set back makes no gate later than now.
	age := max(p.clock.Now().Sub(o.GateAt), 0)
	if age >= owedFor {
		return
	}
	late := make(chan modem.Outcome, 1)
	l.modem.Expect(modem.Owed{
		TPDU: o.TPDU, GateAt: o.GateAt, Late: late,
		Listen: max(listenFor(o.Usual)-age, listenAnyway), Until: owedFor - age,
	})
	p.wg.Go(func() { l.await(context.WithoutCancel(ctx), o.ICCID, "", o.Attempt, late, o.Message) })
}

// listenFor is how long from its gate on an answer is waited for in silence.
func listenFor(usual time.Duration) time.Duration {
	if usual == 0 {
		return listenUnknown
	}
	return min(max(listenTimes*usual, listenLeast), owedFor)
}
