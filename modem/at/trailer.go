package at

import (
	"strings"
	"time"
)

// Times and bounds of a +CUSD text over several lines.
const (
	// holdTimeout is how long a line in it that may be something else is held
	// after the last line that came; the lines of a text follow at once.
	holdTimeout = 300 * time.Millisecond
	// holdLimit bounds that on a modem that chatters.
	holdLimit = time.Second
	// maxText bounds the text: 182 characters as UCS-2 in hex have 728 octets.
	maxText = 4096
)

// openURC is a URC whose trailer has not come yet.
type openURC struct {
	urc    URC
	octets int  // of the TPDU in the trailer; -1 unknown
	quoted bool // +CUSD with a text over several lines, until the quote is closed
	// held are the lines after the head of a quoted one: its text once the quote
	// is closed. When it never is, doubtful ones are looked at again.
	held    []string
	size    int
	doubtAt time.Time // when the first doubtful one came; zero: none has
	timer   *time.Timer
}

// await keeps a URC until its trailer is there.
func (l *line) await(u *openURC) {
	l.open, l.split.text = u, u.quoted
	u.timer = time.AfterFunc(trailerTimeout, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.open == u {
			l.flush()
			l.split.rest(l.promptWanted, l.prompt)
		}
	})
}

// flush hands the open URC on as it is. What was held for it and may be
// something else takes its own way.
func (l *line) flush() {
	u := l.open
	u.timer.Stop()
	l.open, l.split.text = nil, false
	n := 0
	for n < len(u.held) && !l.doubtful(u.held[n]) {
		n++
	}
	for _, text := range u.held[:n] {
		u.urc.Line += "\n" + text
	}
	l.urcs.add(u.urc)
	for _, text := range u.held[n:] {
		if text = strings.Trim(visible(text), " \t"); text != "" {
			l.sort(text)
		}
	}
}

// continues says whether a line is the trailer of the open URC. One that is not
// ends the wait for it: a lost trailer must not swallow what comes next.
func (l *line) continues(text string) bool {
	u := l.open
	name, _, colon, _ := code(text)
	if u.quoted && name != "+CUSD" {
		l.hold(text)
		return true
	}
	_, isFinal := final(text, nil)
	if !isFinal && !colon && l.isTrailer(text, u.octets) {
		u.urc.Trailer = text
		l.flush()
		return true
	}
	l.flush()
	return false
}

// hold takes a line of a quoted text. A menu may have lines that look like final
// results or codes; only when the closing quote does not come are they what they
// look like.
func (l *line) hold(text string) {
	u := l.open
	u.held, u.size = append(u.held, text), u.size+len(text)+1
	_, _, colon, _ := code(text)
	whole := u.urc.Line + "\n" + strings.Join(u.held, "\n")
	wait := trailerTimeout
	switch {
	// +COPS: 0,0,"Movistar",7 behind a lost quote ends like a text, too.
	case closed(whole) && !(colon && strings.Count(text, `"`)%2 == 0):
		u.urc.Line, u.held = whole, nil
		l.flush()
		return
	case u.size > maxText:
		l.flush()
		return
	case u.doubtAt.IsZero() && l.doubtful(text):
		u.doubtAt = time.Now()
	}
	if !u.doubtAt.IsZero() {
		wait = max(0, min(holdTimeout, time.Until(u.doubtAt.Add(holdLimit))))
	}
	u.timer.Reset(wait)
}

// doubtful says whether a line within quotes would mean something outside them.
// The command that brings a text has no answer of its own but the final result.
func (l *line) doubtful(text string) bool {
	_, _, colon, _ := code(text)
	if l.cur == nil {
		_, isFinal := final(text, nil)
		return isFinal || colon
	}
	p := &l.cur.parts[0]
	_, isFinal := final(text, p)
	return isFinal || colon || l.cur.sms == nil && p.name != "+CUSD" && p.owns(text)
}

// closed says whether +CUSD: <m>[,"<text>"[,<dcs>]] is whole: nothing but a DCS
// follows the last quote. The text may have quotes of its own; without a DCS
// behind it they tell the end only when they are paired.
func closed(text string) bool {
	_, rest, opened := strings.Cut(text, `"`)
	if !opened {
		return true
	}
	last := strings.LastIndexByte(rest, '"')
	if last < 0 {
		return false
	}
	tail := strings.Trim(rest[last+1:], " \t")
	if tail == "" {
		return strings.Count(rest[:last], `"`)%2 == 0
	}
	return tail[0] == ',' && strings.Trim(tail, ", 0123456789") == ""
}

// visible drops the control characters that only a +CUSD text keeps.
func visible(text string) string {
	kept := make([]byte, 0, len(text))
	for i := range len(text) {
		if b := text[i]; b >= ' ' && b != 0x7f || b == '\t' {
			kept = append(kept, b)
		}
	}
	return string(kept)
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
