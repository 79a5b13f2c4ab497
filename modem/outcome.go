package modem

import (
	"time"

	"recado/modem/at"
	"recado/modem/family"
)

// Verdict is what the network made of a submission.
type Verdict uint8

const (
	// NotSent: certainly nothing left; a retry is free.
	NotSent Verdict = iota
	// Accepted: the SMSC has it.
	Accepted
	// Rejected: the network or the modem definitely refused it.
	Rejected
	// Ambiguous: it may or may not have been sent.
	Ambiguous
)

// Outcome is what became of one Send.
type Outcome struct {
	Verdict Verdict
	// MR is TP-MR when Accepted, else -1.
	MR   int
	SCTS time.Time
	// Code is "cms_38", "cme_10", "error", "timeout", "gone", "refused" …; "" when
	// Accepted. Class is of ErrorClass, and says what the pool does next.
	Code  string
	Class ErrorClass
	// Plan is how the message is tried again; nil when Accepted, and when the
	// gate refused.
	Plan Plan
	// HoldSIM: nothing can leave on this SIM before its service centre's number
	// changes or an operator has acted.
	HoldSIM bool
	Err     error
	// Detail says in plain words what happened and what to do; "" when Accepted.
	Detail string
	// Phase is how far it came.
	Phase at.Phase
	// Prompted is how long the modem took to its prompt; 0: it did not come.
	Prompted time.Duration
	// Late is not nil when the answer is Ambiguous and the modem still listens
	// for the real one. It gives at most one Outcome, Accepted or Rejected, and
	// is closed when listening ended; the line is not ready before that.
	Late <-chan Outcome
}

// OutcomeFor reads the error tables for what a submission came to in a modem of
// that make: what Send returns, but for a late answer.
func OutcomeFor(f *family.Family, sub at.Submission) Outcome { return outcomeFor(f, sub) }

// ErrorClass is what an error means for the message and the line
// (R C N S D M B U of the error tables).
type ErrorClass string

const (
	ClassNone      ErrorClass = ""
	ClassRecipient ErrorClass = "recipient" // R permanent for this recipient
	ClassContent   ErrorClass = "content"   // C permanent for this content
	ClassNetwork   ErrorClass = "network"   // N temporary, back off
	ClassSIM       ErrorClass = "sim"       // S try another SIM
	ClassDevice    ErrorClass = "device"    // D try again, recover the modem
	ClassStorage   ErrorClass = "storage"   // M
	ClassBusy      ErrorClass = "busy"      // B same modem in a moment
	ClassUnknown   ErrorClass = "unknown"   // U outcome unknown
)
