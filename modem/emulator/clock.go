package emulator

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Faults of the time of day.
const (
	// FaultNetworkTime: the network's time is Delay ahead of what it was made with,
	// and it tells the modem so at once (NITZ, TS 24.008 9.2.15a).
	FaultNetworkTime FaultKind = "network time"
	// FaultClockUnset sets the modem's clock to Text (04/01/01,00:00:00+00), from
	// where it runs on until the network tells the time, at once.
	FaultClockUnset FaultKind = "clock unset"
)

// rtc is the modem's clock and its settings, which it keeps without power.
type rtc struct {
	update, report int           // AT+CTZU, AT+CTZR
	ahead          time.Duration // the network's time, of the network's clock
	lag            time.Duration // the modem's clock, of the network's time
}

// networkTimeLocked is what this modem's network believes.
func (m *Modem) networkTimeLocked() time.Time { return m.net.o.Now().Add(m.rtc.ahead) }

// tellTimeLocked is what the network does when a modem registers.
func (m *Modem) tellTimeLocked() {
	if m.rtc.update > 0 {
		m.rtc.lag = 0
	}
	if m.rtc.report > 0 {
		_, offset := m.networkTimeLocked().Zone()
		m.sayLocked(fmt.Sprintf(`+CTZV: "%+03d"`, offset/900), "")
	}
}

// ReportsTime says that AT+CTZR asked for the network's time.
func (m *Modem) ReportsTime() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rtc.report > 0
}

// clockFault is atOnce for the faults of the time.
func (m *Modem) clockFault(f Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f.Kind == FaultNetworkTime {
		// The modem's clock knows nothing of it before it is told.
		m.rtc.lag += m.rtc.ahead - f.Delay
		m.rtc.ahead = f.Delay
		m.tellTimeLocked()
		return
	}
	t, err := time.Parse("06/01/02,15:04:05-07", quarters(orText(f.Text, "04/01/01,00:00:00+00")))
	if err != nil {
		t = time.Date(2004, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	m.rtc.lag = t.Sub(m.networkTimeLocked())
}

// quarters turns the zone at the end of a +CCLK time into whole hours.
func quarters(s string) string {
	i := strings.LastIndexAny(s, "+-")
	if i < 0 {
		return s + "+00"
	}
	n, err := strconv.Atoi(s[i+1:])
	if err != nil {
		return s
	}
	return fmt.Sprintf("%s%c%02d", s[:i], s[i], n/4)
}

// clock is AT+CCLK (TS 27.007 8.15).
func clock(s *session, c command) error {
	if c.verb == read {
		s.m.mu.Lock()
		now := s.m.networkTimeLocked().Add(s.m.rtc.lag)
		s.m.mu.Unlock()
		_, offset := now.Zone()
		s.say(fmt.Sprintf(`+CCLK: "%s%+03d"`, now.Format("06/01/02,15:04:05"), offset/900))
	}
	return nil
}

// zones is AT+CTZU and AT+CTZR (TS 27.007 8.40, 8.41).
func zones(name string, value func(*rtc) *int) func(*session, command) error {
	return func(s *session, c command) error {
		s.m.mu.Lock()
		defer s.m.mu.Unlock()
		v := value(&s.m.rtc)
		if c.verb == read {
			s.say(fmt.Sprintf("%s: %d", name, *v))
			return nil
		}
		n, err := strconv.Atoi(c.args)
		if err != nil || n < 0 || n > 3 {
			return errPlain
		}
		*v = n
		return nil
	}
}
