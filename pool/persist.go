package pool

import (
	"context"
	"time"

	"recado/queue"
)

const (
	// firstPause and longestPause are between two tries to store what the pool
	// knows and the disk does not.
	firstPause, longestPause = 50 * time.Millisecond, 5 * time.Second
	// quiet is how long the same complaint about a disk that cannot be written is
	// not repeated.
	quiet = 10 * time.Minute
)

// settle commits what became of an attempt.
func (l *line) settle(ctx context.Context, attempt int64, o queue.Outcome, next *queue.Line, id string) (following *queue.Claimed, err error) {
	err = l.p.persist("committing the outcome of a submission", id, func() (err error) {
		following, err = l.p.store.Outcome(ctx, attempt, o, next)
		return err
	})
	return following, err
}

// persist writes what only the pool knows, and tries again for as long as the
// disk may come round: after a failed write the file is opened anew and does not
// have it, and a full disk is made room on. It gives up when writing has ended,
// or the pool ends.
func (p *Pool) persist(doing, message string, write func() error) error {
	var ended <-chan struct{} // never, before Run
	p.mu.Lock()
	if p.run != nil {
		ended = p.run.Done()
	}
	p.mu.Unlock()
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := write()
		if err == nil {
			return nil
		}
		if !queue.Undone(err) {
			p.quietly(doing+" "+message, err)
			return err
		}
		p.log.Warn(doing+": it is tried again", "message", message, "error", err)
		select {
		case <-ended:
			return err
		case <-time.After(pause):
		}
	}
}

// quietly logs an error; one of a disk that cannot be written only now and then.
func (p *Pool) quietly(doing string, err error) {
	if !queue.Unwritable(err) {
		p.log.Error(doing, "error", err)
		return
	}
	now, last := time.Now().UnixNano(), p.complained.Load()
	if last != 0 && now-last < int64(quiet) || !p.complained.CompareAndSwap(last, now) {
		return
	}
	p.log.Error(doing, "error", err, "note", "nothing is sent that cannot be stored; the same is not logged again for a while")
}
