package emulator

import "time"

// FaultLinkBreaks refuses, with Code (42), a submission over a link that AT+CMMS
// keeps open.
const FaultLinkBreaks FaultKind = "kept link breaks"

// linkWindow is how long the link to the service centre stays open after an
// answer: 1 to 5 s (TS 27.005 3.5.6).
const linkWindow = 3 * time.Second

// linkKept says whether AT+CMMS has kept the link open since the last answer, at
// the time of the next command; with AT+CMMS=1 a link that was closed switches it
// off.
func (m *Modem) linkKept(at time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	st := &m.state
	if st.cmms == 0 || st.linkAt.IsZero() {
		return false
	}
	if at.Sub(st.linkAt) <= linkWindow {
		return true
	}
	if st.linkAt = (time.Time{}); st.cmms == 1 {
		st.cmms = 0
	}
	return false
}

// linkUsed notes the answer to a submission.
func (m *Modem) linkUsed(at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state.linkAt = (time.Time{}); m.state.cmms != 0 {
		m.state.linkAt = at
	}
}

// submitLatency is how long the network takes for one submission, over a link that
// was kept open or not.
func (n *Network) submitLatency(kept bool) time.Duration {
	d := n.latency()
	if kept {
		d = time.Duration(float64(d) * (1 - min(max(n.o.LinkSaves, 0), 1)))
	}
	return d
}
