package modem

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// set changes the script.
func (p *peer) set(change func(script map[string]string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p.script)
}

// searching is a modem that finds no network until its radio was off and on.
func searching() *peer {
	p := &peer{script: plain()}
	p.script["+CREG?"] = "+CREG: 0,2"
	p.on = func(cmd string) {
		switch cmd {
		case "AT+CFUN=4":
			p.set(func(s map[string]string) {
				s["+CREG?"] = "+CREG: 0,0"
				if _, obeys := s["+CFUN=1"]; !obeys {
					s["+CFUN?"] = "+CFUN: 4"
				}
			})
		case "AT+CFUN=1":
			p.set(func(s map[string]string) {
				if _, obeys := s["+CFUN=1"]; obeys {
					s["+CREG?"] = "+CREG: 0,1"
				}
			})
		}
	}
	return p
}

// TestRadioIsSwitchedOnAgain: a modem may have obeyed the order whose answer was
// an error, or somebody else's.
func TestRadioIsSwitchedOnAgain(t *testing.T) {
	p := searching()
	p.script["+CFUN=1"] = "" // and to AT+CFUN=4 and AT+CFUN? it says ERROR
	withPeer(t, p, func(l *lifeOf, p *peer) {
		l.until("the radio off", searchToRadio+time.Minute, func() bool { return p.count("AT+CFUN=4") == 1 })
		l.until("the radio on", radioPause+time.Second, func() bool { return p.count("AT+CFUN=1") == 1 })
		l.state(StateReady, time.Minute)
		require.Equal(l.t, 1, p.count("AT+CFUN=1"))
		require.Zero(l.t, p.count("AT+CFUN=1,1"))
	})
}

// TestRadioThatStaysOff: a modem that looks for no network is asked whether its
// radio is on, again and again.
func TestRadioThatStaysOff(t *testing.T) {
	p := searching()
	p.script["+CFUN=4"] = "" // and to AT+CFUN=1 it says ERROR
	withPeer(t, p, func(l *lifeOf, p *peer) {
		l.until("the radio off", searchToRadio+time.Minute, func() bool { return p.count("AT+CFUN=4") == 1 })
		l.pass(2 * time.Minute)
		require.Equal(l.t, StateRegister, l.m.Snapshot().State)
		tries := p.count("AT+CFUN=1")
		require.Greater(l.t, tries, radioTries+3)
		p.set(func(s map[string]string) { s["+CFUN=1"] = "" })
		l.state(StateReady, 20*time.Second)
	})
}

// TestRadioThatIsOn is left alone, however long the modem does not search, and one
// that was switched on and does not say so is given time.
func TestRadioThatIsOn(t *testing.T) {
	for says, most := range map[string]int{"+CFUN: 1": 0, "+CFUN: 5": 12} {
		p := &peer{script: plain()}
		p.script["+CREG?"], p.script["+CFUN?"], p.script["+CFUN=1"] = "+CREG: 0,0", says, ""
		withPeer(t, p, func(l *lifeOf, p *peer) {
			l.pass(9 * time.Minute) // not yet the radio off and on
			require.LessOrEqual(l.t, p.count("AT+CFUN=1"), most)
			require.Greater(l.t, p.count("AT+CFUN?"), 5)
		})
	}
}

// TestHealthAsksOneDomain when that holds the line.
func TestHealthAsksOneDomain(t *testing.T) {
	script := plain()
	script["+CGREG?"], script["+CEREG?"] = "+CGREG: 0,1", "+CEREG: 0,1"
	withPeer(t, &peer{script: script}, func(l *lifeOf, p *peer) {
		l.ready()
		circuit, others := p.count("AT+CREG?"), p.count("AT+CGREG?")+p.count("AT+CEREG?")
		l.pass(10 * time.Minute)
		require.Greater(l.t, p.count("AT+CREG?"), circuit+15)
		require.Equal(l.t, others, p.count("AT+CGREG?")+p.count("AT+CEREG?"))
	})
}

// TestNetworkLostWithoutAWord: the domain that holds the line is asked.
func TestNetworkLostWithoutAWord(t *testing.T) {
	for _, domain := range []string{"+CREG", "+CGREG", "+CEREG"} {
		t.Run(domain, func(t *testing.T) {
			script := plain()
			for _, d := range []string{"+CREG", "+CGREG", "+CEREG"} {
				script[d+"?"] = d + ": 0,2"
			}
			script[domain+"?"] = domain + ": 0,1"
			withPeer(t, &peer{script: script}, func(l *lifeOf, p *peer) {
				l.ready()
				l.pass(5 * time.Minute)
				require.Equal(l.t, StateReady, l.m.Snapshot().State)
				p.set(func(s map[string]string) { s[domain+"?"] = domain + ": 0,2" })
				l.state(StateRegister, 2*time.Minute)
				require.Equal(l.t, "searching", l.m.Snapshot().Registration)
				p.set(func(s map[string]string) { s[domain+"?"] = domain + ": 0,1" })
				l.state(StateReady, 10*time.Second)
			})
		})
	}
}
