package emulator

import (
	"context"
	"slices"
	"time"
)

type powerState uint8

const (
	powerOn powerState = iota
	powerOff
	// powerBooting: a port that does not vanish is there and says nothing.
	powerBooting
)

// atState is what AT commands set. It is lost with the power.
type atState struct {
	echo, quiet, verbose bool
	cmee, fun            int
	mode                 int // AT+CMGF: 0 PDU, 1 text
	cnmi                 [5]int
	held                 []unsolicited // by <mode> 0 of AT+CNMI
	service              int           // AT+CSMS
	mem                  [3]string     // AT+CPMS
	charset              string        // AT+CSCS
	fo, pid, dcs, vp     byte          // AT+CSMP
	show                 bool          // AT+CSDH
	creg                 [3]int        // <n> of +CREG, +CGREG, +CEREG
	reg                  int           // <stat>
	copsFormat           int
	clip, cmms, cgsms    int
	linkAt               time.Time // of the last answer to a submission with AT+CMMS on; zero: the link is closed
	quieted              bool      // the family's chatter was switched off
	ringing              string    // who calls
	sregs                map[string]string
	unacked              func(ok bool) // waits for AT+CNMA
	mum                  bool          // announces nothing more, as Family.LastCDS says
	dialogue             *dialogue     // USSD; nil: none
	ussdOn               int           // <n> of AT+CUSD
	ussdPlain            bool          // AT^USSDMODE=0
}

func (m *Modem) freshState() atState {
	mem := m.fam.Memories[0]
	st := atState{
		echo: true, verbose: true, fun: 1, mem: [3]string{mem, mem, mem},
		charset: "GSM", fo: 0x11, vp: 167, cgsms: 3, reg: regNone, sregs: map[string]string{},
	}
	st.cnmi[0] = m.fam.CNMI[0][0]
	st.cnmi[4] = m.fam.CNMI[4][0]
	return st
}

// factory is ATZ and AT&F: the settings that a profile holds.
func (m *Modem) factory() {
	m.mu.Lock()
	defer m.mu.Unlock()
	fresh := m.freshState()
	st := &m.state
	st.echo, st.quiet, st.verbose = true, false, true
	st.cmee, st.mode, st.cnmi, st.held = fresh.cmee, fresh.mode, fresh.cnmi, nil
	st.charset, st.fo, st.pid, st.dcs, st.vp, st.show = "GSM", fresh.fo, 0, 0, fresh.vp, false
	st.creg, st.copsFormat, st.clip, st.service = [3]int{}, 0, 0, 0
}

func (m *Modem) echoes() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.echo && m.power == powerOn && !m.hung && !time.Now().Before(m.deafTo)
}

func (m *Modem) running() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	dead := m.fam.DiesOff && m.state.fun != 1
	return m.power == powerOn && !dead && !m.hung && !time.Now().Before(m.deafTo)
}

// tooSoon says that a command came while the modem, its PIN just given, must
// be left alone.
func (m *Modem) tooSoon() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fam.PINPause > 0 && !m.openedAt.IsZero() && time.Since(m.openedAt) < m.fam.PINPause
}

func (m *Modem) chats() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.power == powerOn && !m.state.quieted
}

func (m *Modem) verbosity() verbosity {
	m.mu.Lock()
	defer m.mu.Unlock()
	return verbosity{verbose: m.state.verbose, quiet: m.state.quiet, cmee: m.state.cmee}
}

// Unplug pulls the modem out: reads of its port end, opens fail, what the
// radio was about to send is not sent. The SIM keeps what is on it.
func (m *Modem) Unplug() {
	for _, s := range m.powerDown(powerOff) {
		s.end(errUnplugged)
	}
}

// Replug plugs an unplugged modem in again: it boots.
func (m *Modem) Replug() {
	m.mu.Lock()
	off := m.power == powerOff
	m.mu.Unlock()
	if off {
		m.boot()
	}
}

// Reboot restarts the modem at once, as a crash of its firmware does.
func (m *Modem) Reboot() {
	to := powerBooting
	if m.fam.USB {
		to = powerOff
	}
	sessions := m.powerDown(to)
	if m.fam.USB {
		for _, s := range sessions {
			s.end(errUnplugged)
		}
	}
	m.boot()
}

// powerDown leaves nothing but the stores.
func (m *Modem) powerDown(to powerState) []*session {
	m.mu.Lock()
	ack := m.state.unacked
	sessions := slices.Clone(m.sessions)
	m.power = to
	m.boots++
	m.hung = false
	m.state = m.freshState()
	if m.sim != nil {
		m.sim.lock()
	}
	m.portChangedLocked()
	m.mu.Unlock()
	if ack != nil {
		ack(false)
	}
	return sessions
}

// boot brings a modem without power up after its boot time.
func (m *Modem) boot() {
	m.mu.Lock()
	boot := m.boots
	m.mu.Unlock()
	m.net.after(m.bootTime(), func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.boots != boot {
			return
		}
		m.power = powerOn
		m.openedAt = time.Time{}
		m.deafTo = time.Now().Add(m.fam.ReadyAfter)
		m.simReady = m.deafTo.Add(m.fam.SIMBusy)
		m.portChangedLocked()
		lines := slices.Clone(m.fam.Boot)
		for i := range lines {
			lines[i].After += m.fam.ReadyAfter
		}
		m.laterLocked(lines)
		m.net.after(m.fam.ReadyAfter+m.fam.SIMBusy, func() { m.simUp(boot) })
	})
}

// laterLocked says lines in time, unless the power goes before.
func (m *Modem) laterLocked(lines []Chatter) {
	boot := m.boots
	for _, c := range lines {
		m.net.after(c.After, func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.boots == boot {
				m.sayLocked(c.Line, "")
			}
		})
	}
}

// simUp is when the SIM has been read after a boot: without a PIN the modem
// looks for the network then.
func (m *Modem) simUp(boot int) {
	m.mu.Lock()
	stale := m.boots != boot
	inserted := m.sim != nil
	ready := inserted && m.sim.unlocked
	m.mu.Unlock()
	if stale {
		return
	}
	switch {
	case !inserted:
		m.Say("+CPIN: NOT INSERTED", "")
	case ready:
		m.attachNetwork()
	default:
		m.Say("+CPIN: SIM PIN", "")
	}
}

// attachNetwork registers a modem whose SIM is ready.
func (m *Modem) attachNetwork() {
	m.mu.Lock()
	m.laterLocked(m.fam.Ready)
	boot := m.boots
	m.mu.Unlock()
	m.register()
	if m.fam.Crash > 0 {
		m.net.after(m.fam.Crash, func() {
			m.mu.Lock()
			flooded := m.boots == boot && !m.state.quieted
			m.mu.Unlock()
			if flooded {
				m.Reboot()
			}
		})
	}
}

// register sets the registration that the radio and the SIM allow.
func (m *Modem) register() {
	m.mu.Lock()
	stat := regNone
	if m.power == powerOn && m.state.fun == 1 && m.sim != nil && m.sim.unlocked {
		stat = regHome
		if m.override != 0 {
			stat = m.override
		}
	}
	m.setRegistrationLocked(stat)
	m.mu.Unlock()
	m.net.poke(m)
}

// registration makes the network treat the modem otherwise for d; 0 without
// end. regHome ends it.
func (m *Modem) registration(stat int, d time.Duration) {
	m.mu.Lock()
	m.override = stat
	if stat == regHome {
		m.override = 0
	}
	m.overrides++
	turn := m.overrides
	m.mu.Unlock()
	m.register()
	if d > 0 {
		m.net.after(d, func() {
			m.mu.Lock()
			stale := m.overrides != turn
			m.mu.Unlock()
			if !stale {
				m.registration(regHome, 0)
			}
		})
	}
}

// portChangedLocked wakes who waits for the port to come or go.
func (m *Modem) portChangedLocked() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// plugged waits until the modem's port is there, or not, as wanted.
func (m *Modem) plugged(ctx context.Context, want bool) error {
	for {
		m.mu.Lock()
		there, changed := m.power != powerOff, m.changed
		m.mu.Unlock()
		if there == want {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
