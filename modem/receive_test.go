package modem

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/at"
	"recado/modem/emulator"
	"recado/modem/family"
	"recado/modem/pdu"
)

// texts of the messages that the box has, in the order they came.
func (b *box) texts() (list []string) {
	for _, r := range b.kind(pdu.KindDeliver) {
		list = append(list, r.PDU.Text)
	}
	return list
}

func (l *lifeOf) inbound(text string) {
	l.t.Helper()
	require.NoError(l.t, l.net.Inbound(l.em.ICCID(), "+34600111222", text))
}

func (l *lifeOf) has(within time.Duration, texts ...string) {
	l.t.Helper()
	l.until(strings.Join(texts, ", "), within, func() bool { return len(l.box.texts()) >= len(texts) })
	require.Equal(l.t, texts, l.box.texts())
}

func (l *lifeOf) empty(within time.Duration) {
	l.t.Helper()
	l.pass(3 * time.Second) // how full it is is looked at when things have calmed down
	l.until("an empty memory", within, func() bool { return l.m.Snapshot().StorageUsed == 0 })
}

// wrote counts the lines that were written to the modem and begin so.
func (l *lifeOf) wrote(prefix string) (n int) {
	for _, e := range l.m.Trace() {
		if e.Out && strings.HasPrefix(e.Line, prefix) {
			n++
		}
	}
	return n
}

func TestEveryFamilySendsAndReceives(t *testing.T) {
	for _, name := range emulator.Families() {
		t.Run(name, func(t *testing.T) {
			live(t, emulator.ModemOptions{Family: name}, nil, func(l *lifeOf) {
				l.ready()
				require.NotEmpty(l.t, l.m.Snapshot().SIM.ICCID)
				require.NotEmpty(l.t, l.m.Snapshot().StorageName)
				o, _ := l.send("+34600111222", "hola")
				require.Equal(l.t, Accepted, o.Verdict, "%+v", o)
				l.until("the report", 2*time.Minute, func() bool { return len(l.box.kind(pdu.KindStatusReport)) == 1 })
				require.Equal(l.t, o.MR, int(l.box.kind(pdu.KindStatusReport)[0].PDU.MR))
				l.inbound("buenas")
				l.has(2*time.Minute, "buenas")
				l.empty(time.Minute)
				l.pass(20 * time.Minute) // chatter, health, sweeps
				require.Equal(l.t, StateReady, l.m.Snapshot().State)
				require.Len(l.t, l.box.received(), 2, "nothing twice")
				require.Zero(l.t, l.m.Snapshot().Restarts)
			})
		})
	}
}

func TestStoredBeforeDeleted(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.box.mu.Lock()
		l.box.refuse = errors.New("disk full")
		l.box.mu.Unlock()
		l.inbound("no me pierdas")
		l.until("a refused store", 10*time.Second, func() bool { l.box.mu.Lock(); defer l.box.mu.Unlock(); return l.box.calls > 0 })
		l.pass(5 * time.Minute)
		require.Zero(l.t, l.wrote("AT+CMGD"), "deleted without being stored")
		l.box.mu.Lock()
		l.box.refuse = nil
		l.box.mu.Unlock()
		l.has(2*time.Minute, "no me pierdas")
		l.empty(time.Minute)
		require.Equal(l.t, 1, l.wrote("AT+CMGD"))
	})
}

func TestReportIsKeptUntilStored(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.box.mu.Lock()
		l.box.refuse = errors.New("disk full")
		l.box.mu.Unlock()
		o, _ := l.send("+34600111222", "hola")
		require.Equal(l.t, Accepted, o.Verdict)
		l.pass(3 * time.Minute) // +CDS is the only copy
		l.box.mu.Lock()
		l.box.refuse = nil
		l.box.mu.Unlock()
		l.until("the report", time.Minute, func() bool { return len(l.box.kind(pdu.KindStatusReport)) == 1 })
	})
}

func TestFoundAtStart(t *testing.T) {
	live(t, emulator.ModemOptions{}, func(c *Config) { c.Settle = -1 }, func(l *lifeOf) {
		l.ready()
		l.em.Unplug()
		l.state(StateAbsent, 10*time.Second)
		l.em.Replug()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultLostCMTI, Count: -1})
		l.inbound("de antes")
		l.ready()
		l.has(2*time.Minute, "de antes")
		l.empty(time.Minute)
	})
}

func TestMemoryFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults []emulator.Fault
		within time.Duration
	}{
		{"CMTI without index", []emulator.Fault{{Kind: emulator.FaultCMTIMinus}}, 10 * time.Second},
		{"CMTI lost", []emulator.Fault{{Kind: emulator.FaultLostCMTI}}, 2 * time.Minute},
		{"CMTI names another memory", []emulator.Fault{{Kind: emulator.FaultCMTIWrong, Text: "ME", Code: 7}}, 2 * time.Minute},
		{"CMGR empty at first", []emulator.Fault{{Kind: emulator.FaultCMGRBareOK}}, 10 * time.Second},
		{"CMGR empty twice", []emulator.Fault{{Kind: emulator.FaultCMGRBareOK, Count: 2}}, 10 * time.Second},
		{"CMGL refused", []emulator.Fault{{Kind: emulator.FaultCMTIMinus}, {Kind: emulator.FaultCMGL, Count: -1}}, 2 * time.Minute},
		{"CMGL refused in every form", []emulator.Fault{{Kind: emulator.FaultCMTIMinus}, {Kind: emulator.FaultError, On: "+CMGL", Code: 303, Count: -1}}, 2 * time.Minute},
		{"CMGL hangs", []emulator.Fault{{Kind: emulator.FaultCMTIMinus}, {Kind: emulator.FaultMute, On: "+CMGL=4", Count: -1}}, 3 * time.Minute},
		{"delete does nothing", []emulator.Fault{{Kind: emulator.FaultDeleteFails}}, 10 * time.Second},
		{"delete refused", []emulator.Fault{{Kind: emulator.FaultError, On: "+CMGD", Code: 500}}, 10 * time.Second},
		{"code in the middle of the answer", []emulator.Fault{{Kind: emulator.FaultURC, On: "+CMGR"}}, 10 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
				l.ready()
				lists := l.wrote("AT+CMGL=4")
				for _, f := range c.faults {
					l.em.Inject(f)
				}
				l.inbound("aquí estoy")
				l.has(c.within, "aquí estoy")
				l.empty(3 * time.Minute)
				l.pass(3 * time.Minute)
				require.Len(l.t, l.box.received(), 1, "once")
				require.Zero(l.t, l.m.Snapshot().Restarts)
				if c.name == "CMGL hangs" {
					require.Equal(l.t, lists+2, l.wrote("AT+CMGL=4"), "once more with more time: then it is known not to work")
				}
				l.ready()
				o, _ := l.send("+34600111222", "sigo")
				require.Equal(l.t, Accepted, o.Verdict)
			})
		})
	}
}

func TestFullMemoryIsEmptiedUnderLoad(t *testing.T) {
	live(t, emulator.ModemOptions{SMSlots: 5, MESlots: 5}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultLostCMTI, Count: 5})
		var want []string
		for i := range 12 { // more than fits: the network keeps the rest
			want = append(want, fmt.Sprint("mensaje ", i))
			l.inbound(want[i])
		}
		for range 20 {
			o, _ := l.send("+34600111222", "carga")
			require.Equal(l.t, Accepted, o.Verdict)
		}
		l.until("all messages", 5*time.Minute, func() bool { return len(l.box.texts()) == len(want) })
		require.ElementsMatch(l.t, want, l.box.texts())
		l.empty(2 * time.Minute)
	})
}

func TestEmptyReadIsRepeatedBeforeASweep(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultCMGRBareOK})
		lists := l.wrote("AT+CMGL")
		l.inbound("un momento")
		l.has(2*time.Second, "un momento")
		require.Equal(l.t, 2, l.wrote("AT+CMGR"))
		require.Equal(l.t, lists, l.wrote("AT+CMGL"))
	})
}

func TestManyHintsAreOneList(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		lists := l.wrote("AT+CMGL")
		for _, text := range []string{"a", "b", "c", "d"} { // while a submission is open
			time.AfterFunc(time.Second, func() { _ = l.net.Inbound(l.em.ICCID(), "+34600111222", text) })
		}
		o, _ := l.send("+34600111222", "hola")
		require.Equal(l.t, Accepted, o.Verdict)
		l.until("all four", 10*time.Second, func() bool { return len(l.box.texts()) == 4 })
		require.Zero(l.t, l.wrote("AT+CMGR"))
		require.Equal(l.t, lists+1, l.wrote("AT+CMGL"))
	})
}

// TestSendGoesBeforeTheNextCommand: a sweep with much to delete costs a waiting
// message no more than the command that is under way.
func TestSendGoesBeforeTheNextCommand(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultSlow, On: "+CMGD", Delay: 500 * time.Millisecond, Count: -1})
		l.em.Inject(emulator.Fault{Kind: emulator.FaultLostCMTI, Count: 10})
		for i := range 10 {
			l.inbound(fmt.Sprint("mensaje ", i))
		}
		l.until("the first deletion", 2*time.Minute, func() bool { return l.wrote("AT+CMGD=") > 0 })
		for range 3 {
			start := time.Now()
			o := l.m.Send(l.t.Context(), l.tpdu("+34600111222", "urgente"), func() error {
				require.Less(l.t, time.Since(start), 600*time.Millisecond)
				return nil
			})
			require.Equal(l.t, Accepted, o.Verdict)
		}
		require.Less(l.t, l.wrote("AT+CMGD="), 10, "the sends were in the middle of it")
		l.until("all messages", time.Minute, func() bool { return len(l.box.texts()) == 10 })
		l.empty(time.Minute)
	})
}

// TestOverdue: what may go in front of a waiting message, and when.
func TestOverdue(t *testing.T) {
	now := time.Now()
	due := func(s *session, c *chore, ago time.Duration, sends int) bool {
		c.due, c.seen, s.sent = now.Add(-ago), 10, 10+sends
		return s.overdue(c, now)
	}
	s := &session{}
	s.planChores()
	require.False(t, s.overdue(s.readHints, now), "not wanted at all")
	require.False(t, due(s, s.readHints, time.Second, 1))
	require.True(t, due(s, s.readHints, time.Second, 2), "within a couple of sends")
	require.True(t, due(s, s.readHints, 3*time.Second, 0))
	require.False(t, due(s, s.readHints, -time.Second, 9), "not due yet")
	require.False(t, due(s, s.checkHealth, 29*time.Second, 100))
	require.True(t, due(s, s.checkHealth, 30*time.Second, 0))
	require.False(t, due(s, s.sweepHere, 0, 0))
	s.full = true
	require.True(t, due(s, s.sweepHere, 0, 0), "a full memory waits for nobody")
	require.True(t, due(s, s.delete, 0, 0))
	require.False(t, due(s, s.checkHealth, 0, 0))
}

// TestSlotsOfAnotherSIM: what the sink has stored of the SIM before is not
// deleted from this one.
func TestSlotsOfAnotherSIM(t *testing.T) {
	s := &session{m: New(Config{Name: "x", Sink: &box{}}), taken: map[slot]bool{}, deleted: map[slot]string{}}
	s.planChores()
	s.take("SM", stored{Index: 3, PDU: "00"})
	old := s.epoch
	s.forgetSlots()
	s.wasKept(kept{from: s, slot: slot{"SM", 3}, epoch: old, ok: true})
	require.Empty(t, s.deletes)
	s.take("SM", stored{Index: 3, PDU: "00"})
	s.wasKept(kept{from: s, slot: slot{"SM", 3}, epoch: s.epoch, ok: true})
	require.Equal(t, []slot{{"SM", 3}}, s.deletes)
}

func TestReportBeforeAnswer(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultCDSFirst})
		o, _ := l.send("+34600111222", "hola")
		require.Equal(l.t, Accepted, o.Verdict)
		l.until("the report", 10*time.Second, func() bool { return len(l.box.kind(pdu.KindStatusReport)) == 1 })
		require.Equal(l.t, o.MR, int(l.box.kind(pdu.KindStatusReport)[0].PDU.MR))
	})
}

func TestUndecodableIsStoredAndDeleted(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultAnswer, On: "+CMGR", Text: "\r\n+CMGR: 0,,4\r\n00FFFFFFFF\r\n\r\nOK\r\n"})
		l.inbound("da igual")
		l.until("the raw message", 10*time.Second, func() bool { return len(l.box.received()) == 1 })
		require.NotEmpty(l.t, l.box.received()[0].PDU.Raw)
		require.Error(l.t, l.box.received()[0].PDU.Err)
		l.empty(time.Minute)
	})
}

func TestForeignSubmitsStay(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultAnswer, On: "+CMGL", Count: -1,
			Text: "\r\n+CMGL: 3,2,,14\r\n0001000B914306112112F20000024833\r\n\r\nOK\r\n"})
		l.pass(5 * time.Minute)
		require.Empty(l.t, l.box.received())
		require.Zero(l.t, l.wrote("AT+CMGD"))
	})
}

func TestDirectMessageIsStored(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		tpdus, err := pdu.DeliverTPDU("+34600111222", "directo", time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), pdu.Options{})
		require.NoError(l.t, err)
		l.em.Say(fmt.Sprintf("+CMT: ,%d", len(tpdus[0])), fmt.Sprintf("00%X", tpdus[0]))
		l.has(time.Second, "directo")
		require.Zero(l.t, l.wrote("AT+CNMA"), "with AT+CSMS=0 nobody waits for it")
	})
}

func TestForcedPhase2Acknowledges(t *testing.T) {
	live(t, emulator.ModemOptions{}, func(c *Config) {}, func(l *lifeOf) {
		l.em.Inject(emulator.Fault{Kind: emulator.FaultError, On: "+CSMS=0", Code: 302, Count: -1})
		l.em.Inject(emulator.Fault{Kind: emulator.FaultAnswer, On: "+CSMS?", Count: -1, Text: "\r\n+CSMS: 1,1,1,1\r\n\r\nOK\r\n"})
		l.ready()
		tpdus, err := pdu.DeliverTPDU("+34600111222", "directo", time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), pdu.Options{})
		require.NoError(l.t, err)
		l.em.Say(fmt.Sprintf("+CMT: ,%d", len(tpdus[0])), fmt.Sprintf("00%X", tpdus[0]))
		l.has(time.Second, "directo")
		l.until("the acknowledgement", 5*time.Second, func() bool { return l.wrote("AT+CNMA") == 1 })
	})
}

func TestNoNoticesPollsEvery15Seconds(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.em.Inject(emulator.Fault{Kind: emulator.FaultError, On: "+CNMI=", Code: 303, Count: -1})
		l.ready()
		require.Zero(l.t, l.m.Snapshot().ReportsBy)
		l.inbound("sin aviso")
		l.has(20*time.Second, "sin aviso")
	})
}

func TestForgottenNoticesAreSetAgain(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		before := l.wrote("AT+CNMI=")
		l.em.Inject(emulator.Fault{Kind: emulator.FaultAnswer, On: "+CNMI?", Text: "\r\n+CNMI: 0,0,0,0,0\r\n\r\nOK\r\n"})
		l.until("AT+CNMI again", 10*time.Minute, func() bool { return l.wrote("AT+CNMI=") > before })
	})
}

// TestLadderTrustsOnlyTheOK: the first setting that is accepted counts.
func TestLadderTrustsOnlyTheOK(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.em.Inject(emulator.Fault{Kind: emulator.FaultError, On: "+CNMI=2,1,0,1,0", Code: 303, Count: -1})
		l.ready()
		require.Equal(l.t, 2, l.m.Snapshot().ReportsBy)
		o, _ := l.send("+34600111222", "hola")
		require.Equal(l.t, Accepted, o.Verdict)
		l.until("the stored report", 2*time.Minute, func() bool { return len(l.box.kind(pdu.KindStatusReport)) == 1 })
	})
}

func TestCallIsRefused(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Ring("+34600111222", 5)
		l.until("the hang-up", 10*time.Second, func() bool { return l.wrote("AT+CHUP") > 0 })
	})
}

func TestClassify(t *testing.T) {
	s := &session{}
	s.fam.Store(generic())
	for line, want := range map[string]urcKind{
		`+CMTI: "SM",3`: urcHint, `+CDSI: "SR",0`: urcHint, "+CREG: 1": urcReg, "+CEREG: 5": urcReg,
		"RING": urcRing, "+CRING: VOICE": urcRing, "RDY": urcBoot, "^SYSSTART": urcBoot, "NORMAL POWER DOWN": urcBoot,
		"^SMMEMFULL: \"SM\"": urcFull, "+SMS FULL": urcFull, "+CPIN: NOT READY": urcSIM, "^SIMST:0": urcSIM,
		"^RSSI:18": urcOther, "^BOOT:1,0,0,0,72": urcOther, "*PSUTTZ: 26,11,22": urcTime, `+CTZV: "+04"`: urcTime, "": urcOther, "+CMT: ,24": urcOther,
	} {
		require.Equal(t, want, classify(line, s.family()), line)
	}
}

func FuzzURC(f *testing.F) {
	for _, s := range []string{"+CMTI: \"SM\",3", "+CREG: 1", "RDY", "+CPIN: NOT READY", "^SMMEMFULL", "+CDS: 24"} {
		f.Add(s, "00FF")
	}
	f.Fuzz(func(t *testing.T, line, trailer string) {
		m := New(Config{Name: "x", Sink: &box{}})
		s := &session{m: m, domains: map[string]registration{}, taken: map[slot]bool{}, deleted: map[slot]string{}}
		s.fam.Store(generic())
		s.planChores()
		m.heard(s, at.URC{Line: line, Trailer: trailer})
		s.hear()
		require.LessOrEqual(t, len(s.hints), 1)
	})
}

func generic() *family.Family { return &family.Generic }
