// Package family is what the makes of modems do differently, as data: who they
// are, what their start needs, which settings they take, how long they may
// need. A family is one file; Generic is what 3GPP TS 27.005 and TS 27.007 say
// and what every unknown modem gets.
package family

import (
	"strings"
	"time"
)

// Family is one make's habits.
type Family struct {
	Name string
	// Makers and Models are looked for, without regard to case, in the answers
	// to AT+CGMI and AT+CGMM; Model wins over Maker. Generic has none.
	Makers, Models []string

	// Init are commands sent after the identity is known, before the SIM is
	// looked at; their errors are of no concern. Without "AT".
	Init []string
	// AfterPIN is the pause after a PIN was accepted.
	AfterPIN time.Duration
	// PINTries are the commands that may say how many tries the PIN has left,
	// best first. Without "AT".
	PINTries []string
	// ICCID are the commands that may give the ICCID, best first.
	ICCID []string

	// CNMI is the ladder of AT+CNMI settings, best first. Only the OK to the
	// setting counts: modems advertise what they refuse.
	CNMI []CNMI
	// Charset is the value of AT+CSCS.
	Charset string
	// Storages are the memories that may hold received messages, in the order
	// they are preferred; empty: the bigger of ME and SM.
	Storages []string

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
	PINTries: []string{"+CPINR=\"SIM PIN\"", "+CSIM=10,\"0020000100\""},
	ICCID:    []string{"+CCID", "+ICCID", "^ICCID?", "+QCCID", "+CRSM=176,12258,0,0,10"},
	AfterPIN: 3 * time.Second,
	CNMI: []CNMI{
		{2, 1, 0, 1, 0}, {2, 1, 0, 2, 0}, {1, 1, 0, 1, 0}, {1, 1, 0, 2, 0},
		{2, 1, 0, 1, 1}, {2, 1, 0, 2, 1}, {1, 1, 0, 1, 1}, {1, 1, 0, 2, 1},
		{2, 1, 0, 0, 0}, {1, 1, 0, 0, 0}, {2, 1, 0, 0, 1}, {1, 1, 0, 0, 1},
	},
	Charset:       "GSM",
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

// all are the families that are looked through before Generic.
var all = []*Family{}

// Match finds the family of a modem by its answers to AT+CGMI and AT+CGMM.
func Match(manufacturer, model string) *Family {
	maker, mod := strings.ToLower(manufacturer), strings.ToLower(model)
	for _, f := range all {
		if containsAny(mod, f.Models) {
			return f
		}
	}
	for _, f := range all {
		if containsAny(maker, f.Makers) {
			return f
		}
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
