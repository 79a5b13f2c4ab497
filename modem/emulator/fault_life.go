package emulator

import (
	"fmt"
	"time"
)

// Faults of the module, its SIM and its network.
const (
	// FaultHang hangs the whole module: it reads and says nothing, obeys nothing
	// and receives nothing, for Delay; 0: until ClearFaults or the loss of its
	// power. It begins at once.
	FaultHang FaultKind = "hang"
	// FaultSilentReboot restarts it at once without a line and without its port
	// going away: every setting is lost.
	FaultSilentReboot FaultKind = "silent reboot"
	// FaultForgets loses AT+CNMI and AT+CSMS, and AT+CMGF becomes Code, at once,
	// as some do with the network.
	FaultForgets FaultKind = "forgets its settings"
	// FaultSlowBoot makes the next boot Delay (60 s) longer.
	FaultSlowBoot FaultKind = "slow boot"
	// FaultBrownOut restarts it Count times, Delay (10 s) after each boot. The
	// first is at once.
	FaultBrownOut FaultKind = "brown-out"
	// FaultSIMOut takes the SIM out for Delay; 0: until ClearFaults. At once.
	FaultSIMOut FaultKind = "SIM out"
	// FaultSIMSwap puts another SIM in the place of the one that is there, at
	// once.
	FaultSIMSwap FaultKind = "SIM swap"
	// FaultCall lets someone call, at once, Code (5) rings.
	FaultCall FaultKind = "incoming call"
	// FaultNoSMS is LTE without SMS: registered for packets only, and AT+CMGS is
	// answered +CMS ERROR: Code (350) after Delay (135 s), not accepted.
	FaultNoSMS FaultKind = "LTE without SMS"
	// FaultCDSIWrong: the report is stored in SR, and announced in memory Text
	// (SM) with index Code.
	FaultCDSIWrong FaultKind = "CDSI wrong memory"
	// FaultCSMPWipes: AT+CSMP empties the service centre's number; without it
	// AT+CMGS fails with CMS 330.
	FaultCSMPWipes FaultKind = "CSMP wipes CSCA"
	// FaultSwallow: the network accepts what the modem sends, and it never gets
	// anywhere: no delivery and no report.
	FaultSwallow FaultKind = "accepts and delivers nothing"
	// FaultNoInbound: neither messages nor reports reach the modem, though it is
	// registered, until ClearFaults; the network keeps them as long as they are
	// valid. With the Text "lost" the messages are taken as delivered and never
	// seen again, and reports come.
	FaultNoInbound FaultKind = "receives nothing"
)

// atOnce carries a fault out that waits for no occasion; false for the others.
func (m *Modem) atOnce(f Fault) bool {
	switch f.Kind {
	case FaultRegistrationLost:
		m.registration(regSearching, f.Delay)
	case FaultRegistrationDenied:
		m.registration(regDenied, f.Delay)
	case FaultUnplug, FaultReboot:
		if f.Phase != "" {
			return false
		}
		if f.Kind == FaultReboot {
			m.Reboot()
			break
		}
		m.Unplug()
		if f.Delay > 0 {
			m.net.after(f.Delay, m.Replug)
		}
	case FaultSpontaneousError:
		m.Say(orText(f.Text, "ERROR"), "")
	case FaultOtherProgram:
		m.intrude(m.nextTurn(), f, 0)
	case FaultFlood:
		var until time.Time
		if f.Delay > 0 {
			until = time.Now().Add(f.Delay)
		}
		m.mu.Lock()
		m.state.quieted = false
		m.mu.Unlock()
		m.flood(m.nextTurn(), f, until, 0)
	case FaultHang:
		m.hang(f.Delay)
	case FaultSilentReboot:
		m.rebootSilently()
	case FaultForgets:
		m.mu.Lock()
		fresh := m.freshState()
		m.state.cnmi, m.state.service, m.state.mode = fresh.cnmi, fresh.service, f.Code
		m.mu.Unlock()
	case FaultBrownOut:
		m.brownOut(m.nextTurn(), f, 0)
	case FaultSIMOut:
		m.simOut(f.Delay)
	case FaultSIMSwap:
		m.net.mu.Lock()
		serial := len(m.net.sims)
		m.net.mu.Unlock()
		m.InsertSIM(SIMOptions{
			ICCID: luhn(fmt.Sprintf("893407980000%06d", serial)), IMSI: fmt.Sprintf("21407%010d", 8000000+serial),
			Number: fmt.Sprintf("+346980%05d", serial),
		})
	case FaultNetworkTime, FaultClockUnset:
		m.clockFault(f)
	case FaultCall:
		m.Ring("+34600999888", orCode(f.Code, 5))
	default:
		return false
	}
	return true
}

// nextTurn ends what an earlier fault that goes on by itself still does: there is
// one at a time. It numbers the new one.
func (m *Modem) nextTurn() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn++
	return m.turn
}

func (m *Modem) hang(d time.Duration) {
	m.mu.Lock()
	m.hung = true
	boot := m.boots
	m.mu.Unlock()
	if d > 0 {
		m.net.after(d, func() {
			m.mu.Lock()
			stale := m.boots != boot
			m.mu.Unlock()
			if !stale {
				m.wakeUp()
			}
		})
	}
}

// wakeUp ends a hang: what the network has kept arrives.
func (m *Modem) wakeUp() {
	m.mu.Lock()
	was := m.hung
	m.hung = false
	m.mu.Unlock()
	if was {
		m.net.poke(m)
	}
}

func (m *Modem) isHung() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.hung
}

// unheard says that nobody will hear the session's answer.
func (s *session) unheard() bool { return s.over() || s.m.isHung() }

// rebootSilently is a restart that takes no time and shows in nothing.
func (m *Modem) rebootSilently() {
	m.mu.Lock()
	if m.power != powerOn {
		m.mu.Unlock()
		return
	}
	m.mu.Unlock()
	m.powerDown(powerOn)
	m.mu.Lock()
	m.openedAt, m.simReady = time.Time{}, time.Now()
	m.mu.Unlock()
	m.register()
}

// brownOut restarts the modem again and again.
func (m *Modem) brownOut(turn int, f Fault, i int) {
	m.mu.Lock()
	over := m.turn != turn || f.Count >= 0 && i >= f.Count
	off := m.power == powerOff && !m.fam.USB
	m.mu.Unlock()
	if over {
		return
	}
	if !off {
		m.Reboot()
	}
	m.net.after(m.o.BootTime+orTime(f.Delay, 10*time.Second), func() { m.brownOut(turn, f, i+1) })
}

// simOut takes the SIM out, and puts it back after d.
func (m *Modem) simOut(d time.Duration) {
	m.mu.Lock()
	if m.sim != nil {
		m.taken = m.sim.iccid
	}
	m.mu.Unlock()
	m.RemoveSIM()
	if d > 0 {
		m.net.after(d, m.simBack)
	}
}

// simBack puts the SIM in again that a fault took out.
func (m *Modem) simBack() {
	m.mu.Lock()
	taken, empty := m.taken, m.sim == nil
	m.taken = ""
	m.mu.Unlock()
	if taken != "" && empty {
		m.InsertSIM(SIMOptions{ICCID: taken})
	}
}

// bootTime is how long this boot takes.
func (m *Modem) bootTime() time.Duration {
	if f, ok := m.fault("", FaultSlowBoot); ok {
		return m.o.BootTime + orTime(f.Delay, time.Minute)
	}
	return m.o.BootTime
}

// barredLocked says what FaultNoInbound does with what comes for the modem: the
// network keeps it, or it is lost.
func (m *Modem) barredLocked() (held, lost bool) {
	for _, f := range m.faults {
		if f.Kind == FaultNoInbound {
			return f.Text != "lost", f.Text == "lost"
		}
	}
	return false, false
}

// withoutSMSLocked says that the network gives the modem no SMS.
func (m *Modem) withoutSMSLocked() bool {
	for _, f := range m.faults {
		if f.Kind == FaultNoSMS {
			return true
		}
	}
	return false
}
