package emulator

import (
	"fmt"
	"time"
)

// receipt is what the modem does with what the network brings.
type receipt uint8

const (
	delivered      receipt = iota
	refused                // later, when something has changed
	unacknowledged         // handed to the host, which owes AT+CNMA
)

// ackTime is how long the modem waits for AT+CNMA (TS 27.005 clause 3.4.4 and
// TS 24.011 clause 10: TR2M).
const ackTime = 15 * time.Second

// receive takes an SMS-DELIVER or an SMS-STATUS-REPORT from the network: to
// the host or into a storage, as AT+CNMI says. What arrives is in the ledger
// before the host can know of it.
func (m *Modem) receive(t *terminated, ack func(ok bool)) receipt {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.power != powerOn || m.hung || m.sim == nil || m.state.reg != regHome || time.Now().Before(m.simReady) {
		return refused
	}
	switch held, lost := m.barredLocked(); {
	case held:
		return refused
	case lost && t.entry.Type != EntryReport:
		return delivered
	}
	if t.entry.Type == EntryReport {
		return m.receiveReport(t, ack)
	}
	return m.receiveDeliver(t, ack)
}

func (m *Modem) arrivedLocked(t *terminated) {
	e := t.entry
	e.Time, e.Modem = m.net.o.Now(), m.o.Name
	m.net.ledger.add(e)
}

// receiveDeliver follows the table of <mt> in TS 27.005 clause 3.4.1.
func (m *Modem) receiveDeliver(t *terminated, ack func(ok bool)) receipt {
	class := -1
	if dcs, ok := deliverDCS(t.tpdu); ok {
		class = classOf(dcs)
	}
	_, twice := m.faultLocked("", "", FaultDuplicateInbound)
	mt := m.state.cnmi[1]
	direct := mt == 2 && class != 2 || mt == 3 && class == 3
	if direct && len(m.sessions) > 0 {
		if m.state.service == 1 && m.state.unacked != nil {
			return refused
		}
		m.arrivedLocked(t)
		m.deliverDirect("+CMT: ", t.tpdu)
		if twice {
			m.deliverDirect("+CMT: ", t.tpdu)
		}
		return m.awaitAck(ack)
	}
	name := m.state.mem[2]
	if class == 2 {
		name = "SM"
	}
	st := m.storage(name)
	index, ok := st.put(t.tpdu, statUnread)
	if !ok {
		if m.fam.Full != "" {
			m.sayLocked(m.fam.Full, "")
		}
		return refused
	}
	m.arrivedLocked(t)
	if sl, valid := st.at(index); valid {
		sl.from = time.Now().Add(m.fam.Late)
	}
	m.announce(name, index)
	if twice {
		if index, ok := st.put(t.tpdu, statUnread); ok {
			m.announce(name, index)
		}
	}
	return delivered
}

// announce says that a message was stored, when the host wants to know.
func (m *Modem) announce(name string, index int) {
	if mt := m.state.cnmi[1]; mt == 0 {
		return
	}
	if _, ok := m.faultLocked("", "", FaultLostCMTI); ok {
		return
	}
	if _, ok := m.faultLocked("", "", FaultCMTIMinus); ok {
		index = -1
	} else if m.fam.Unplaced {
		m.notifyLocked("+CMTI: ,-1", "")
		return
	} else if f, ok := m.faultLocked("", "", FaultCMTIWrong); ok {
		name, index = f.Text, f.Code
	}
	m.notifyLocked(fmt.Sprintf("+CMTI: %q,%d", name, index), "")
}

// receiveReport follows the table of <ds>.
func (m *Modem) receiveReport(t *terminated, ack func(ok bool)) receipt {
	switch m.state.cnmi[3] {
	case 1:
		if len(m.sessions) == 0 || m.state.service == 1 && m.state.unacked != nil {
			return refused
		}
		m.arrivedLocked(t)
		m.deliverDirect("", t.tpdu)
		return m.awaitAck(ack)
	case 2:
		st := m.storage("SR")
		index, ok := st.put(t.tpdu, statUnread)
		if !ok {
			return refused
		}
		m.arrivedLocked(t)
		name := "SR"
		if m.fam.CDSI != "" {
			name = m.fam.CDSI
		}
		if f, ok := m.faultLocked("", "", FaultCDSIWrong); ok {
			name, index = orText(f.Text, "SM"), f.Code
		}
		m.notifyLocked(fmt.Sprintf("+CDSI: %q,%d", name, index), "")
		return delivered
	}
	m.arrivedLocked(t) // nobody wants it
	return delivered
}

// deliverDirect hands a TPDU to the host: head is "+CMT: ", or "" for a report.
func (m *Modem) deliverDirect(head string, tpdu []byte) {
	if m.state.mode == 1 {
		line, text := m.textForm(tpdu, head != "")
		if head == "" {
			m.notifyLocked("+CDS: "+line, text)
			return
		}
		m.notifyLocked(head+line, text)
		return
	}
	if head == "" {
		m.notifyLocked(fmt.Sprintf(m.fam.CDS, len(tpdu)), m.withSMSC(tpdu))
		m.state.mum = m.fam.LastCDS
		return
	}
	m.notifyLocked(fmt.Sprintf("%s,%d", head, len(tpdu)), m.withSMSC(tpdu))
}

// awaitAck waits for AT+CNMA in phase 2+. When it does not come, the routing
// ends, as TS 27.005 clause 3.4.4 says.
func (m *Modem) awaitAck(ack func(ok bool)) receipt {
	if m.state.service != 1 {
		return delivered
	}
	boot := m.boots
	stop := m.net.after(ackTime, func() {
		m.mu.Lock()
		owed := m.boots == boot && m.state.unacked != nil
		if owed {
			m.state.cnmi[1], m.state.cnmi[3], m.state.unacked = 0, 0, nil
		}
		m.mu.Unlock()
		if owed {
			ack(false)
		}
	})
	m.state.unacked = func(ok bool) {
		stop()
		ack(ok)
	}
	return unacknowledged
}

// withSMSC is a TPDU as it stands in a PDU: with the service centre's address.
func (m *Modem) withSMSC(tpdu []byte) string {
	a := address(m.o.SMSC)
	sca := append([]byte{byte(len(a) - 1)}, a[1:]...)
	return upperHex(sca) + upperHex(tpdu)
}

// storage is what a memory's name means.
func (m *Modem) storage(name string) storage {
	if name == "MT" {
		return storage{m.stores["SM"], m.stores["ME"]}
	}
	if s := m.stores[name]; s != nil {
		return storage{s}
	}
	return nil
}

// deliverDCS finds TP-DCS in an SMS-DELIVER.
func deliverDCS(tpdu []byte) (byte, bool) {
	if len(tpdu) < 3 {
		return 0, false
	}
	i := 3 + (int(tpdu[1])+1)/2 + 1
	if i >= len(tpdu) {
		return 0, false
	}
	return tpdu[i], true
}

// setRegistrationLocked changes <stat> and says so where AT+CREG=1 or 2 asked.
func (m *Modem) setRegistrationLocked(stat int) {
	if m.state.reg == stat {
		return
	}
	m.state.reg = stat
	for i, name := range registrations() {
		switch n := m.state.creg[i]; {
		case n == 1 || n == 2 && stat != regHome:
			m.sayLocked(fmt.Sprintf("%s: %d", name, stat), "")
		case n == 2:
			m.sayLocked(fmt.Sprintf("%s: %d,%s", name, stat, m.cell(i)), "")
		}
	}
	if stat == regHome {
		m.tellTimeLocked()
	}
}

func registrations() [3]string { return [3]string{"+CREG", "+CGREG", "+CEREG"} }

// cell is <lac>,<ci>,<AcT> of the modem's cell.
func (m *Modem) cell(domain int) string {
	act := 2 // UTRAN
	if domain == 2 {
		act = 7 // E-UTRAN
	}
	return fmt.Sprintf(`"1A2B","%08X",%d`, 0x1a2d000+m.index, act)
}
