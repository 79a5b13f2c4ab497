package emulator

import "time"

// sim is a subscription. It outlives the modem it is in.
type sim struct {
	iccid, imsi, number, pin, puk string

	// The PIN's state, guarded by the modem it is in.
	unlocked           bool
	memory             *store // what is stored on it while it is in no modem
	pinTries, pukTries int

	// What the service centre knows of it, guarded by the network.
	modem   *Modem // where it is; nil: nowhere
	mr      byte   // the next TP-MR
	queue   []*terminated
	pumping bool
	again   bool
	waiting bool  // for AT+CNMA
	credit  int64 // cents; nothing leaves without any
}

const (
	pinTries = 3
	pukTries = 10
)

func newSIM(iccid, imsi, number, pin, puk string) *sim {
	s := &sim{credit: firstCredit, iccid: iccid, imsi: imsi, number: number, pin: pin, puk: puk, pinTries: pinTries, pukTries: pukTries}
	s.lock()
	return s
}

// lock is the loss of power: a PIN is wanted again.
func (s *sim) lock() { s.unlocked = s.pin == "" && s.pinTries > 0 }

func (s *sim) blocked() bool { return s.pinTries == 0 }

// enter checks a PIN and counts the tries (TS 31.101 clause 9.5.1).
func (s *sim) enter(pin string) bool {
	if s.blocked() {
		return false
	}
	if pin != s.pin {
		s.pinTries--
		return false
	}
	s.pinTries, s.unlocked = pinTries, true
	return true
}

// unblock sets a new PIN with the PUK.
func (s *sim) unblock(puk, pin string) bool {
	if s.pukTries == 0 {
		return false
	}
	if puk != s.puk {
		s.pukTries--
		return false
	}
	s.pin, s.pinTries, s.pukTries, s.unlocked = pin, pinTries, pukTries, true
	return true
}

// SIMOptions describe a SIM for InsertSIM; what is empty stays empty.
type SIMOptions struct {
	ICCID, IMSI, Number, PIN, PUK string
}

// InsertSIM puts a SIM into the modem, in the place of the one that is there;
// a SIM that is in another modem of the network moves with its number and its
// counters, when the ICCID is that of a known one. The modem reads it at once.
func (m *Modem) InsertSIM(o SIMOptions) {
	n := m.net
	n.mu.Lock()
	s := n.sims[o.ICCID]
	if s == nil {
		s = newSIM(o.ICCID, o.IMSI, o.Number, o.PIN, o.PUK)
		n.sims[o.ICCID] = s
	}
	from := s.modem
	n.mu.Unlock()
	if from != nil {
		from.RemoveSIM()
	}
	m.RemoveSIM()
	n.mu.Lock()
	s.modem = m
	n.mu.Unlock()
	m.mu.Lock()
	m.sim = s
	s.lock()
	if s.memory != nil && s.memory.first == m.fam.FirstIndex {
		m.stores["SM"], s.memory = s.memory, nil
	} else {
		m.stores["SM"] = newStore("SM", m.fam.FirstIndex, m.o.SMSlots)
	}
	m.simReady = time.Now().Add(m.fam.SIMBusy)
	boot := m.boots
	m.mu.Unlock()
	n.after(m.fam.SIMBusy, func() { m.simUp(boot) })
}

// RemoveSIM takes the SIM out; the messages stored on it go with it.
func (m *Modem) RemoveSIM() {
	m.mu.Lock()
	s := m.sim
	m.sim = nil
	if s != nil {
		s.memory = m.stores["SM"]
		m.stores["SM"] = newStore("SM", m.fam.FirstIndex, m.o.SMSlots)
		m.sayLocked("+CPIN: NOT INSERTED", "")
	}
	m.setRegistrationLocked(regNone)
	m.mu.Unlock()
	if s != nil {
		m.net.mu.Lock()
		s.modem = nil
		m.net.mu.Unlock()
	}
}
