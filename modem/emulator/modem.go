package emulator

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"syscall"
	"time"
)

// ModemOptions describe a modem and the SIM in it. What is empty gets a value
// that no other modem of the network has.
type ModemOptions struct {
	// Name is what the ledger calls it: "modem0".
	Name string
	IMEI string
	// Family is one of Families; "generic" when empty.
	Family string
	// Firmware is the answer to AT+CGMR.
	Firmware string
	// The SIM. PIN locks it: AT+CPIN? says SIM PIN after every boot.
	ICCID, IMSI, Number, PIN, PUK string
	// NoSIM leaves the holder empty; see InsertSIM.
	NoSIM bool
	// Operator is the network's name, SMSC the service centre's number.
	Operator, SMSC string
	// Price is what a message costs, in cents: who has less left on the SIM is
	// refused. 0: nothing, and only who has nothing left is.
	Price int64
	// Signal is the rssi of AT+CSQ, 1–31, or 99 for unknown.
	Signal int
	// SMSlots and MESlots are the sizes of the storages.
	SMSlots, MESlots int
	// BootTime is how long a (re)boot or a replug takes; 2 s when 0.
	BootTime time.Duration
}

// registration states (+CREG <stat>, TS 27.007 clause 7.2).
const (
	regNone      = 0
	regHome      = 1
	regSearching = 2
	regDenied    = 3
)

// Modem is one emulated modem. Its AT settings are those of the modem, not of
// a session: as with a real one, closing the port changes nothing.
type Modem struct {
	net   *Network
	index int
	o     ModemOptions
	fam   Family

	mu       sync.Mutex // guards what follows
	sim      *sim       // nil: none
	power    powerState
	boots    int       // counts power changes, so that an old boot's timers know
	simReady time.Time // when the SIM answers after a boot
	deafTo   time.Time // until when it hears nothing, as Family.ReadyAfter says
	openedAt time.Time // when the PIN was given, zero before
	// override is the <stat> that a fault gives the registration, 0 none;
	// overrides counts them.
	override, overrides int
	// sessions are those who have the port open: one in the process, one for
	// each stream that is served. Like the ports of a USB modem they share all
	// settings, and what the modem says by itself goes to all.
	sessions []*session
	faults   []*Fault
	turn     int    // of the faults that go on by themselves: the last one's number
	hung     bool   // as FaultHang says
	taken    string // the ICCID of the SIM that a fault took out
	state    atState
	rtc      rtc
	stores   map[string]*store
	changed  chan struct{} // closed, and made anew, when the port comes or goes
}

// Name is what the ledger calls the modem.
func (m *Modem) Name() string { return m.o.Name }

// Number is the number of the SIM in the modem; "" without one.
func (m *Modem) Number() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sim == nil {
		return ""
	}
	return m.sim.number
}

// ICCID is that of the SIM in the modem; "" without one.
func (m *Modem) ICCID() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sim == nil {
		return ""
	}
	return m.sim.iccid
}

// IMEI identifies the modem.
func (m *Modem) IMEI() string { return m.o.IMEI }

// Open opens the modem's port in the process. It errs like a device file:
// ENOENT while the modem is unplugged, EBUSY while another has it open.
func (m *Modem) Open(ctx context.Context) (io.ReadWriteCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	host, device := newPipe()
	s, err := m.attach(device)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: "emulated:" + m.o.Name, Err: err}
	}
	go s.run()
	return &hostPort{pipeEnd: host, session: s}, nil
}

// hostPort is the driver's end of an in-process port. Close waits until the
// session has ended.
type hostPort struct {
	*pipeEnd
	session *session
}

func (p *hostPort) Close() error {
	err := p.pipeEnd.Close()
	<-p.session.ended
	return err
}

// Serve lets the modem speak over any stream until the stream ends, the modem
// is unplugged or ctx is done. When rw is an io.Closer it is closed at the end,
// which also ends a blocked Read; without Close, Serve returns only after Read
// does.
func (m *Modem) Serve(ctx context.Context, rw io.ReadWriter) error {
	s, err := m.attach(rw)
	if err != nil {
		if c, ok := rw.(io.Closer); ok {
			_ = c.Close()
		}
		return fmt.Errorf("open %s: %w", m.o.Name, err)
	}
	stop := context.AfterFunc(ctx, func() { s.end(context.Cause(ctx)) })
	defer stop()
	s.run()
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.cause()
}

// attach begins a session. A second one in the process is EBUSY.
func (m *Modem) attach(rw io.ReadWriter) (*session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.power == powerOff {
		return nil, syscall.ENOENT
	}
	s := newSession(m, rw)
	if s.inProcess() && slices.ContainsFunc(m.sessions, (*session).inProcess) {
		return nil, syscall.EBUSY
	}
	m.sessions = append(m.sessions, s)
	return s, nil
}

// detach is called by the session when it has ended.
func (m *Modem) detach(s *session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sessions = slices.DeleteFunc(m.sessions, func(x *session) bool { return x == s })
}

// withDefaults fills in what is unique to the index.
func (o ModemOptions) withDefaults(i int) ModemOptions {
	o.Name = cmp.Or(o.Name, fmt.Sprintf("modem%d", i))
	o.IMEI = cmp.Or(o.IMEI, luhn(fmt.Sprintf("35693803%06d", 500000+i)))
	o.Family = cmp.Or(o.Family, "generic")
	o.ICCID = cmp.Or(o.ICCID, luhn(fmt.Sprintf("893407990000%06d", 1000+i)))
	o.IMSI = cmp.Or(o.IMSI, fmt.Sprintf("%s%010d", networkOf(o.Operator), 4000000+i))
	o.Number = cmp.Or(o.Number, fmt.Sprintf("+346990%05d", 10000+i))
	o.PUK = cmp.Or(o.PUK, fmt.Sprintf("%08d", 12340000+i))
	o.Operator = cmp.Or(o.Operator, "Recado Red")
	o.SMSC = cmp.Or(o.SMSC, "+34609090909")
	o.Signal = cmp.Or(o.Signal, 14+i*5%14)
	o.BootTime = cmp.Or(o.BootTime, 2*time.Second)
	return o
}

// luhn adds the check digit of ISO/IEC 7812-1, which IMEI and ICCID carry.
func luhn(s string) string {
	sum := 0
	for i := range len(s) {
		d := int(s[len(s)-1-i] - '0')
		if i%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return s + string(rune('0'+(10-sum%10)%10))
}
