package modem

// refers says that this modem, with this SIM, has given a submission a reference.
func (m *Modem) refers() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.refs.list) > 0
}
