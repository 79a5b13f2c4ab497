package pool

import (
	"bytes"
	"context"
	"errors"
	"time"

	"recado/modem"
	"recado/queue"
)

// promptMost is how soon the prompt must have come the last time for the next gate to
// be opened ahead of it. While a gate is open a power cut leaves a doubt, so it is not
// opened long before the PDU can leave.
const promptMost = 250 * time.Millisecond

// errNotAhead: what the modem was asked its prompt for is not what was committed.
var errNotAhead = errors.New("another message is to be sent first")

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
}

// begin asks the modem for the prompt of a claimed message.
func (l *line) begin(ctx context.Context, c *queue.Claimed) *begun {
	b := &begun{c: c, at: time.Now(), may: make(chan bool, 1), done: make(chan modem.Outcome, 1), attempt: c.Attempt}
	seg := c.Message.Segments[c.Next]
	l.following.Store(c.Next < len(c.Message.Segments)-1)
	go func() {
		b.done <- l.modem.Send(ctx, seg.TPDU, func() (err error) {
			switch {
			case !<-b.may:
				return errNotAhead
			case c.Attempt != 0:
				return l.mayPass(c)
			}
			b.attempt, err = l.gate(ctx, c, seg.N)
			return err
		})
	}()
	return b
}

// settleAhead is settle, and where the line goes on it opens the next message's gate
// in the same commit, for which it asks the modem meanwhile.
func (l *line) settleAhead(ctx context.Context, attempt int64, o queue.Outcome, next *queue.Line, id string) (following *queue.Claimed, b *begun, err error) {
	if next == nil || l.prompt == 0 || l.prompt > promptMost {
		following, err = l.settle(ctx, attempt, o, next, id)
		return following, nil, err
	}
	told := func(c queue.Claimed) { // on the writer's goroutine, before OutcomeThen returns
		if b == nil {
			b = l.begin(ctx, &c)
		}
	}
	err = l.p.persist("committing the outcome of a submission", id, func() (err error) {
		following, err = l.p.store.OutcomeThen(ctx, attempt, o, *next, told)
		if b == nil {
			return err
		}
		told = nil // once is enough
		if err == nil && b.is(following) {
			b.may <- true
			return nil
		}
		b.may <- false
		<-b.done // with an ESC: nothing has left
		b = nil
		return err
	})
	return following, b, err
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
