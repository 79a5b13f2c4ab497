package modem

import (
	"context"
	"errors"
	"fmt"
	"time"

	"recado/modem/at"
)

// USSDStatus is how a USSD session stands after an answer (<m> of +CUSD,
// TS 27.007 7.15).
type USSDStatus string

const (
	USSDDone        USSDStatus = "done"         // 0: nothing more is asked
	USSDReplyWanted USSDStatus = "reply_wanted" // 1: the network waits for a reply
	USSDTerminated  USSDStatus = "terminated"   // 2: the network ended it
	USSDElsewhere   USSDStatus = "elsewhere"    // 3: another local client has answered
	USSDUnsupported USSDStatus = "unsupported"  // 4: the network does not know it
	USSDTimeout     USSDStatus = "timeout"      // 5, or nothing came
)

// USSDAnswer is what the network said.
type USSDAnswer struct {
	// Text is what is to be shown, over one line or several; "" when the network
	// said none.
	Text   string
	Status USSDStatus
}

var (
	// ErrNoUSSDSession: no session waits for a reply.
	ErrNoUSSDSession = errors.New("no USSD session waits for a reply")
	// ErrUSSDBusy: the network's answer to another request is awaited.
	ErrUSSDBusy = errors.New("another USSD request is waiting for the network's answer")
	// ErrUSSDRefused: the modem or the network did not take the request.
	ErrUSSDRefused = errors.New("the USSD request was refused")
)

// USSD begins a session with a code, as *123#, and gives the network's answer;
// an old session is ended first. Characters outside 0-9 * # + A-Z a-z and blank
// are dropped. Nothing that comes within the family's time (30 s) is the status
// timeout, no error.
//
// A request goes behind sends and reading. While the network's answer is awaited
// nothing else is sent: modems cannot do both, and the wait is short. While the
// network waits for a reply, which is a person's, messages are sent; should one
// fail because the modem cannot while the session is open, the session is ended.
//
// Errors: ErrNotReady, ErrUSSDBusy, ErrUSSDRefused with the modem's own, and the
// context's, which also ends the session.
func (m *Modem) USSD(ctx context.Context, code string) (USSDAnswer, error) {
	return m.askUSSD(ctx, ussdBegin, code)
}

// USSDReply answers the network's question. The session ends three minutes after
// the network's last words, or sooner by the network: ErrNoUSSDSession.
func (m *Modem) USSDReply(ctx context.Context, text string) (USSDAnswer, error) {
	return m.askUSSD(ctx, ussdReply, text)
}

// USSDEnd ends the session, also one whose answer is awaited. Without one it
// does nothing.
func (m *Modem) USSDEnd(ctx context.Context) error {
	_, err := m.askUSSD(ctx, ussdEnd, "")
	return err
}

type ussdVerb uint8

const (
	ussdBegin ussdVerb = iota
	ussdReply
	ussdEnd
)

// ussdRequest is one call of Modem.USSD and its kin, on its way to the actor.
type ussdRequest struct {
	ctx   context.Context
	verb  ussdVerb
	text  string
	done  chan ussdResult // cap 1
	ended bool            // by USSDEnd, while the answer is awaited; of the actor
}

type ussdResult struct {
	answer USSDAnswer
	err    error
}

func (m *Modem) askUSSD(ctx context.Context, verb ussdVerb, text string) (USSDAnswer, error) {
	if text = ussdText(text); text == "" && verb != ussdEnd {
		return USSDAnswer{}, fmt.Errorf("%w: there is nothing in it that can be sent", ErrUSSDRefused)
	}
	switch s := m.Snapshot(); s.State {
	case StateReady, StateSending, StateUnknown:
	default:
		return USSDAnswer{}, fmt.Errorf("%w: %s", ErrNotReady, s.State)
	}
	r := &ussdRequest{ctx: ctx, verb: verb, text: text, done: make(chan ussdResult, 1)}
	if err := m.ask(ctx, &order{kind: orderUSSD, ussd: r}); err != nil {
		return USSDAnswer{}, err
	}
	select {
	case res := <-r.done:
		return res.answer, res.err
	case <-ctx.Done():
		return USSDAnswer{}, context.Cause(ctx)
	}
}

// ussd is what a session of the port knows of USSD. Owned by Run's goroutine.
type ussd struct {
	pending *ussdRequest // waits for its turn
	current *ussdRequest // the network's answer to it is awaited
	writing bool         // it is being, or has been, written
	codes   []ussdCode   // that came since

	open    bool      // the network waits for our reply
	until   time.Time // when that is over
	release bool      // whatever is open is to be ended
	// stale: an answer that was given up may still come. released is set when the
	// modem has said something since AT+CUSD=2; owed when that ended a dialogue,
	// and the modem has not said so.
	stale, released, owed bool
	charset               string // AT+CSCS
}

const (
	// ussdIdle is how long the network's question waits for a person. Networks
	// give up earlier, by themselves.
	ussdIdle = 3 * time.Minute
	// ussdCommand is how long AT+CUSD=2 may take.
	ussdCommand = 10 * time.Second
	// ussdEcho is how long the modem may say after AT+CUSD=2 that a dialogue has
	// ended; ussdStale the same when there was one whose answer is owed.
	ussdEcho, ussdStale = 500 * time.Millisecond, 5 * time.Second
	// ussdBefore is how much later than its command's error an answer may be
	// heard that came before it.
	ussdBefore = 100 * time.Millisecond
	// ussdRest is how long a text may come after a +CUSD that has none.
	ussdRest = 5 * time.Second
	// ussdUnasked is how long a question that nobody here asked for stays open.
	ussdUnasked = 5 * time.Second
)

// takeUSSD puts a request where its chore finds it.
func (s *session) takeUSSD(r *ussdRequest) error {
	u := &s.ussd
	switch {
	case s.m.isPassive():
		return errPassive
	case !s.serving:
		return fmt.Errorf("%w: %s", ErrNotReady, s.m.Snapshot().State)
	case r.verb == ussdEnd && u.current != nil:
		u.current.ended = true
		r.done <- ussdResult{}
		return nil
	case u.current != nil || u.pending != nil:
		return ErrUSSDBusy
	case r.verb == ussdReply && !u.open:
		return ErrNoUSSDSession
	}
	u.pending = r
	s.want(s.doUSSD, 0)
	return nil
}

// dropUSSD fails what waits when the line is no longer ready.
func (s *session) dropUSSD() {
	u := &s.ussd
	if u.pending != nil {
		u.pending.done <- ussdResult{err: ErrNotReady}
		u.pending = nil
	}
	u.open, u.release = false, false
}

// serveUSSD is the chore: the request that waits, then what is to be ended.
func (s *session) serveUSSD(ctx context.Context) {
	u := &s.ussd
	if r := u.pending; r != nil {
		u.pending = nil
		res := ussdResult{err: context.Cause(r.ctx)}
		if res.err == nil {
			u.current = r
			res = s.exchangeUSSD(ctx, r)
			u.current = nil
		}
		r.done <- res
	}
	switch now := time.Now(); {
	case s.err != nil:
	case u.release, u.open && !now.Before(u.until):
		s.releaseUSSD(ctx)
	case u.open:
		s.want(s.doUSSD, u.until.Sub(now))
	}
}

// exchangeUSSD carries out one request.
func (s *session) exchangeUSSD(ctx context.Context, r *ussdRequest) ussdResult {
	u := &s.ussd
	if s.hear(); s.err != nil {
		return ussdResult{err: s.err}
	}
	switch r.verb {
	case ussdEnd:
		if u.open {
			s.releaseUSSD(ctx)
		}
		return ussdResult{}
	case ussdReply:
		if !u.open { // the network has ended it meanwhile
			return ussdResult{err: ErrNoUSSDSession}
		}
	case ussdBegin:
		s.releaseUSSD(ctx)
		s.settleUSSD(ctx)
		s.askCharset(ctx)
	}
	u.open = false
	answer, err := s.writeUSSD(ctx, r)
	if s.err != nil && answer.Status == "" {
		return ussdResult{err: fmt.Errorf("%w: %v", ErrNotReady, s.err)}
	}
	s.m.noteUSSD(answer, err)
	if err != nil {
		u.release = true
	}
	return ussdResult{answer, err}
}

// releaseUSSD ends whatever dialogue the modem may have; without one many answer
// ERROR.
func (s *session) releaseUSSD(ctx context.Context) {
	u := &s.ussd
	u.owed = u.owed || u.open || u.stale
	u.open, u.release, u.released = false, false, false
	s.ask(ctx, "+CUSD=2", ussdCommand)
	s.hear()
}

// settleUSSD waits for what the modem has to say about the end of the dialogue
// before, so that nothing of it is taken for an answer to the next.
func (s *session) settleUSSD(ctx context.Context) {
	u := &s.ussd
	wait := ussdEcho
	if u.stale {
		wait = ussdStale
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	for over := false; !over && !u.released && s.err == nil; {
		over = s.listenUSSD(ctx, t.C)
	}
	u.stale = false
}

// listenUSSD waits for one thing to happen; true: the time is over.
func (s *session) listenUSSD(ctx context.Context, timer <-chan time.Time) bool {
	select {
	case <-timer:
		return true
	case <-ctx.Done():
		s.err = ctx.Err()
	case <-s.ch.Gone():
		s.err = at.ErrGone
	case o := <-s.m.orders:
		s.obey(ctx, o)
	case <-s.m.news:
	}
	s.hear()
	return false
}
