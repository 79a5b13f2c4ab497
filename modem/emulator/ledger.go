package emulator

import (
	"encoding/json"
	"io"
	"sync"
	"time"
)

// EntryType says what a ledger entry records.
type EntryType string

const (
	// EntrySubmit: a modem handed an SMS-SUBMIT over, and the network accepted
	// it or not.
	EntrySubmit EntryType = "submit"
	// EntryInbound: the network took a message for one of its SIMs. OA sent it.
	EntryInbound EntryType = "inbound"
	// EntryDeliver: an SMS-DELIVER reached the modem's storage or its port.
	EntryDeliver EntryType = "deliver"
	// EntryReport: an SMS-STATUS-REPORT reached the modem's storage or its port.
	EntryReport EntryType = "report"
)

// Entry is one line of the ledger.
type Entry struct {
	Time time.Time `json:"time"`
	Type EntryType `json:"type"`
	// Modem is the modem's name, "modem0".
	Modem string `json:"modem,omitempty"`
	// SIM is the ICCID of the emulated SIM that sends or receives.
	SIM string `json:"sim,omitempty"`
	// OA and DA are who sends and who receives; of a report, DA is TP-RA.
	OA string `json:"oa,omitempty"`
	DA string `json:"da,omitempty"`
	// Text is this segment's text; of binary data its hex.
	Text string `json:"text"`
	// MR is TP-MR as the modem assigned it; -1 where there is none.
	MR int `json:"mr"`
	// PDU is the TPDU in upper-case hex without SMSC octets: of a submit as the
	// host wrote it, TP-MR included.
	PDU string `json:"pdu,omitempty"`
	UDH string `json:"udh,omitempty"`
	DCS int    `json:"dcs"`
	// Accepted is what the network did with a submit. It is the truth.
	Accepted bool `json:"accepted"`
	// Answered says that the host was told that truth: +CMGS for what was
	// accepted, an error for what was not. False when the answer never comes,
	// lies, or had nobody left to hear it.
	Answered bool `json:"answered"`
	// Code is the +CMS ERROR that the host was given; 0 when none.
	Code int `json:"code,omitempty"`
	// ST is TP-ST of a report.
	ST int `json:"st,omitempty"`
	// Report says that a submit asked for a status report (TP-SRR).
	Report bool `json:"report_wanted,omitempty"`
	// Ref ties a delivery or a report to the entry that caused it: its Seq.
	Ref int `json:"ref,omitempty"`
	// Seq numbers the entries of a network from 1.
	Seq int `json:"seq"`
}

// kept is how many entries stay in memory when they are written down as well:
// an appliance with emulated modems may run for months.
const kept = 10_000

// ledger keeps the entries and writes each as a line of JSON, in one write.
type ledger struct {
	mu      sync.Mutex
	w       io.Writer
	n       int // entries so far
	entries []Entry
	err     error
}

// add numbers the entry, writes it and keeps it. It returns its number.
func (l *ledger) add(e Entry) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	e.Seq = l.n
	if l.w != nil && len(l.entries) >= 2*kept {
		l.entries = append(l.entries[:0:0], l.entries[kept:]...)
	}
	l.entries = append(l.entries, e)
	if l.w == nil || l.err != nil {
		return e.Seq
	}
	line, err := json.Marshal(e)
	if err == nil {
		_, err = l.w.Write(append(line, '\n'))
	}
	l.err = err
	return e.Seq
}

func (l *ledger) copy() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Entry(nil), l.entries...)
}

func (l *ledger) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}
