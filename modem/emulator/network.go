package emulator

import (
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"time"
)

// NetworkOptions describe the network and how fast everything is. The zero
// value answers at once.
type NetworkOptions struct {
	// Latency is the time from Ctrl-Z to the network's answer: constant, or the
	// median of a lognormal distribution when LatencySigma is above 0.
	Latency time.Duration
	// LatencySigma is the standard deviation of the latency's logarithm.
	LatencySigma float64
	// CommandLatency is the time from the end of a command line to its answer.
	CommandLatency time.Duration
	// Baud paces both directions of every port at 10 bits an octet; 0: none.
	Baud int
	// ReportDelay is the time from acceptance to delivery and its report.
	ReportDelay time.Duration
	// Validity is how long the service centre keeps a message without TP-VP;
	// 0: 72 h.
	Validity time.Duration
	// Ledger gets a JSON line for each Entry; nil: kept in memory only.
	Ledger io.Writer
	// Now is the network's clock (SCTS, ledger); time.Now when nil.
	Now func() time.Time
	// Seed makes the random parts (latency, rules' probability) repeatable.
	Seed int64
	// Rules come before Magic. NoMagic leaves Magic out.
	Rules   []Rule
	NoMagic bool
}

// ErrNoSuchSIM: no modem of this network holds the SIM.
var ErrNoSuchSIM = errors.New("no emulated SIM has this ICCID or number")

// Network is the emulated network with its service centre.
type Network struct {
	o      NetworkOptions
	ledger ledger

	mu     sync.Mutex // guards what follows; taken before a Modem's
	modems []*Modem
	sims   map[string]*sim // by ICCID
	rules  []*Rule
	rand   *rand.Rand
	ref    byte // concatenation reference of inbound messages
	closed bool
	timers map[*time.Timer]struct{}
}
