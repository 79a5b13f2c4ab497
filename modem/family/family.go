// Package family is what the makes of modems do differently, as data: who they
// are, which of their ports speaks AT, what their start needs, which settings
// they take, how long they may need, what their error numbers mean. A family is
// one file; Generic is what 3GPP TS 27.005 and TS 27.007 say and what every
// unknown modem gets.
//
// To add one, write its file: a variable made by variant, which begins with
// what Generic has. Then write its dialogue in modem/testdata/families.
package family

import (
	"slices"
	"strings"
	"time"
)

// Family is one make's habits.
type Family struct {
	Name string
	// Makers are looked for, without regard to case, in the answer to AT+CGMI:
	// all of their models are of this family but those that another family
	// names. Models are looked for in the answer to AT+CGMM, when the maker is
	// one of Makers or Of, or is nobody's: the longest that fits counts. Generic
	// has none.
	Makers, Of, Models []string
	// Ports say what the USB interfaces are for; empty for serial modems.
	Ports []PortRule

	// Quiet says how long a freshly opened port is left alone after the modem
	// restarted, unless a line of Boot comes before; 0: not at all.
	Quiet time.Duration
	// Init are commands sent after the identity is known, before the SIM is
	// looked at; their errors are of no concern. Without "AT".
	Init []string
	// AfterPIN is the pause after a PIN was accepted, in which nothing is sent.
	AfterPIN time.Duration
	// Unlocked are commands that must follow as soon as the SIM is open, each
	// up to three times until the modem takes it.
	Unlocked []string
	// PINTries are the questions that may tell how many tries the PIN has left,
	// best first.
	PINTries []PINQuery
	// PUKTries are the same for the PUK.
	PUKTries []PINQuery
	// ICCID are the commands that may give the ICCID, best first.
	ICCID []string

	// CNMI is the ladder of AT+CNMI settings, best first. Only the OK to the
	// setting counts: modems advertise what they refuse.
	CNMI []CNMI
	// Unannounced: messages may come without a word although AT+CNMI was taken.
	Unannounced bool
	// Acked are settings that the modem takes with AT+CSMS=1 only, where every
	// report wants AT+CNMA. They are tried when CNMI gave no reports.
	Acked []CNMI
	// Ack acknowledges a report or message with AT+CSMS=1. Without "AT".
	Ack string
	// NoLink: it has no AT+CMMS, which keeps the link to the service centre open.
	NoLink bool
	// Charset is the value of AT+CSCS.
	Charset string
	// Storages are the memories that may hold received messages, in the order
	// they are preferred; empty: the bigger of ME and SM.
	Storages []string
	// USSD are the ways in which a request is written, best first: the next is
	// tried after ERROR.
	USSD []USSDCoding
	// USSDPlain makes the modem take and give USSDText where it would not by
	// itself; it is given before that is tried. Without "AT"; "" when there is
	// no such command.
	USSDPlain string
	// USSDTimeout is how long the network's answer to a USSD request may take.
	USSDTimeout time.Duration

	// ZoneUpdate is the value of AT+CTZU that has the modem's clock set to local
	// time by the network.
	ZoneUpdate int

	// RadioOff switches the radio off (RadioOn brings it back). Without "AT"; ""
	// when that must never be done.
	RadioOff, RadioOn string
	// Reset restarts the module. Without "AT"; "" when it has no such command.
	Reset string
	// ResetWait is how long it stays away after that at the most.
	ResetWait time.Duration

	// Pace is the least pause between two commands, AfterPrompt between the
	// prompt and the PDU; 0 none.
	Pace, AfterPrompt time.Duration
	// PromptTimeout and ResultTimeout are of AT+CMGS; ResultTimeout counts from
	// the moment the PDU has left.
	PromptTimeout, ResultTimeout time.Duration

	// CMS and CME are what this make's error numbers mean, where that is not
	// what the tables of package modem say.
	CMS, CME map[int]Code

	// Boot are beginnings of lines that the modem says only when it has just
	// (re)started or is about to go down.
	Boot []string
	// Full are beginnings of lines that say that the SMS storage is full.
	Full []string
}

// CNMI is a setting of AT+CNMI (TS 27.005 3.4.1).
type CNMI struct{ Mode, MT, BM, DS, BFR int }

// Generic is the family of every modem that no other claims.
var Generic = Family{
	Name:     "generic",
	PINTries: unknownPINTries(),
	PUKTries: unknownPUKTries(),
	ICCID:    []string{"+CCID", "+ICCID", "^ICCID?", "+QCCID", "+CRSM=176,12258,0,0,10"},
	AfterPIN: 3 * time.Second,
	CNMI: []CNMI{
		{2, 1, 0, 1, 0}, {2, 1, 0, 2, 0}, {1, 1, 0, 1, 0}, {1, 1, 0, 2, 0},
		{2, 1, 0, 1, 1}, {2, 1, 0, 2, 1}, {1, 1, 0, 1, 1}, {1, 1, 0, 2, 1},
		{2, 1, 0, 0, 0}, {1, 1, 0, 0, 0}, {2, 1, 0, 0, 1}, {1, 1, 0, 0, 1},
	},
	Ack:           "+CNMA",
	Charset:       "GSM",
	USSD:          []USSDCoding{USSDText, USSDUCS2, USSDPacked},
	USSDTimeout:   30 * time.Second,
	ZoneUpdate:    1,
	RadioOff:      "+CFUN=4",
	RadioOn:       "+CFUN=1",
	Reset:         "+CFUN=1,1",
	ResetWait:     90 * time.Second,
	PromptTimeout: 10 * time.Second,
	ResultTimeout: 180 * time.Second,
	Boot: []string{
		"RDY", "+READY", "^SYSSTART", "Call Ready", "SMS Ready", "SMS DONE", "+QIND: SMS DONE", "+CFUN: 1",
		"POWERED DOWN", "NORMAL POWER DOWN", "UNDER-VOLTAGE POWER DOWN", "OVER-VOLTAGE POWER DOWN", "^SHUTDOWN",
	},
	Full: []string{"^SMMEMFULL", "+SMS FULL", "+CIEV: \"SMSFULL\"", "+QIND: \"smsfull\"", "+SMSFULL", "SMS FULL"},
}

// all are the families that are looked through before Generic. It is filled
// while the package's variables are made, each file adding its own, and never
// changes after that.
var all []*Family

// variant is a new family: Generic as change leaves it.
func variant(change func(*Family)) *Family {
	f := Generic
	change(&f)
	all = append(all, &f)
	return &f
}

// Families are all families, Generic last.
func Families() []*Family { return append(slices.Clone(all), &Generic) }

// Match finds the family of a modem by its answers to AT+CGMI and AT+CGMM.
func Match(manufacturer, model string) *Family {
	maker, mod := strings.ToLower(manufacturer), strings.ToLower(model)
	var known, best *Family
	foreign, fit := true, 0
	for _, f := range all {
		if containsAny(maker, f.Makers) {
			known = f
		}
		if containsAny(maker, f.Makers) || containsAny(maker, f.Of) {
			foreign = false
		}
	}
	for _, f := range all {
		if !foreign && !containsAny(maker, f.Makers) && !containsAny(maker, f.Of) {
			continue
		}
		for _, m := range f.Models {
			if len(m) > fit && strings.Contains(mod, strings.ToLower(m)) {
				best, fit = f, len(m)
			}
		}
	}
	switch {
	case best != nil:
		return best
	case known != nil:
		return known
	}
	return &Generic
}

func containsAny(s string, parts []string) bool {
	for _, p := range parts {
		if strings.Contains(s, strings.ToLower(p)) {
			return true
		}
	}
	return false
}

// ladder is settings of AT+CNMI in the order of bfrs, in each of modes, in each
// of ds; those without reports last.
func ladder(modes, reports []int, bfrs ...int) []CNMI {
	var list, none []CNMI
	for _, bfr := range bfrs {
		for _, mode := range modes {
			for _, ds := range reports {
				list = append(list, CNMI{Mode: mode, MT: 1, DS: ds, BFR: bfr})
			}
			none = append(none, CNMI{Mode: mode, MT: 1, BFR: bfr})
		}
	}
	return append(list, none...)
}
