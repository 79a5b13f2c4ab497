// Package at is the AT channel to one modem: a guarded port, under a line shim
// that takes unsolicited result codes out of the stream and holds back late
// answers, under a redacted trace, under warthog618/modem/at, with the submit
// gate through which every PDU leaves (3GPP TS 27.005, TS 27.007).
//
// Promises: a command's answer is never another command's; no octet of a PDU
// leaves before the gate has opened; nothing is written while a submission is
// open; a dead port never blocks its owner.
package at

import (
	"errors"
	"fmt"
	"time"
)

// Errors that callers branch on.
var (
	// ErrGone: the port is closed, unplugged or wedged; open it anew.
	ErrGone = errors.New("the modem's port is gone")
	// ErrTimeout: no final result in time. The channel holds until Resync.
	ErrTimeout = errors.New("the modem did not answer in time")
	// ErrUnsynced: a late answer may still come; call Resync first.
	ErrUnsynced = errors.New("the modem still owes an answer")
	// ErrFailed: the plain final result ERROR.
	ErrFailed = errors.New("the modem answered ERROR")
	// ErrNoReference: after the PDU the modem said OK without +CMGS, or an error
	// other than +CMS ERROR, and it may have been another program's answer: one
	// shows on the port, or the modem has given references before. Or all that it
	// said was the last reference once more, as on a repeated answer. Nobody knows
	// whether the message left; the channel holds until Resync. Where it can only
	// be the PDU's, the OK is an acceptance (TS 27.005 4.3) with an MR of -1.
	ErrNoReference = errors.New("the modem gave an answer without +CMGS that may be another's")
	// ErrInvalid: the command or TPDU was refused before anything was written.
	ErrInvalid = errors.New("not a command for this channel")
)

// CMSError is the number in +CMS ERROR (TS 27.005 clause 3.2.5).
type CMSError int

func (e CMSError) Error() string { return fmt.Sprintf("+CMS ERROR: %d", int(e)) }

// CMEError is the number in +CME ERROR (TS 27.007 clause 9.2).
type CMEError int

func (e CMEError) Error() string { return fmt.Sprintf("+CME ERROR: %d", int(e)) }

// TextError is a +CMS ERROR or +CME ERROR in words that have no known number
// (AT+CMEE=2 that cannot be switched off). Known words become numbers.
type TextError struct {
	CMS  bool // +CMS ERROR, else +CME ERROR
	Text string
}

func (e *TextError) Error() string {
	if e.CMS {
		return "+CMS ERROR: " + e.Text
	}
	return "+CME ERROR: " + e.Text
}

// URC is an unsolicited result code: its line, and the line that belongs to it
// for +CMT, +CDS and +CBM.
type URC struct {
	Line string
	// Trailer is the PDU line; "" when the code has none or it was lost.
	Trailer string
}

// Phase is how far a submission came. What happened before PhasePDUSent was
// certainly not sent.
type Phase uint8

const (
	PhaseNone    Phase = iota
	PhaseCommand       // AT+CMGS written
	PhasePrompt        // the modem's > seen
	PhaseGate          // the gate has been asked
	PhasePDUSent       // PDU and Ctrl-Z handed to the port
)

// Submission is what became of one AT+CMGS.
type Submission struct {
	Phase Phase
	// MR is TP-MR from +CMGS when Err is nil; -1 when there is none, or when the
	// modem accepted without a number that can be read.
	MR int
	// SCTS is the time stamp that some modems add to +CMGS; zero else.
	SCTS time.Time
	// Err is nil when the network accepted; CMSError, CMEError, ErrFailed for
	// the modem's words (also *TextError); the gate's own error when it refused;
	// else ErrTimeout, ErrGone, ErrNoReference, ErrUnsynced, ErrInvalid. When the
	// context ended it, both ErrTimeout and the context's cause match; a context
	// that had ended before anything was written gives its cause alone.
	Err error
	// PromptAt and SentAt are when the prompt came and Ctrl-Z had left.
	PromptAt, SentAt time.Time
	// Took is from Ctrl-Z to the error; below zero when Ctrl-Z was an earlier run's.
	Took time.Duration
}

// TraceEntry is one redacted line of the AT dialogue.
type TraceEntry struct {
	At   time.Time
	Out  bool // to the modem
	Line string
}
