package emulator

import (
	"encoding/json"
	"io"
	"strings"
	"sync"
	"time"
)

// Timing is what the line saw of one submission: for those who measure a driver,
// the same way whoever it is. Times are those of the line, with its baud rate: when
// the last octet of something had come or gone.
type Timing struct {
	Modem string `json:"modem"`
	// Command is AT+CMGS with its CR, Prompt the > that answered it, CtrlZ the end
	// of the PDU, Answer the final result.
	Command time.Time `json:"command"`
	Prompt  time.Time `json:"prompt"`
	CtrlZ   time.Time `json:"ctrl_z"`
	Answer  time.Time `json:"answer"`
	// Accepted: the answer was +CMGS.
	Accepted bool `json:"accepted"`
	// Commands are the command lines since the answer before, this AT+CMGS among
	// them; In and Out are the octets from and to the host in that time.
	Commands int `json:"commands"`
	In       int `json:"in"`
	Out      int `json:"out"`
}

// timings writes each Timing as a line of JSON, in one write.
type timings struct {
	mu  sync.Mutex
	w   io.Writer
	err error
}

// submitted writes down the submission that the session has just answered, if its
// last command was one and a PDU came.
func (t *timings) submitted(s *session, result error) {
	if t.w == nil || s.measured.CtrlZ.IsZero() || !strings.HasPrefix(s.cmd, "+CMGS") {
		return
	}
	x := s.measured
	s.measured = Timing{}
	x.Modem, x.Accepted, x.Answer = s.m.o.Name, result == nil, s.lineFree()
	line, err := json.Marshal(x)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return
	}
	if err == nil {
		_, err = t.w.Write(append(line, '\n'))
	}
	t.err = err
}

func (t *timings) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// lineFree is when what has been sent so far has left the modem.
func (s *session) lineFree() time.Time {
	if now := time.Now(); s.txFree.Before(now) {
		return now
	}
	return s.txFree
}
