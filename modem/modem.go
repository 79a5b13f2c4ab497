// Package modem is one modem's life: it opens the port, finds out who answers,
// brings the SIM and the registration up, sends, receives and recovers.
//
// One goroutine owns the modem; others ask it through a mailbox and read
// Snapshot copies. The package knows no SQL: what arrives goes to a Sink, and
// is deleted from the modem only after the Sink has said that it is safe.
package modem

import (
	"context"
	"io"
	"log/slog"
	"time"

	"recado/modem/pdu"
)

// State is where a modem is in its life.
type State string

const (
	StateAbsent     State = "absent"          // no such port; waits for it
	StateSettling   State = "settling"        // just appeared
	StateOpening    State = "opening"         //
	StateLocked     State = "locked"          // another program holds the port
	StateSync       State = "sync"            // looking for an answer to AT
	StateIdent      State = "identifying"     //
	StateSIM        State = "sim"             // waiting for the SIM, or its PIN
	StateNoSIM      State = "no_sim"          //
	StateSIMBlocked State = "sim_blocked"     // PIN or PUK wanted from an operator, network lock
	StateConfig     State = "configuring"     //
	StateRegister   State = "registering"     //
	StateSIMDenied  State = "sim_denied"      // the network refuses this SIM
	StateReady      State = "ready"           // able to send and receive
	StateSending    State = "sending"         // ready, a submission is open
	StateUnknown    State = "sending_unknown" // a submission's answer is owed: listens only
	StateRecover    State = "recovering"      //
	StateFault      State = "fault"           // the ladder is exhausted; probed now and then
	StateDisabled   State = "disabled"        // by an operator
)

// Sink takes what the modem received. Its owner is the pool.
type Sink interface {
	// Store makes a received TPDU durable. The modem deletes it from its
	// storage (or acknowledges it) only when Store returned nil.
	Store(ctx context.Context, r Received) error
	// Changed says that the snapshot changed: a hint, it must not block.
	Changed(Snapshot)
}

// Received is a TPDU with where it came from.
type Received struct {
	PDU         pdu.Received
	ICCID, IMSI string
	Modem       string // Identity.ID
	// Memory is where it was read from, as AT+CPMS has it ("unknown" when the modem
	// tells none), "" when it came without a copy (+CMT, +CDS). What is not SM does
	// not go with the SIM.
	Memory string
	// Fresh says that it was announced since the modem has this SIM, and not read
	// before: no other SIM has left it there.
	Fresh bool
	At    time.Time
}

// Config is what a modem needs to live.
type Config struct {
	// Name is the port as the operator named it: /dev/ttyUSB2, a pty's path,
	// tcp:HOST:PORT, or emulated:N.
	Name string
	// USBPath is where on the USB bus the modem is, "1-1.2"; "" when not known.
	USBPath string
	// Open opens the port; tty.Open for real ones.
	Open func(ctx context.Context) (io.ReadWriteCloser, error)
	Sink Sink
	Log  *slog.Logger
	// Now is the wall clock; time.Now when nil. Intervals are monotonic.
	Now func() time.Time
	// More says whether another message waits behind the one that is being sent: it
	// is asked once in a burst, when AT+CMMS may be worth its command, and must not
	// block. nil: AT+CMMS is never used.
	More func() bool
	// Links remembers where AT+CMMS helps; when nil, for as long as the Modem lives.
	Links LinkMemory
	// PINs remembers which codes were sent to which SIM; when nil, for as long as
	// the Modem lives.
	PINs PINMemory
	// Settle is the quiet time after a port appears (2 s when 0; negative: none,
	// for emulated modems).
	Settle time.Duration
	// USBReset takes the device off the USB bus and brings it back (L5 of the
	// ladder), PowerCycle cuts its power for a moment (L6); nil: cannot be done.
	USBReset, PowerCycle func(ctx context.Context) error
	// Disturb is asked before a rung that others on the same USB hub may feel,
	// "L3" to "L6": whether now is fine. nil: always.
	Disturb func(step string) bool
	// ResultTimeout is how long Send waits for the network's answer after the
	// PDU has left; the family's (180 s) when 0. When it is shorter, the modem
	// goes on listening until those 180 s are over: see Outcome.Late.
	ResultTimeout time.Duration
}

// Snapshot is a copy of what is known of a modem.
type Snapshot struct {
	// Version grows with every change: of two snapshots of one modem the one with
	// the greater is the newer.
	Version uint64
	// ID is the IMEI, else the USB path, else the port's name.
	ID, IMEI                      string
	Manufacturer, Model, Firmware string
	Family                        string
	Port, USBPath                 string
	State                         State
	Since                         time.Time
	// Earlier: the modem listens for what an earlier run is owed (see Expect), and
	// has not been asked for anything yet, nor for its SIM.
	Earlier bool
	// Reason says in plain words what an operator should know or do; "" when
	// all is well. LastError is the last fault, kept.
	Reason, LastError string
	Restarts          int
	SIM               SIM
	Signal            Signal
	Registration      string // not_registered, home, searching, denied, unknown, roaming, sms_only
	AccessTechnology  string // GSM, UTRAN, E-UTRAN …; "" unknown (TS 27.007 7.3)
	Operator          string
	// Storage is the SMS storage in use.
	StorageName               string
	StorageUsed, StorageTotal int
	// StorageForeign counts what other devices have stored there (drafts, sent
	// messages): it is left alone, see DeleteForeign.
	StorageForeign int
	// StorageSays names in plain words what is wrong with it and what to do: from
	// seven tenths full on, messages that cannot be read or do not go; "" when all
	// is well.
	StorageSays string
	// ReportsBy is the ds value of AT+CNMI that was obtained: 0 none.
	ReportsBy int
	// Alarm is a fault that only an operator can do something about, while the
	// modem itself is well: AlarmNoSMSService; "" none. An accepted message ends it.
	Alarm string
	// AmbiguousRecent counts the submissions of the last ten minutes whose
	// answer was lost. At two the line should be given no more work for a while.
	AmbiguousRecent int
}

// SIM is the subscription in the modem.
type SIM struct {
	ICCID, IMSI string
	// Number is the own number of AT+CNUM, "" when the SIM has none.
	Number string
	SMSC   string
	// State is the answer to AT+CPIN?, "" before it is known.
	State string
	// PINTries are the tries left; -1 unknown.
	PINTries int
}

// Signal is AT+CSQ.
type Signal struct {
	// Known is false for rssi 99: then RSSI means nothing.
	Known bool
	RSSI  int // dBm
	BER   int // 0–7, -1 unknown
}
