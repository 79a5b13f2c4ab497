package at

import (
	"strings"
	"time"
)

// openURC is a URC whose trailer has not come yet.
type openURC struct {
	urc    URC
	octets int  // of the TPDU in the trailer; -1 unknown
	quoted bool // +CUSD with a text over several lines, until the quote is closed
	timer  *time.Timer
}

// await keeps a URC until its trailer is there.
func (l *line) await(u *openURC) {
	l.open = u
	u.timer = time.AfterFunc(trailerTimeout, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.open == u {
			l.flush()
			l.split.rest(l.promptWanted, l.prompt)
		}
	})
}

// flush hands the open URC on as it is.
func (l *line) flush() {
	l.open.timer.Stop()
	l.urcs.add(l.open.urc)
	l.open = nil
}

// continues says whether a line is the trailer of the open URC. One that is not
// ends the wait for it: a lost trailer must not swallow what comes next.
func (l *line) continues(text string) bool {
	u := l.open
	_, isFinal := final(text, nil)
	_, _, colon, _ := code(text)
	switch {
	case isFinal || colon:
	case u.quoted:
		u.urc.Line += "\n" + text
		if strings.Count(text, `"`)%2 == 1 || len(u.urc.Line) > maxLine {
			l.flush()
		}
		return true
	case l.isTrailer(text, u.octets):
		u.urc.Trailer = text
		l.flush()
		return true
	}
	l.flush()
	return false
}

// isTrailer says whether a line is the PDU that a URC announced: SMSC octets
// and a TPDU of that many octets. A modem whose length is wrong is believed as
// long as the line cannot be part of an answer.
func (l *line) isTrailer(text string, octets int) bool {
	if !isHex(text) || len(text) < 26 {
		return false
	}
	smsc := unhex(text[0])<<4 | unhex(text[1])
	if octets >= 0 && len(text)/2 == octets+smsc+1 {
		return true
	}
	return l.cur == nil || l.cur.sms != nil || !l.cur.parts[0].informs()
}

func unhex(b byte) int {
	switch {
	case b <= '9':
		return int(b - '0')
	case b <= 'F':
		return int(b-'A') + 10
	}
	return int(b-'a') + 10
}
