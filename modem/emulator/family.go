package emulator

import (
	"slices"
	"time"
)

// Family is what one family of modems does in its own way. It is data: what the
// commands do is the same code for all.
type Family struct {
	Name                          string
	Manufacturer, Model, Firmware string
	// USB: the port vanishes while the modem reboots.
	USB bool
	// Memories are the message storages that AT+CPMS knows, the first is the
	// default; SM, ME and SR are stores of their own, MT is SM and ME.
	Memories   []string
	SM, ME, SR int // slots
	FirstIndex int
	CPMSTest   string // the answer to AT+CPMS=?; "" is made of Memories
	CPMSOne    bool   // AT+CPMS takes mem1 only
	CNMI       [5][]int
	CSMS       []int // services that can be chosen
	CMEE       []int
	// CDSI is the memory that +CDSI names though the report is in SR; "" SR.
	CDSI string
	// CDS is the format of the head line of a report in PDU mode, %d the length.
	CDS string
	// ICCID and Retries are the commands for these; the value goes into %s.
	ICCID, Retries map[string]string
	// Boot are the lines of a boot, SIMBusy how long the SIM answers busy then.
	Boot    []Chatter
	SIMBusy time.Duration
	// Ready are the lines after the SIM's PIN was given or needs none.
	Ready []Chatter
	// Chatter comes by itself, every so often, while the port is open; AT
	// commands named in Quiet stop it.
	Chatter []Chatter
	Quiet   []string
	// Full is said when a message found no room.
	Full string
	// SubmitReport adds the SMS-SUBMIT-REPORT to +CMGS with CSMS=1.
	SubmitReport bool
	// CMGLText: AT+CMGL takes "ALL" in PDU mode too.
	CMGLText bool
	// DirectNeedsService: +CMT and +CDS only with AT+CSMS=1.
	DirectNeedsService bool
	// Extra are commands that are answered OK, or with a line.
	Extra map[string]string

	// Reset are commands that restart it, beside AT+CFUN=1,1 and AT+CFUN=16.
	Reset []string
	// PINPause: a command so soon after a PIN was accepted makes it reboot.
	PINPause time.Duration
	// Late: what was stored is announced at once, and counted and read only
	// after this time.
	Late time.Duration
	// Crash: chatter that is not stopped for so long makes it reboot.
	Crash time.Duration
	// ReadyAfter: its port is there so long before it hears anything; the lines
	// of Boot come then.
	ReadyAfter time.Duration
	// Blind is a memory that stores and counts, and lists and reads nothing.
	Blind string
	// ListWords: AT+CMGL takes words only, also in PDU mode.
	ListWords bool
	// Unplaced: messages are announced without memory, at index -1.
	Unplaced bool
	// Erased: the list of MT ends with a record of nothing but FF.
	Erased bool
	// LastCDS: after a +CDS it never announces anything again.
	LastCDS bool
	// DiesOff: with the radio off it hears nothing more until it loses power.
	DiesOff bool
	// BareCPIN: the answer to AT+CPIN? has no OK.
	BareCPIN bool
	USSD     USSD
}

// Chatter is a line that a modem says by itself.
type Chatter struct {
	After time.Duration // after the boot, or between two times
	Line  string
}

// Families are the names that ModemOptions.Family knows.
func Families() []string {
	names := make([]string, 0, 10)
	for _, f := range families() {
		names = append(names, f.Name)
	}
	return names
}

// familyOf finds a family; the generic one when there is none of that name.
func familyOf(name string) Family {
	all := families()
	if i := slices.IndexFunc(all, func(f Family) bool { return f.Name == name }); i >= 0 {
		return all[i]
	}
	return all[0]
}

func seq(from, to int) []int {
	var s []int
	for i := from; i <= to; i++ {
		s = append(s, i)
	}
	return s
}
