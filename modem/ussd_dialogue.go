package modem

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"recado/modem/at"
	"recado/modem/family"
)

// askCharset asks how the modem writes texts now. One that does not say is
// taken to have what it was told.
func (s *session) askCharset(ctx context.Context) {
	u := &s.ussd
	u.charset = s.family().Charset
	lines, err := s.ask(ctx, "+CSCS?", shortAnswer)
	if err != nil {
		return
	}
	if rest, ok := after(lines, "+CSCS"); ok && unquote(rest) != "" {
		u.charset = strings.ToUpper(unquote(rest))
	}
}

// codings are the family's, the one that worked last first.
func (s *session) codings() []family.USSDCoding {
	list := slices.Clone(s.family().USSD)
	if c, ok := s.m.life.ussd[s.m.Snapshot().ID]; ok {
		if i := slices.Index(list, c); i > 0 {
			list = slices.Insert(slices.Delete(list, i, i+1), 0, c)
		}
	}
	return list
}

// writeUSSD writes a request in one coding after the other until the modem takes
// it, and waits for the answer.
func (s *session) writeUSSD(ctx context.Context, r *ussdRequest) (USSDAnswer, error) {
	first := error(nil)
	for _, coding := range s.codings() {
		answer, err := s.tryUSSD(ctx, r, coding)
		if err == nil || s.err != nil || !notUnderstood(err) {
			return answer, err
		}
		if first == nil {
			first = err
		}
		s.releaseUSSD(ctx) // some keep half a dialogue open after an error
	}
	if first == nil {
		first = ErrUSSDRefused
	}
	return USSDAnswer{}, first
}

// notUnderstood says that a refusal may be of the coding rather than of what
// was asked.
func notUnderstood(err error) bool {
	if errors.Is(err, at.ErrFailed) {
		return true
	}
	if cme, ok := errors.AsType[at.CMEError](err); ok {
		return slices.Contains([]at.CMEError{3, 4, 20, 21, 22, 23, 24, 25, 26, 27, 50, 58, 100}, cme)
	}
	if cms, ok := errors.AsType[at.CMSError](err); ok {
		return slices.Contains([]at.CMSError{300, 302, 303, 304, 305, 500}, cms)
	}
	return false
}

// tryUSSD writes a request in one coding.
func (s *session) tryUSSD(ctx context.Context, r *ussdRequest, coding family.USSDCoding) (USSDAnswer, error) {
	u, f := &s.ussd, s.family()
	charset := u.charset
	switch {
	case coding == family.USSDUCS2 && charset != "UCS2":
		if _, err := s.ask(ctx, `+CSCS="UCS2"`, shortAnswer); err != nil {
			return USSDAnswer{}, refusedUSSD(s, err)
		}
		// Names of operators and numbers are read in the family's own.
		defer s.ask(ctx, fmt.Sprintf(`+CSCS="%s"`, charset), shortAnswer)
		charset = "UCS2"
	case coding == family.USSDText && f.USSDPlain != "" && slices.Contains(f.USSD, family.USSDPacked):
		s.ask(ctx, f.USSDPlain, shortAnswer)
	}
	text, ok := encodeUSSD(r.text, coding, charset)
	if !ok {
		return USSDAnswer{}, fmt.Errorf("%w: %w", ErrUSSDRefused, at.ErrFailed)
	}
	s.hear()
	u.codes, u.writing = nil, true
	defer func() { u.writing = false }()
	_, err := s.ask(ctx, fmt.Sprintf(`+CUSD=1,"%s",15`, text), f.USSDTimeout)
	s.hear()
	if err != nil && !noAnswer(err) && s.err == nil {
		t := time.NewTimer(ussdBefore)
		defer t.Stop()
		for len(u.codes) == 0 && s.err == nil && !s.listenUSSD(ctx, t.C) {
		}
		if !slices.ContainsFunc(u.codes, func(c ussdCode) bool { return c.has }) {
			return USSDAnswer{}, refusedUSSD(s, err)
		}
	}
	if s.err != nil {
		return USSDAnswer{}, s.err
	}
	wait := f.USSDTimeout
	if noAnswer(err) { // it has had that time already
		wait = 0
	}
	c, err := s.awaitUSSD(ctx, r, wait)
	if err != nil || s.err != nil {
		return USSDAnswer{}, err
	}
	answer := c.answer(charset, coding)
	if answer.Text != "" {
		s.rememberUSSD(coding)
	}
	return answer, nil
}

func refusedUSSD(s *session, err error) error {
	return fmt.Errorf("%w: %s: %w", ErrUSSDRefused, meaningFor(s.family(), err).Detail(), err)
}

func (s *session) rememberUSSD(coding family.USSDCoding) {
	id, m := s.m.Snapshot().ID, s.m
	if was, ok := m.life.ussd[id]; ok && was == coding {
		return
	}
	if m.life.ussd == nil {
		m.life.ussd = map[string]family.USSDCoding{}
	}
	m.life.ussd[id] = coding
	m.note(EntryUSSD, "", "the modem takes USSD as "+coding.String(), "")
}

// awaitUSSD waits for the network's words. A code without a text may have one
// behind it.
func (s *session) awaitUSSD(ctx context.Context, r *ussdRequest, wait time.Duration) (ussdCode, error) {
	u := &s.ussd
	t := time.NewTimer(wait)
	defer t.Stop()
	stop := context.AfterFunc(r.ctx, s.m.wake)
	defer stop()
	bare, resting := -1, false // the code without a text, in codes; its text is waited for
	for looked := 0; ; {
		for ; looked < len(u.codes); looked++ {
			c := u.codes[looked]
			if c.has || c.m >= 3 && c.m <= 5 {
				s.afterUSSD(u.codes[looked:])
				return c, nil
			}
			bare = looked
			if u.owed && c.m != 1 { // the end of the dialogue before is told as late as this
				u.owed = false
			} else if !resting {
				resting = true
				t.Reset(min(ussdRest, wait))
			}
		}
		if r.ended {
			u.release, u.stale = true, true
			return ussdCode{m: 2, dcs: -1}, nil
		}
		if err := context.Cause(r.ctx); err != nil {
			u.stale = true
			return ussdCode{}, err
		}
		if s.err != nil {
			return ussdCode{}, s.err
		}
		if s.listenUSSD(ctx, t.C) && looked == len(u.codes) {
			if bare >= 0 {
				return u.codes[bare], nil
			}
			u.release, u.stale = true, true
			return ussdCode{m: 5, dcs: -1}, nil
		}
	}
}

// afterUSSD notes how the dialogue stands after an answer and what came behind
// it.
func (s *session) afterUSSD(codes []ussdCode) {
	u := &s.ussd
	for _, c := range codes {
		u.open = c.m == 1
	}
	u.until = time.Now().Add(ussdIdle)
	if slices.ContainsFunc(codes, func(c ussdCode) bool { return c.m == 3 || c.m == 5 }) {
		u.release = true
	}
}

// answer reads a code as an answer.
func (c ussdCode) answer(charset string, coding family.USSDCoding) USSDAnswer {
	a := USSDAnswer{Text: decodeUSSD(c.text, c.dcs, charset, coding == family.USSDPacked)}
	switch c.m {
	case 0:
		a.Status = USSDDone
	case 1:
		a.Status = USSDReplyWanted
	case 3:
		a.Status = USSDElsewhere
	case 4:
		a.Status = USSDUnsupported
	case 5:
		a.Status = USSDTimeout
	default:
		if a.Status = USSDTerminated; c.m != 2 && a.Text != "" {
			a.Status = USSDDone
		}
	}
	return a
}

// hearUSSD takes +CUSD: an answer while one is awaited, else news of the
// dialogue that is open, or something that nobody asked for.
func (s *session) hearUSSD(line string) {
	u := &s.ussd
	c, ok := parseUSSD(line)
	if !ok {
		return
	}
	if u.writing {
		if len(u.codes) < urcBacklog {
			u.codes = append(u.codes, c)
		}
		return
	}
	u.released, u.owed = true, u.owed && c.has
	was := u.open
	u.open = c.m == 1 && was
	switch {
	case u.stale && c.has:
		s.m.note(EntryUSSD, "", "an answer to a USSD request that was given up has come after all", sizeOf(c))
	case was && !c.has:
		s.m.note(EntryUSSD, "", "the network ended the USSD session", "")
	case c.has:
		s.m.note(EntryUSSD, "", "the network sent a USSD message that nobody asked for", sizeOf(c))
	}
	if c.m == 1 && !was { // nobody will reply: while it is open many modems cannot send
		u.release = true
		s.want(s.doUSSD, ussdUnasked)
	}
}

// sizeOf tells of a text what may be told.
func sizeOf(c ussdCode) string {
	return fmt.Sprintf("m %d, dcs %d, text of %d", c.m, c.dcs, utf8.RuneCountInString(c.text))
}

// noteUSSD tells the history how a request went, without its text.
func (m *Modem) noteUSSD(a USSDAnswer, err error) {
	if err != nil {
		m.note(EntryUSSD, "", "a USSD request failed", err.Error())
		return
	}
	m.note(EntryUSSD, "", "a USSD request: "+string(a.Status), fmt.Sprintf("text of %d", utf8.RuneCountInString(a.Text)))
}

// ussdInTheWay ends an open session when a message could not be sent: it may be
// the reason, and a message goes before a menu.
func (s *session) ussdInTheWay(out Outcome) {
	if s.ussd.open && (out.Class == ClassDevice || out.Class == ClassBusy || out.Class == ClassNetwork) {
		s.ussd.release = true
		s.want(s.doUSSD, 0)
	}
}
