// Package pool owns the lines: it brings modems up, lets each ready line claim
// and send the next message, and puts what they receive into the store. Only
// pool knows both the hardware and the queue.
package pool

import (
	"context"
	"errors"
	"io"
	"time"

	"recado/modem"
)

// Port is a place where a modem may be.
type Port struct {
	// Name as the operator gave it: /dev/ttyUSB2, a pty's path, tcp:HOST:PORT,
	// emulated:N.
	Name     string
	Open     func(ctx context.Context) (io.ReadWriteCloser, error)
	Emulated bool
}

// SIM states as api.md names them.
const (
	SIMReady        = "ready"
	SIMBusy         = "busy"
	SIMUnavailable  = "unavailable"
	SIMDisabled     = "disabled"
	SIMLimitReached = "limit_reached"
	SIMNoCredit     = "no_credit"
	SIMBlocked      = "blocked"
	SIMQuarantined  = "quarantined"
)

// SIM is a subscription with what is known of it now and what was kept.
type SIM struct {
	ICCID, IMSI, Name string
	// Number is the one a person entered, else the SIM's own.
	Number, Operator string
	State, Reason    string
	Modem            string // id of the modem it is in; "" when in none
	Emulated         bool
	Enabled          bool
	Signal           modem.Signal
	Registration     string
	AccessTechnology string
	SMSC             string
	SentTotal        int
	FailedRecent     int // rejected and ambiguous attempts in the last hour
	LastSentAt       time.Time
	// Now is the message being sent: "" when idle.
	Now string
}

// Share is a SIM's expected part of some work.
type Share struct {
	ICCID string
	Share float64 // 0–1
}

// Sentinels that callers branch on.
var (
	ErrNoModem = errors.New("no such modem")
	ErrNoSIM   = errors.New("no such SIM")
)
