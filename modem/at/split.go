package at

import (
	"bytes"
	"strings"
)

// maxLine is the most octets that are kept of one line. A PDU line has at most
// about 360, the answer to AT+CLAC some thousand.
const maxLine = 4096

// splitter cuts what the modem says into lines. Every CR or LF ends one; empty
// ones, blanks around and control characters (echoed Ctrl-Z and ESC, noise at
// power-on) are dropped. Only the text of +CUSD keeps them: in the GSM alphabet
// they are letters, and ESC begins € (TS 23.038 6.2.1).
type splitter struct {
	buf []byte
	// text says that the next lines belong to a text that +CUSD began.
	text bool
}

// keeps says whether the line that begins with what is there is of +CUSD.
func (s *splitter) keeps() bool {
	return s.text || bytes.HasPrefix(s.buf, []byte("+CUSD"))
}

// feed takes the next octets. It calls line for each whole line, and prompt for
// each > at a line's start while wanted says that one is awaited: V.250 modems
// end the prompt of TS 27.005 4.3 with a blank and no line end.
func (s *splitter) feed(p []byte, wanted func() bool, prompt func(), line func(string)) {
	for _, b := range p {
		switch {
		case b == '\r' || b == '\n':
			text := strings.Trim(string(s.buf), " \t")
			s.buf = s.buf[:0]
			if text == ">" && wanted() {
				prompt()
			} else if text != "" {
				line(text)
			}
		case (b < ' ' && b != '\t' || b == 0x7f) && !s.keeps():
		case len(s.buf) < maxLine:
			s.buf = append(s.buf, b)
		}
	}
	s.rest(wanted, prompt)
}

// rest looks whether the unfinished line is a prompt. Something behind the >
// makes it a line of text that is not finished.
func (s *splitter) rest(wanted func() bool, prompt func()) {
	if len(s.buf) > 0 && strings.Trim(string(s.buf), " \t") == ">" && wanted() {
		s.buf = s.buf[:0]
		prompt()
	}
}
