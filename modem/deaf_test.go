package modem

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
)

// TestDeafAfterItsAnswer: some modems lose what comes 30 to 150 ms after a final
// result. They are given the time that they need, and only they.
func TestDeafAfterItsAnswer(t *testing.T) {
	for _, c := range []struct{ deaf, pace time.Duration }{
		{0, 0}, {30 * time.Millisecond, 100 * time.Millisecond}, {80 * time.Millisecond, 200 * time.Millisecond},
		{150 * time.Millisecond, 500 * time.Millisecond}, {230 * time.Millisecond, 500 * time.Millisecond},
	} {
		t.Run(c.deaf.String(), func(t *testing.T) {
			withPeer(t, &peer{script: plain(), deaf: c.deaf}, func(l *lifeOf, p *peer) {
				start := time.Now()
				l.state(StateReady, 30*time.Second)
				l.t.Log("ready after", time.Since(start))
				if c.deaf == 0 {
					require.Less(l.t, time.Since(start), 2*time.Second, "it is not for these to wait")
				}
				require.Equal(l.t, "356938035643809", l.m.Snapshot().IMEI, "nothing was left out")
				require.Equal(l.t, "8934079900000000011", l.m.Snapshot().SIM.ICCID)
				for range 3 {
					o, _ := l.send("+34600111222", "hola")
					require.Equal(l.t, Accepted, o.Verdict, "%+v", o)
				}
				l.pass(20 * time.Minute)
				require.Equal(l.t, StateReady, l.m.Snapshot().State)
				require.Zero(l.t, l.m.Snapshot().Restarts)
				asked := p.count("AT")
				require.NoError(l.t, l.m.Disable(l.t.Context()))
				l.state(StateDisabled, 10*time.Second)
				require.Equal(l.t, c.pace, l.m.life.pace) // its owner only waits now
				require.NoError(l.t, l.m.Enable(l.t.Context()))
				start = time.Now()
				l.ready()
				require.Less(l.t, time.Since(start), 20*time.Second, "it is known now")
				require.Greater(l.t, p.count("AT"), asked)
			})
		})
	}
}

// TestAPauseIsForgotten: a modem that is deaf no longer gets its speed back.
func TestAPauseIsForgotten(t *testing.T) {
	withPeer(t, &peer{script: plain(), deaf: 80 * time.Millisecond}, func(l *lifeOf, p *peer) {
		l.ready()
		p.healed.Store(true)
		l.pass(paceFirst + 2*time.Minute)
		require.NoError(l.t, l.m.Disable(l.t.Context()))
		l.state(StateDisabled, 10*time.Second)
		require.Zero(l.t, l.m.life.pace) // its owner only waits now
		require.NoError(l.t, l.m.Enable(l.t.Context()))
		l.ready()
		o, _ := l.send("+34600111222", "hola")
		require.Equal(l.t, Accepted, o.Verdict, "%+v", o)
	})
}

// TestHitchesAreNoDeafness: a modem that loses a command now and then, and hears
// well, is not slowed down for it.
func TestHitchesAreNoDeafness(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		for range 12 {
			l.em.Inject(emulator.Fault{Kind: emulator.FaultMute, On: "+C", Count: 1})
			require.NoError(l.t, l.m.Restart(l.t.Context()))
			l.pass(3 * time.Second)
			l.state(StateReady, time.Minute)
		}
		require.NoError(l.t, l.m.Disable(l.t.Context()))
		l.state(StateDisabled, 10*time.Second)
		require.Zero(l.t, l.m.life.pace)
	})
}

// TestBareOK: a modem that says OK to everything, and no more, is taken at its
// work.
func TestBareOK(t *testing.T) {
	script := plain()
	for cmd := range script {
		script[cmd] = ""
	}
	for _, cmd := range []string{
		"V1", "Q0", "+CMEE=1", "+CFUN?", "+CPIN?", "+CIMI", "+CREG?", "+CGREG?", "+CEREG?", "+CSQ", "+COPS?", "+CPMS=?", "+CPMS?",
		"+CMGF=0", "+CMGF?", "+CSMS=0", "+CSMS?", "+CSCA?", "+CNUM", "+CCID", "+CGSN", "+GSN", "+CGMI", "+CGMM", "+CGMR", "+CMGL=4",
	} {
		script[cmd] = ""
	}
	withPeer(t, &peer{script: script}, func(l *lifeOf, p *peer) {
		start := time.Now()
		l.state(StateReady, 15*time.Second)
		l.t.Log("ready after", time.Since(start))
		o, _ := l.send("+34600111222", "hola")
		require.Equal(l.t, Accepted, o.Verdict)
	})
}

// TestUnansweredCommands: what a modem never answers is left out but for a look
// now and then, and does not send it round from the start again and again.
func TestUnansweredCommands(t *testing.T) {
	for _, mute := range [][]string{
		{"+CGREG", "+CEREG"}, {"+COPS"}, {"+CLIP", "+CNUM", "+CSCS"}, {"E0", "V1", "Q0", "+CMEE"}, {"+CREG", "+CGREG", "+CEREG", "+COPS", "+CSQ"},
	} {
		t.Run(mute[0], func(t *testing.T) {
			withPeer(t, &peer{script: plain(), mute: mute}, func(l *lifeOf, p *peer) {
				l.state(StateReady, 30*time.Second*time.Duration(len(mute)))
				require.Equal(l.t, 1, p.count("AT+CGMI"), "identified once")
				o, _ := l.send("+34600111222", "hola")
				require.Equal(l.t, Accepted, o.Verdict)
				l.pass(time.Minute)
				asked := 0
				for _, cmd := range mute {
					asked += p.count("AT" + cmd)
				}
				l.pass(20 * time.Minute)
				for _, cmd := range mute {
					asked -= p.count("AT" + cmd)
				}
				require.GreaterOrEqual(l.t, asked, -6*len(mute), "now and then, and ever more rarely")
				require.Equal(l.t, StateReady, l.m.Snapshot().State)
				require.Zero(l.t, l.m.Snapshot().Restarts)
			})
		})
	}
}

// TestListsDoNotDelayReady: a memory that is not listed, or slowly, is a matter
// for after the start.
func TestListsDoNotDelayReady(t *testing.T) {
	withPeer(t, &peer{script: plain(), mute: []string{"+CMGL"}}, func(l *lifeOf, p *peer) {
		p.script["+CMGR=3"] = "+CMGR: 0,,4|00FFFFFFFF"
		p.script["+CMGD=3"] = ""
		start := time.Now()
		l.ready()
		require.Less(l.t, time.Since(start), 5*time.Second)
		l.until("the stored message", 5*time.Minute, func() bool { return len(l.box.received()) == 1 })
		require.Zero(l.t, l.m.Snapshot().Restarts)
	})
}

// TestStoredMessagesNeedNoNetwork: they are read while the modem looks for one.
func TestStoredMessagesNeedNoNetwork(t *testing.T) {
	script := plain()
	script["+CREG?"] = "+CREG: 0,2"
	script["+CMGL=4"] = "+CMGL: 3,0,,4|00FFFFFFFF"
	withPeer(t, &peer{script: script}, func(l *lifeOf, p *peer) {
		l.until("the stored message", 30*time.Second, func() bool { return len(l.box.received()) == 1 })
		require.Equal(l.t, StateRegister, l.m.Snapshot().State)
	})
}

// TestAnswersThatCameBack: what went unanswered is not given up for as long as the
// port is open, and costs the line less and less.
func TestAnswersThatCameBack(t *testing.T) {
	withPeer(t, &peer{script: plain(), mute: []string{"+CCID", "+ICCID", "+QCCID", "+CRSM", "^ICCID", "+CSQ"}}, func(l *lifeOf, p *peer) {
		l.state(StateReady, 3*time.Minute)
		require.Empty(l.t, l.m.Snapshot().SIM.ICCID)
		require.False(l.t, l.m.Snapshot().Signal.Known)
		l.pass(time.Minute)
		asked := p.count("AT+CSQ")
		l.pass(4 * time.Hour)
		require.InDelta(l.t, asked+5, p.count("AT+CSQ"), 2)
		require.Equal(l.t, 1, p.count("AT+CGMI"), "all is well but for them")
		p.mu.Lock()
		p.mute = nil
		p.mu.Unlock()
		l.until("the ICCID", 31*time.Minute, func() bool { return l.m.Snapshot().SIM.ICCID != "" })
		l.until("the signal", hushMost+time.Minute, func() bool { return l.m.Snapshot().Signal.Known })
		asked = p.count("AT+CSQ")
		l.pass(10 * time.Minute)
		require.Greater(l.t, p.count("AT+CSQ"), asked+15, "as often as ever")
	})
}

// TestAnotherSIMAnswers what the one before left unanswered.
func TestAnotherSIMAnswers(t *testing.T) {
	withPeer(t, &peer{script: plain(), mute: []string{"+CCID", "+ICCID", "+QCCID", "+CRSM", "^ICCID"}}, func(l *lifeOf, p *peer) {
		l.state(StateReady, 3*time.Minute)
		l.pass(20 * time.Second) // and what was missed is asked for once more
		p.set(func(s map[string]string) { s["+CIMI"] = otherIMSI })
		p.mu.Lock()
		p.mute = nil
		p.mu.Unlock()
		p.say("+CPIN: READY")
		l.until("the other SIM", 20*time.Second, func() bool {
			s := l.m.Snapshot()
			return s.State == StateReady && s.SIM.ICCID != "" && s.SIM.IMSI == otherIMSI
		})
	})
}

// TestAnotherSIMHasANumber though the one before did not tell its own.
func TestAnotherSIMHasANumber(t *testing.T) {
	withPeer(t, &peer{script: plain(), mute: []string{"+CNUM"}}, func(l *lifeOf, p *peer) {
		l.state(StateReady, time.Minute)
		l.pass(2 * time.Minute) // what was missed has been asked for twice since
		p.set(func(s map[string]string) {
			s["+CIMI"], s["+CCID"], s["+CNUM"] = otherIMSI, "+CCID: "+otherICCID, `+CNUM: ,"600111222"`
		})
		p.mu.Lock()
		p.mute = nil
		p.mu.Unlock()
		p.say("+CPIN: READY")
		l.until("the other SIM", 10*time.Second, func() bool {
			s := l.m.Snapshot()
			return s.State == StateReady && s.SIM.ICCID == otherICCID && s.SIM.Number == "600111222"
		})
	})
}
