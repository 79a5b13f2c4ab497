package emulator

import (
	"cmp"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
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
	// LinkSaves is the share of the latency that a submission does without when
	// AT+CMMS has kept the link open since the last one; 0: it helps nothing.
	LinkSaves float64
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
	// Timings gets a JSON line for each Timing; nil: nobody measures.
	Timings io.Writer
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

// roomDelay is how long after room was made the network tries again.
const roomDelay = time.Second

// Network is the emulated network with its service centre.
type Network struct {
	o       NetworkOptions
	ledger  ledger
	timings timings
	table   map[string]entry // of commands; never changed

	mu     sync.Mutex // guards what follows; a modem's is never taken while it is held
	modems []*Modem
	sims   map[string]*sim // by ICCID
	rules  []*Rule
	rand   *rand.Rand
	ref    byte                       // concatenation reference of inbound messages
	parts  map[partKey]map[int]string // of concatenated messages that get a reply
	closed bool
	timers map[*time.Timer]struct{}
}

// NewNetwork makes a network without modems. Close it when it is not needed
// any more.
func NewNetwork(o NetworkOptions) *Network {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Validity = cmp.Or(o.Validity, 72*time.Hour)
	n := &Network{
		o: o, ledger: ledger{w: o.Ledger}, timings: timings{w: o.Timings}, table: commands(), sims: make(map[string]*sim),
		rand:  rand.New(rand.NewPCG(uint64(o.Seed), 0x5eed)),
		parts: make(map[partKey]map[int]string), timers: make(map[*time.Timer]struct{}),
	}
	rules := o.Rules
	if !o.NoMagic {
		rules = append(slices.Clip(rules), Magic()...)
	}
	for i := range rules {
		n.rules = append(n.rules, &rules[i])
	}
	return n
}

// AddModem adds a modem that has long been switched on, with its SIM.
func (n *Network) AddModem(o ModemOptions) *Modem {
	n.mu.Lock()
	o = o.withDefaults(len(n.modems))
	m := &Modem{net: n, index: len(n.modems), fam: familyOf(o.Family), changed: make(chan struct{})}
	o.SMSlots = cmp.Or(o.SMSlots, m.fam.SM)
	o.MESlots = cmp.Or(o.MESlots, m.fam.ME)
	o.Firmware = cmp.Or(o.Firmware, m.fam.Firmware)
	m.o = o
	m.stores = map[string]*store{
		"SM": newStore("SM", m.fam.FirstIndex, o.SMSlots),
		"ME": newStore("ME", m.fam.FirstIndex, o.MESlots),
		"SR": newStore("SR", m.fam.FirstIndex, m.fam.SR),
	}
	m.state = m.freshState()
	if !o.NoSIM {
		m.sim = newSIM(o.ICCID, o.IMSI, o.Number, o.PIN, o.PUK)
		m.sim.modem = m
		n.sims[o.ICCID] = m.sim
		if m.sim.unlocked {
			m.state.reg = regHome
		}
	}
	n.modems = append(n.modems, m)
	n.mu.Unlock()
	return m
}

// Modems are the network's modems in the order of their making.
func (n *Network) Modems() []*Modem {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.modems)
}

// Ledger is a copy of what has been recorded: all of it, or at least the last
// ten thousand entries when a writer takes them.
func (n *Network) Ledger() []Entry { return n.ledger.copy() }

// Close ends all sessions, waits for them and forgets what was still to come.
// The error is that of writing the ledger, if it failed.
func (n *Network) Close() error {
	n.mu.Lock()
	n.closed = true
	for t := range n.timers {
		t.Stop()
	}
	clear(n.timers)
	modems := slices.Clone(n.modems)
	n.mu.Unlock()
	for _, m := range modems {
		m.mu.Lock()
		sessions := slices.Clone(m.sessions)
		m.mu.Unlock()
		for _, s := range sessions {
			s.end(io.EOF)
			<-s.ended
		}
	}
	return errors.Join(n.ledger.failure(), n.timings.failure())
}

// after runs f later, on a goroutine of its own, unless the network closed.
func (n *Network) after(d time.Duration, f func()) (stop func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return func() {}
	}
	var t *time.Timer
	t = time.AfterFunc(max(d, 0), func() {
		n.mu.Lock()
		_, due := n.timers[t]
		delete(n.timers, t)
		n.mu.Unlock()
		if due {
			f()
		}
	})
	n.timers[t] = struct{}{}
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		t.Stop()
		delete(n.timers, t)
	}
}

// latency is how long the network takes for one submission.
func (n *Network) latency() time.Duration {
	if n.o.LatencySigma <= 0 {
		return n.o.Latency
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Duration(float64(n.o.Latency) * math.Exp(n.o.LatencySigma*n.rand.NormFloat64()))
}

// simLocked finds a SIM by its ICCID or its number, which may lack the country.
func (n *Network) simLocked(name string) *sim {
	if s := n.sims[name]; s != nil {
		return s
	}
	d := digits(name)
	for _, s := range n.sims {
		own := digits(s.number)
		if own != "" && (own == d || len(d) >= 9 && !strings.HasPrefix(name, "+") && strings.HasSuffix(own, d)) {
			return s
		}
	}
	return nil
}
