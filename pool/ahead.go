package pool

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"recado/modem"
	"recado/queue"
)

const (
	// promptMost is how soon the prompt must have come the last time for the next gate
	// to be opened ahead of it. While a gate is open a power cut leaves a doubt, so it
	// is not opened long before the PDU can leave.
	promptMost = 250 * time.Millisecond
	// openMost is how long a gate that was opened ahead stands open before the PDU
	// leaves. The modem may have begun something else: a USSD dialogue, a full memory.
	openMost = 500 * time.Millisecond
)

var (
	// errNotAhead: what the modem was asked its prompt for is not what was committed.
	errNotAhead = errors.New("another message is to be sent first")
	// errLate: a gate that was opened ahead stood open for openMost.
	errLate = errors.New("the modem did not give its prompt soon: the message waits until it can")
)

// begun is a submission for which the modem has been asked for its prompt. The PDU
// leaves only when may has said that its gate may open, or is open on disk.
type begun struct {
	c  *queue.Claimed
	at time.Time
	// may says that c is claimed on disk, and its gate open there if it has an attempt.
	may chan bool
	// done gives the outcome; attempt is read after it: 0 while no gate was open.
	done    chan modem.Outcome
	attempt int64
	// opened is since when the gate has stood open, if it was opened ahead. parted is
	// set once: by the PDU, which leaves, or by whoever finds that it has stood open too
	// long; then nothing leaves. drop takes back what waits for the modem's attention.
	opened time.Time
	parted atomic.Bool
	drop   context.CancelFunc
}

// begin asks the modem for the prompt of a claimed message.
func (l *line) begin(ctx context.Context, c *queue.Claimed) *begun {
	b := &begun{c: c, at: time.Now(), may: make(chan bool, 1), done: make(chan modem.Outcome, 1), attempt: c.Attempt}
	ctx, b.drop = context.WithCancel(ctx)
	seg := c.Message.Segments[c.Next]
	l.following.Store(c.Next < len(c.Message.Segments)-1)
	go func() {
		defer b.drop()
		b.done <- l.modem.Send(ctx, seg.TPDU, func() (err error) {
			switch {
			case !<-b.may:
				return errNotAhead
			case c.Attempt == 0:
				b.attempt, err = l.gate(ctx, c, seg.N)
				return err
			}
			if err := l.mayPass(c); err != nil {
				return err
			}
			if !b.parted.CompareAndSwap(false, true) {
				return errLate
			}
			return nil
		})
	}()
	return b
}

// open lets what was begun leave: it is claimed on disk.
func (b *begun) open() {
	b.opened = time.Now()
	b.may <- true
}

// refuse keeps it from leaving: the modem gets an ESC, if it was asked at all.
func (b *begun) refuse() {
	b.may <- false
	b.drop()
}

// outcome waits for what became of it. late: its gate, opened ahead, stood open too
// long, and nothing leaves; the modem may still be at it, which done tells the end of.
func (b *begun) outcome() (o modem.Outcome, late bool) {
	if b.c.Attempt == 0 {
		return <-b.done, false
	}
	t := time.NewTimer(openMost - time.Since(b.opened))
	defer t.Stop()
	select {
	case o = <-b.done:
		return o, false
	case <-t.C:
	}
	if !b.parted.CompareAndSwap(false, true) {
		return <-b.done, false
	}
	b.drop()
	return modem.Outcome{Verdict: modem.NotSent, MR: -1, Err: errLate}, true
}

// tooLate puts a message back whose gate stood open too long, for whichever line is
// quicker, and waits until the modem has nothing of it in hand any more.
func (l *line) tooLate(ctx context.Context, b *begun, o modem.Outcome) {
	_, err := l.settle(ctx, b.c.Attempt, l.outcome(o, b.c.Message), nil, b.c.Message.ID)
	o = <-b.done
	l.prompt = o.Prompted
	if err != nil {
		l.unsettled()
		return
	}
	if !refusedHere(o.Err) && !errors.Is(o.Err, context.Canceled) { // the prompt did not come at all
		l.p.met.submitted(o, time.Since(b.at))
		l.learn(o, time.Since(b.at), 0)
	}
	l.passOver() // the dispatcher looks who may have it
}

// settleAhead is settle, and where the line goes on it opens the next message's gate
// in the same commit, for which it asks the modem meanwhile. Only what the network
// accepted is followed so: after anything else the line may have to listen, or rest.
func (l *line) settleAhead(ctx context.Context, attempt int64, o queue.Outcome, next *queue.Line, id string) (following *queue.Claimed, b *begun, err error) {
	if next == nil || o.Verdict != queue.Accepted || l.prompt == 0 || l.prompt > promptMost {
		following, err = l.settle(ctx, attempt, o, next, id)
		return following, nil, err
	}
	return l.goOn(ctx, id, func(early func(queue.Claimed)) (*queue.Claimed, error) {
		return l.p.store.OutcomeThen(ctx, attempt, o, *next, early)
	}, func() error {
		_, err := l.p.store.Outcome(ctx, attempt, o, nil)
		return err
	})
}

// goOn commits an outcome by then, which says early what comes next. Should that
// fail, alone commits the outcome by itself, however long the modem is at the rest.
func (l *line) goOn(ctx context.Context, id string, then func(early func(queue.Claimed)) (*queue.Claimed, error), alone func() error) (following *queue.Claimed, b *begun, err error) {
	told := func(c queue.Claimed) { // on the writer's goroutine, before then returns
		if b == nil {
			b = l.begin(ctx, &c)
		}
	}
	failed := false
	err = l.p.persist("committing the outcome of a submission", id, func() (err error) {
		if failed {
			return alone()
		}
		if following, err = then(told); err != nil {
			failed, following = true, nil
			if b != nil {
				b.refuse()
			}
		}
		return err
	})
	switch {
	case !failed && b != nil && b.is(following):
		b.open()
		return following, b, nil
	case !failed && b == nil:
		return following, nil, err
	case b != nil && !failed: // the transaction was done twice, and gave two answers
		b.refuse()
		if following != nil && following.Attempt != 0 {
			back := l.outcome(modem.Outcome{Verdict: modem.NotSent, MR: -1, Err: errNotAhead}, following.Message)
			_, err = l.settle(ctx, following.Attempt, back, nil, following.Message.ID)
			following = nil
		}
	}
	if b != nil {
		<-b.done // with an ESC: nothing has left
	}
	if err == nil && following == nil {
		following = l.pullNext(ctx)
	}
	return following, nil, err
}

// is says whether c, as it was committed, is what the modem was asked its prompt for.
func (b *begun) is(c *queue.Claimed) bool {
	return c != nil && c.Message.Seq == b.c.Message.Seq && c.Next == b.c.Next && c.Attempt == b.c.Attempt &&
		bytes.Equal(c.Message.Segments[c.Next].TPDU, b.c.Message.Segments[b.c.Next].TPDU)
}

// mayPass says whether a submission may leave now; those that ask hold off Pause,
// which waits for gates that were already on their way.
func (l *line) mayPass(c *queue.Claimed) error {
	l.p.gates.RLock()
	defer l.p.gates.RUnlock()
	return l.mayPassLocked(c)
}

func (l *line) mayPassLocked(c *queue.Claimed) error {
	if l.p.shutFor(c.Line.ICCID, c.Message.Class) {
		return errPaused
	}
	if l.simKey() != c.Line.ICCID {
		return errOtherSIM
	}
	return nil
}
