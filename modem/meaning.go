package modem

import (
	"context"
	"errors"
	"fmt"
	"time"

	"recado/modem/at"
	"recado/modem/family"
)

// Meaning is a row of the error tables: what a code of +CMS ERROR or +CME
// ERROR says about the message, the SIM and the modem.
type Meaning struct {
	// Code is stable: "cms_38", "cme_10", "error", "timeout", "gone".
	Code string
	// Says is the standard's text; Do is what an operator can do about it.
	Says, Do string
	// Verdict holds when the code came after the PDU had left. Before that
	// nothing was sent whatever the code.
	Verdict Verdict
	Class   ErrorClass
	// Wait is the pause before the first retry (0: the class's), Flat says that
	// it does not grow. Tries bounds the retries that are worth while (0: none is
	// too many), Then is the class afterwards ("": the message fails), with
	// ThenTries more.
	Wait      time.Duration
	Flat      bool
	Tries     int
	Then      ErrorClass
	ThenTries int
	// SIMs, Degrade and Untouched are those of Stage.
	SIMs      Choice
	Degrade   Degrade
	Untouched bool
	// HoldSIM: nothing can leave on this SIM before its service centre's number
	// changes or an operator has acted.
	HoldSIM bool
	// Alarm is what Snapshot.Alarm says after alarmAfter of them in a row.
	Alarm string

	// after is what the modem itself has to do about it; again is that for the
	// second in a row, and all after it (stepNone: the same).
	after, again step
}

// step is where a modem goes on its way up, or back to after an error. The
// higher, the further back.
type step uint8

const (
	stepNone         step = iota
	stepSweep             // the storage is full: read and delete now
	stepRegister          // wait for the network again
	stepSetup             // configure again (ladder L1)
	stepSIM               // look at the SIM again
	stepIdentify          // from the first AT on: the modem has restarted
	stepBarred            // the network does not take this device: nothing, until something changes
	stepReset             // restart the module (ladder L3)
	stepOrderedReset      // the same, by an operator: no limit
)

// Detail joins what an error says and what to do.
func (m Meaning) Detail() string {
	if m.Do == "" {
		return m.Says
	}
	return m.Says + "; " + m.Do
}

// MeaningOf is the row of the error tables for err. An error that no table
// knows takes the safe side: the outcome is unknown.
func MeaningOf(err error) Meaning {
	if cms, ok := errors.AsType[at.CMSError](err); ok {
		return meaningOfCMS(int(cms))
	}
	if cme, ok := errors.AsType[at.CMEError](err); ok {
		return meaningOfCME(int(cme))
	}
	if words, ok := errors.AsType[*at.TextError](err); ok {
		return Meaning{Code: "words", Says: "the modem says " + printable(words.Text, 60), Verdict: Ambiguous, Class: ClassUnknown, Tries: 1, Then: ClassNetwork, ThenTries: 2}
	}
	switch {
	case errors.Is(err, at.ErrInvalid):
		return Meaning{Code: "invalid", Says: "not a message that can be sent", Do: doReport, Verdict: NotSent, Class: ClassContent}
	case errors.Is(err, at.ErrNoReference):
		return Meaning{Code: "no_reference", Says: "the modem said OK without a reference", Verdict: Ambiguous, Class: ClassUnknown}
	case errors.Is(err, at.ErrUnsynced):
		return Meaning{Code: "unsynced", Says: "the modem still owes an answer", Verdict: NotSent, Class: ClassDevice}
	case errors.Is(err, at.ErrTimeout):
		return Meaning{Code: "timeout", Says: "no answer in time", Verdict: Ambiguous, Class: ClassUnknown}
	case errors.Is(err, at.ErrGone):
		return Meaning{Code: "gone", Says: "the modem went away", Do: "check the cable and the power", Verdict: Ambiguous, Class: ClassUnknown}
	case errors.Is(err, errRebooted):
		return Meaning{Code: "rebooted", Says: "the modem restarted by itself", Do: "check its power supply", Verdict: Ambiguous, Class: ClassUnknown}
	case errors.Is(err, at.ErrFailed):
		return Meaning{Code: "error", Says: "the modem answered ERROR without a reason", Verdict: Ambiguous, Class: ClassUnknown, Tries: 1, Then: ClassNetwork, after: stepSetup}
	case errors.Is(err, ErrNotReady):
		return Meaning{Code: "not_ready", Says: err.Error(), Verdict: NotSent, Class: ClassDevice}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Meaning{Code: "cancelled", Says: "given up before an answer", Verdict: Ambiguous, Class: ClassUnknown}
	}
	return Meaning{Code: "unknown", Says: err.Error(), Verdict: Ambiguous, Class: ClassUnknown}
}

// meaningOfCMS finds a code in the table, else in what the standards say of
// its range: 1–127 are RP causes and 128–255 TP causes, so the network did
// answer; from 256 on nobody knows what an unlisted number means.
func meaningOfCMS(code int) Meaning {
	m, ok := cmsErrors[code]
	switch {
	case ok:
	case code >= 1 && code <= 127: // TS 24.011 8.2.5.4: unlisted is 41 (MO)
		m = Meaning{Says: "the network refused it for a reason without a name", Verdict: Rejected, Class: ClassNetwork, Tries: 2}
	case code >= 224 && code <= 254: // TS 23.040 9.2.3.22: values specific to an application
		m = Meaning{Says: "the service centre refused it for a reason of its own", Verdict: Rejected, Class: ClassNetwork, Tries: 2}
	case code >= 128 && code <= 255:
		m = Meaning{Says: "the service centre refused it for a reason without a name", Verdict: Rejected, Class: ClassNetwork, Tries: 2}
	case code >= 516 && code <= 599:
		m = Meaning{Says: "an error of this manufacturer's own", Do: doManual, Verdict: Ambiguous, Class: ClassDevice, Tries: 1, Then: ClassNetwork}
	default:
		m = Meaning{Says: "an error that no table knows", Do: doManual, Verdict: Ambiguous, Class: ClassUnknown, Tries: 1, Then: ClassNetwork, ThenTries: 2}
	}
	m.Code = fmt.Sprintf("cms_%d", code)
	return m
}

// meaningFor is MeaningOf with what the make says of its own numbers first.
func meaningFor(f *family.Family, err error) Meaning {
	m := MeaningOf(err)
	var code family.Code
	var own bool
	if cms, ok := errors.AsType[at.CMSError](err); ok {
		code, own = f.CMS[int(cms)]
	} else if cme, ok := errors.AsType[at.CMEError](err); ok {
		code, own = f.CME[int(cme)]
	}
	if !own {
		return m
	}
	return Meaning{
		Code: m.Code, Says: code.Says, Do: code.Do, Verdict: verdictOf[code.Sent],
		Class: ErrorClass(code.Class), Wait: code.Wait, Flat: code.Flat, Tries: code.Tries,
		Then: ErrorClass(code.Then), ThenTries: code.ThenTries, SIMs: choiceOf[code.SIMs],
		after: stepOf[code.Next],
	}
}

// The words of package family in ours.
var (
	verdictOf = map[family.Sent]Verdict{
		family.SentUnknown: Ambiguous, family.SentNot: NotSent, family.SentRefused: Rejected,
	}
	choiceOf = map[family.SIMs]Choice{
		family.SIMsByClass: AnySIM, family.SIMsOneOther: OneOtherSIM, family.SIMsOtherOperator: OtherOperator,
	}
	stepOf = map[family.Next]step{
		family.NextNothing: stepNone, family.NextSweep: stepSweep, family.NextRegister: stepRegister,
		family.NextSetup: stepSetup, family.NextSIM: stepSIM, family.NextReset: stepReset,
	}
)

func meaningOfCME(code int) Meaning {
	m, ok := cmeErrors[code]
	switch {
	case ok:
	case code >= 127 && code <= 151, code >= 171 && code <= 233:
		m = Meaning{Says: "an error of data sessions", Verdict: Ambiguous, Class: ClassNetwork}
	default:
		m = Meaning{Says: "an error of this manufacturer's own", Do: doManual, Verdict: Ambiguous, Class: ClassDevice, Tries: 1, Then: ClassNetwork}
	}
	m.Code = fmt.Sprintf("cme_%d", code)
	return m
}
