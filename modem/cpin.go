package modem

import (
	"context"
	"errors"
	"strings"

	"recado/modem/at"
)

// Answers to AT+CPIN? (TS 27.007 8.3), and our words for the errors that come
// in their place.
const (
	cpinReady  = "READY"
	cpinPIN    = "SIM PIN"
	cpinPUK    = "SIM PUK"
	cpinPIN2   = "SIM PIN2" // of no concern to SMS
	cpinPUK2   = "SIM PUK2"
	cpinAbsent = "NOT INSERTED"
	cpinBusy   = "BUSY"
	cpinFailed = "FAILURE"
	cpinWrong  = "WRONG"
	cpinOff    = "POWERED DOWN"
	cpinBare   = "OK" // and no word about the SIM
)

// cpinWords are the ways in which makes put what the standard has another word
// for.
var cpinWords = map[string]string{
	"NOT READY": cpinBusy, "SIM NOT READY": cpinBusy, "SIM BUSY": cpinBusy, "INIT": cpinBusy, "SIM INIT": cpinBusy,
	"SIM NOT INSERTED": cpinAbsent, "REMOVED": cpinAbsent, "SIM REMOVED": cpinAbsent, "NO SIM": cpinAbsent,
	"SIM ABSENT": cpinAbsent, "ABSENT": cpinAbsent,
	"SIM FAILURE": cpinFailed, "SIM FAIL": cpinFailed, "SIM ERROR": cpinFailed, "ERROR": cpinFailed,
	"SIM WRONG": cpinWrong, "BLOCKED": cpinPUK, "SIM BLOCKED": cpinPUK, "SIM POWERED DOWN": cpinOff,
}

// locks are the personalisations: what the modem is locked to, by the word that
// it asks with.
var locks = map[string]string{
	"PH-SIM":    "the modem is locked to another SIM",
	"PH-FSIM":   "the modem is locked to the first SIM that it had",
	"PH-NET":    "the modem is locked to one network",
	"PH-NETSUB": "the modem is locked to a part of one network",
	"PH-SP":     "the modem is locked to one provider",
	"PH-CORP":   "the modem is locked to one company",
	"PH-HIDDEN": "the modem is locked and wants a hidden key",
}

// cpinCME are the numbers of +CME ERROR that say what +CPIN: would have.
var cpinCME = map[at.CMEError]string{
	5: "PH-SIM PIN", 6: "PH-FSIM PIN", 7: "PH-FSIM PUK",
	10: cpinAbsent, 11: cpinPIN, 12: cpinPUK, 13: cpinFailed, 14: cpinBusy, 15: cpinWrong,
	16: cpinPIN, // the last one was wrong
	17: cpinPIN2, 18: cpinPUK2,
	40: "PH-NET PIN", 41: "PH-NET PUK", 42: "PH-NETSUB PIN", 43: "PH-NETSUB PUK", 44: "PH-SP PIN", 45: "PH-SP PUK",
	46: "PH-CORP PIN", 47: "PH-CORP PUK", 48: "PH-HIDDEN KEY",
	262: cpinPUK, 772: cpinOff,
}

// cpinCMS are those of +CMS ERROR.
var cpinCMS = map[at.CMSError]string{
	310: cpinAbsent, 311: cpinPIN, 312: "PH-SIM PIN", 313: cpinFailed, 314: cpinBusy, 315: cpinWrong,
	316: cpinPUK, 317: cpinPIN2, 318: cpinPUK2,
}

// cpinWord is the answer as one of our words, or what the modem said.
func cpinWord(s string) string {
	s = strings.ToUpper(strings.Join(strings.Fields(fields(s)[0]), " "))
	if word, ok := cpinWords[s]; ok {
		return word
	}
	return printable(s, 20)
}

// cpinError is an error as one of our words. What says nothing about the SIM is
// taken for a modem that is not ready to answer.
func cpinError(err error) string {
	if e, ok := errors.AsType[at.CMEError](err); ok && cpinCME[e] != "" {
		return cpinCME[e]
	}
	if e, ok := errors.AsType[at.CMSError](err); ok && cpinCMS[e] != "" {
		return cpinCMS[e]
	}
	return cpinBusy
}

// simOpen says that messages can be sent and received with the SIM.
func simOpen(state string) bool {
	return state == cpinReady || state == cpinPIN2 || state == cpinPUK2
}

// lockReason is what an operator is told of a state that no other case has: a
// lock of the modem, or a word that nobody knows.
func lockReason(state string) string {
	kind, code, _ := strings.Cut(state, " ")
	says, ok := locks[kind]
	if !ok {
		return "the modem asks for " + printable(state, 20) + ": " + doUnlock
	}
	if code == "PUK" {
		says += ", and its code was entered wrongly too often"
	}
	return says + " (it asks for " + state + "): " + doUnlock
}

// cpin asks for the SIM's state. Some say it without a final OK, some say OK
// and nothing else.
func (s *session) cpin(ctx context.Context) string {
	bare, oks := false, 0
	for range 3 {
		lines, err := s.ask(ctx, "+CPIN?", simAnswer)
		if rest, ok := after(lines, "+CPIN"); ok {
			return cpinWord(rest)
		}
		if s.err != nil {
			return ""
		}
		if err != nil && !errors.Is(err, at.ErrTimeout) && !errors.Is(err, at.ErrFailed) {
			return cpinError(err)
		}
		if err == nil {
			oks++
		}
		bare = bare || err == nil || errors.Is(err, at.ErrFailed)
	}
	// No word about it: a SIM that tells its IMSI is open.
	if lines, err := s.ask(ctx, "+CIMI", simAnswer); err == nil && len(imsi(lines)) >= 6 {
		return cpinReady
	}
	if oks == 3 {
		return cpinBare
	}
	if bare {
		return cpinBusy
	}
	s.demand(stepReset, "the modem does not say how its SIM is")
	return ""
}
