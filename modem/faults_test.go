package modem

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/modem/pdu"
)

// the faults that a driver must pass, by name, in the order of the reference.
const theFaults = "URC inside multi-line response · CMT header without PDU · OK after ESC · result 135 s late · result after we closed · " +
	"CMS 500 but delivered · CDS before CMGS · ds=2 pointing to wrong memory · CMTI ,-1 · CMGL 303 · CMGR bare OK · storage full · " +
	"CPIN without OK · SIM busy ×5 · PIN wrong once · PUK · ICCID change while running · port vanishes in each phase · fd reuse · " +
	"write blocks · 2 identical USB ids, same iSerial · ttyUSB renumbering · ModemManager probing in parallel · Huawei chatter flood · " +
	"CREG 3/8 · MR wrap · 255 parts · duplicate MT · AT&T padding PDU"

// TestFaults plays every one of them against the whole modem: what the network
// accepted (the ledger) agrees with what Send says, and what came in came out of
// the modem.
func TestFaults(t *testing.T) {
	plays := []struct {
		name string
		play func(t *testing.T)
	}{
		{"URC inside multi-line response", urcInsideResponse},
		{"CMT header without PDU", cmtWithoutPDU},
		{"OK after ESC", okAfterESC},
		{"result 135 s late", result135Late},
		{"result after we closed", resultAfterClose},
		{"CMS 500 but delivered", cms500Delivered},
		{"CDS before CMGS", cdsBeforeCMGS},
		{"ds=2 pointing to wrong memory", ds2WrongMemory},
		{"CMTI ,-1", cmtiMinusOne},
		{"CMGL 303", cmgl303},
		{"CMGR bare OK", cmgrBareOK},
		{"storage full", storageFull},
		{"CPIN without OK", cpinWithoutOK},
		{"SIM busy ×5", simBusyFive},
		{"PIN wrong once", pinWrongOnce},
		{"PUK", pukWanted},
		{"ICCID change while running", iccidChange},
		{"port vanishes in each phase", portVanishes},
		{"fd reuse", fdReuse},
		{"write blocks", writeBlocks},
		{"2 identical USB ids, same iSerial", twins},
		{"ttyUSB renumbering", renumbering},
		{"ModemManager probing in parallel", probingInParallel},
		{"Huawei chatter flood", chatterFlood},
		{"CREG 3/8", creg3And8},
		{"MR wrap", mrWrap},
		{"255 parts", parts255},
		{"duplicate MT", duplicateMT},
		{"AT&T padding PDU", attPadding},
	}
	var names []string
	for _, p := range plays {
		names = append(names, p.name)
		t.Run(p.name, p.play)
	}
	require.Equal(t, strings.Split(theFaults, " · "), names, "each fault of the reference, in its order")
}

// goesOn sends and receives: the line works as before.
func (l *lifeOf) goesOn() {
	l.t.Helper()
	l.state(StateReady, time.Minute)
	text := fmt.Sprint("sigo ", time.Now().UnixNano())
	o, _ := l.send("+34600111222", text)
	require.Equal(l.t, Accepted, o.Verdict, "%+v", o)
	require.Equal(l.t, 1, l.accepted(text))
	l.inbound("entra " + text)
	l.until("a message that comes in", 2*time.Minute, func() bool { return l.times("entra "+text) == 1 })
}

// times is how often the sink got a text.
func (l *lifeOf) times(text string) (n int) {
	for _, got := range l.box.texts() {
		if got == text {
			n++
		}
	}
	return n
}

// submits are the network's entries of what was handed to it.
func (l *lifeOf) submits() (list []emulator.Entry) {
	for _, e := range l.net.Ledger() {
		if e.Type == emulator.EntrySubmit {
			list = append(list, e)
		}
	}
	return list
}

func urcInsideResponse(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultLostCMTI, Count: 3})
		for i := range 3 {
			l.inbound(fmt.Sprint("texto ", i))
		}
		for after := range 6 { // after each line of the list of three, and in its middle
			l.em.Inject(emulator.Fault{Kind: emulator.FaultURC, On: "+CMGL", Code: after, Text: `+CREG: 1`})
		}
		l.until("all three", 2*time.Minute, func() bool { return len(l.box.texts()) == 3 })
		require.ElementsMatch(l.t, []string{"texto 0", "texto 1", "texto 2"}, l.box.texts())
		for _, r := range l.box.received() {
			require.NoError(l.t, r.PDU.Err)
		}
		// A hint in the middle of an answer is heard, not lost with it.
		l.em.Inject(emulator.Fault{Kind: emulator.FaultLostCMTI})
		l.em.Inject(emulator.Fault{Kind: emulator.FaultURC, On: "+CSQ", Code: 1, Text: `+CMTI: "SM",1`})
		l.inbound("el aviso")
		l.until("the hinted one", 40*time.Second, func() bool { return l.times("el aviso") == 1 })
		l.empty(time.Minute)
		l.goesOn()
	})
}

func cmtWithoutPDU(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Say("+CMT: ,24", "")
		o, _ := l.send("+34600111222", "justo entonces")
		require.Equal(l.t, Accepted, o.Verdict, "%+v: the header took the answer's lines", o)
		require.Equal(l.t, 1, l.accepted("justo entonces"))
		require.Equal(l.t, l.submits()[0].MR, o.MR)
		l.em.Say("+CDS: 25", "")
		l.goesOn()
		require.Zero(l.t, l.m.Snapshot().Restarts)
		for _, r := range l.box.received() {
			require.NoError(l.t, r.PDU.Err, "a line that is no PDU was taken for one")
		}
	})
}

func okAfterESC(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		no := fmt.Errorf("not now")
		for range 3 {
			o := l.m.Send(l.t.Context(), l.tpdu("+34600111222", "nunca"), func() error { return no })
			require.Equal(l.t, NotSent, o.Verdict, "an OK without +CMGS is no success: %+v", o)
			require.Equal(l.t, -1, o.MR)
		}
		require.Empty(l.t, l.submits())
		l.goesOn()
	})
	// The same to a submission that was sent: it is not known what became of it.
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultNoPrompt})
		o, gates := l.send("+34600111222", "nunca")
		require.Equal(l.t, NotSent, o.Verdict, "%+v", o)
		require.Zero(l.t, gates)
		require.Zero(l.t, l.accepted("nunca"))
		l.goesOn()
	})
}

func result135Late(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultLateCMGS, Delay: 135 * time.Second})
		l.em.Inject(emulator.Fault{Kind: emulator.FaultLostTrailer})
		start := time.Now()
		o, gates := l.send("+34600111222", "tarde")
		require.Equal(l.t, Accepted, o.Verdict, "%+v", o)
		require.Equal(l.t, 1, gates)
		require.InDelta(l.t, 137, time.Since(start).Seconds(), 2)
		require.Equal(l.t, 1, l.accepted("tarde"))
		require.Equal(l.t, l.submits()[0].MR, o.MR)
		l.goesOn()
	})
	// LTE without SMS: CMS 350 comes as late.
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultNoSMS})
		o, _ := l.send("+34600111222", "en vano")
		require.Equal(l.t, "cms_350", o.Code)
		require.Equal(l.t, Ambiguous, o.Verdict, "a catch-all says nothing of what was sent")
		require.Zero(l.t, l.accepted("en vano"))
		l.goesOn()
	})
}

func resultAfterClose(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultLateCMGS, Delay: 30 * time.Second})
		l.em.Inject(emulator.Fault{Kind: emulator.FaultLostTrailer})
		first := make(chan Outcome, 1)
		go func() { o, _ := l.send("+34600111222", "primera"); first <- o }()
		l.until("it is open", time.Minute, func() bool { return len(l.submits()) == 1 })
		l.em.Unplug() // what is owed goes with the port
		require.Equal(l.t, Ambiguous, (<-first).Verdict)
		l.em.Replug()
		l.ready()
		// The old answer comes now, to a host that has opened the port anew.
		l.em.Say("+CMGS: 77", "")
		l.em.Say("OK", "")
		o, _ := l.send("+34600111222", "segunda")
		require.Equal(l.t, Accepted, o.Verdict)
		require.NotEqual(l.t, 77, o.MR, "another submission's reference")
		require.Equal(l.t, l.submits()[1].MR, o.MR)
		require.Equal(l.t, 1, l.accepted("primera"))
		l.goesOn()
	})
}

func cms500Delivered(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultCMSSent, Code: 500})
		o, gates := l.send("+34600111222", "quizás")
		require.Equal(l.t, Ambiguous, o.Verdict, "%+v", o)
		require.Equal(l.t, 1, gates)
		require.Equal(l.t, 1, l.accepted("quizás"), "and not sent again")
		l.until("the report that tells", 10*time.Second, func() bool { return len(l.box.kind(pdu.KindStatusReport)) == 1 })
		require.Equal(l.t, l.submits()[0].MR, int(l.box.kind(pdu.KindStatusReport)[0].PDU.MR))
		l.goesOn()
	})
}

func cdsBeforeCMGS(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultCDSFirst})
		o, _ := l.send("+34600111222", "hola")
		require.Equal(l.t, Accepted, o.Verdict, "%+v", o)
		require.Equal(l.t, l.submits()[0].MR, o.MR)
		l.pass(time.Millisecond) // the keeper stores beside the answer
		reports := l.box.kind(pdu.KindStatusReport)
		require.Len(l.t, reports, 1, "it was there before the answer")
		require.Equal(l.t, o.MR, int(reports[0].PDU.MR))
		l.goesOn()
	})
}

func ds2WrongMemory(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		// The first setting is refused, so that reports are stored.
		l.em.Inject(emulator.Fault{Kind: emulator.FaultError, On: "+CNMI=2,1,0,1,0", Code: 303, Count: -1})
		l.ready()
		require.Equal(l.t, 2, l.m.Snapshot().ReportsBy)
		l.em.Inject(emulator.Fault{Kind: emulator.FaultCDSIWrong, Text: "SM", Code: 0})
		o, _ := l.send("+34600111222", "hola")
		require.Equal(l.t, Accepted, o.Verdict)
		l.until("the report that is in SR", 6*time.Minute, func() bool { return len(l.box.kind(pdu.KindStatusReport)) == 1 })
		require.Equal(l.t, o.MR, int(l.box.kind(pdu.KindStatusReport)[0].PDU.MR))
		l.goesOn()
	})
}

func cmtiMinusOne(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultCMTIMinus})
		l.inbound("sin sitio")
		l.has(3*time.Second, "sin sitio")
		l.empty(time.Minute)
		l.goesOn()
	})
}

func cmgl303(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.em.Inject(emulator.Fault{Kind: emulator.FaultCMGL, Count: -1})
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultLostCMTI})
		l.inbound("sólo en la lista")
		l.has(2*time.Minute, "sólo en la lista")
		require.Positive(l.t, l.wrote(`AT+CMGL="ALL"`))
		l.empty(time.Minute)
		l.goesOn()
	})
}

func cmgrBareOK(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultCMGRBareOK, Count: 2})
		l.inbound("aún no")
		l.has(5*time.Second, "aún no")
		require.Positive(l.t, l.wrote("AT+CMGD="))
		l.empty(time.Minute)
		require.Len(l.t, l.box.received(), 1)
		l.goesOn()
	})
}

func storageFull(t *testing.T) {
	live(t, emulator.ModemOptions{SMSlots: 4, MESlots: 4}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultLostCMTI, Count: -1})
		var want []string
		for i := range 10 {
			want = append(want, fmt.Sprint("mensaje ", i))
			l.inbound(want[i])
		}
		l.until("all of them", 6*time.Minute, func() bool { return len(l.box.texts()) == len(want) })
		require.ElementsMatch(l.t, want, l.box.texts(), "each once")
		l.em.ClearFaults()
		l.empty(time.Minute)
		l.goesOn()
	})
}

func cpinWithoutOK(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.em.Inject(emulator.Fault{Kind: emulator.FaultCPINNoOK, Count: -1})
		l.ready()
		require.Equal(l.t, l.em.ICCID(), l.m.Snapshot().SIM.ICCID)
		require.Zero(l.t, l.m.Snapshot().Restarts)
		l.goesOn()
	})
	live(t, emulator.ModemOptions{Family: "wavecom"}, nil, func(l *lifeOf) { l.ready(); l.goesOn() })
}

func simBusyFive(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.em.Inject(emulator.Fault{Kind: emulator.FaultSIMBusy, Count: 5})
		l.ready()
		require.Equal(l.t, l.em.ICCID(), l.m.Snapshot().SIM.ICCID)
		require.NotEmpty(l.t, l.m.Snapshot().SIM.IMSI)
		require.Zero(l.t, l.m.Snapshot().Restarts)
		l.goesOn()
	})
}

func pinWrongOnce(t *testing.T) {
	live(t, emulator.ModemOptions{PIN: "4321"}, withPIN("1111"), func(l *lifeOf) {
		l.state(StateSIMBlocked, time.Minute)
		l.pass(5 * time.Minute)
		require.Equal(l.t, 1, l.pinsWritten())
		require.NoError(l.t, l.m.Restart(l.t.Context()))
		l.pass(time.Hour)
		require.Zero(l.t, l.pinsWritten(), "never again") // the first is no longer in the trace
		require.Contains(l.t, l.other("AT+CPINR"), "SIM PIN,2,")
		require.Equal(l.t, 2, l.m.Snapshot().SIM.PINTries)
		require.NoError(l.t, l.m.EnterPIN(l.t.Context(), "4321"))
		l.goesOn()
	})
}

// other gives commands through another port of the emulated modem, and gives
// what the last one is answered.
func (l *lifeOf) other(cmds ...string) string {
	l.t.Helper()
	host, device := net.Pipe()
	ctx, cancel := context.WithCancel(l.t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = l.em.Serve(ctx, device) }()
	defer func() { cancel(); host.Close(); <-ended }()
	r, answer := bufio.NewReader(host), ""
	for _, cmd := range cmds {
		go io.WriteString(host, cmd+"\r")
		answer = ""
		for !strings.HasSuffix(answer, "OK\r\n") && !strings.Contains(answer, "ERROR") {
			line, err := r.ReadString('\n')
			require.NoError(l.t, err)
			answer += line
		}
	}
	return answer
}

func pukWanted(t *testing.T) {
	live(t, emulator.ModemOptions{PIN: "4321", PUK: "12345678"}, nil, func(l *lifeOf) {
		l.state(StateSIMBlocked, time.Minute)
		// Somebody else uses the tries up.
		require.Contains(l.t, l.other(`AT+CPIN="0000"`, `AT+CPIN="0000"`, `AT+CPIN="0000"`), "ERROR")
		l.until("it says so", time.Minute, func() bool { return strings.Contains(l.m.Snapshot().Reason, "PUK") })
		l.pass(2 * time.Hour)
		require.Equal(l.t, StateSIMBlocked, l.m.Snapshot().State)
		require.Zero(l.t, l.m.Snapshot().Restarts, "no restart would help")
		require.Contains(l.t, l.other(`AT+CSIM=10,"002C000100"`), "63CA", "all ten tries of the PUK are there")
		require.Equal(l.t, NotSent, l.m.Send(l.t.Context(), l.tpdu("+34600111222", "no"), nil).Verdict)
		require.Empty(l.t, l.submits())
		require.NoError(l.t, l.m.EnterPUK(l.t.Context(), "12345678", "9876"))
		l.goesOn()
	})
}

func iccidChange(t *testing.T) {
	live(t, emulator.ModemOptions{Number: "+34699000111"}, nil, func(l *lifeOf) {
		l.ready()
		was := l.m.Snapshot().SIM
		l.goesOn()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultSIMSwap})
		l.until("the other SIM", time.Minute, func() bool {
			s := l.m.Snapshot()
			return s.State == StateReady && s.SIM.ICCID == l.em.ICCID()
		})
		is := l.m.Snapshot().SIM
		require.NotEqual(l.t, was.ICCID, is.ICCID)
		require.NotEqual(l.t, was.IMSI, is.IMSI)
		require.Equal(l.t, l.em.Number(), is.Number)
		l.goesOn()
		list := l.submits()
		require.Equal(l.t, is.ICCID, list[len(list)-1].SIM)
		got := l.box.kind(pdu.KindDeliver)
		require.Equal(l.t, is.ICCID, got[len(got)-1].ICCID, "what comes in is the new SIM's")
	})
}

func portVanishes(t *testing.T) {
	for _, kind := range []emulator.FaultKind{emulator.FaultUnplug, emulator.FaultReboot} {
		for phase, sent := range map[emulator.Phase]Verdict{
			emulator.PhaseCommand: NotSent, emulator.PhasePrompt: NotSent,
			emulator.PhasePDU: Ambiguous, emulator.PhaseAccepted: Ambiguous,
		} {
			t.Run(string(kind)+" "+string(phase), func(t *testing.T) {
				live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
					l.ready()
					l.em.Inject(emulator.Fault{Kind: kind, Phase: phase, Delay: 5 * time.Second})
					start := time.Now()
					o, _ := l.send("+34600111222", "a medias")
					n := 0
					if phase == emulator.PhaseAccepted {
						n = 1
					}
					require.Equal(l.t, n, l.accepted("a medias"))
					if phase == emulator.PhasePrompt {
						// The PDU was on its way when the port went, or not yet.
						require.Contains(l.t, []Verdict{NotSent, Ambiguous}, o.Verdict)
					} else {
						require.Equal(l.t, sent, o.Verdict, "%+v", o)
					}
					l.state(StateReady, 30*time.Second)
					require.Less(l.t, time.Since(start), 40*time.Second)
					l.goesOn()
					require.Equal(l.t, n, l.accepted("a medias"), "never sent twice")
				})
			})
		}
	}
}

func writeBlocks(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultStuckReader, Delay: 2 * time.Minute})
		start := time.Now()
		o, gates := l.send("+34600111222", "atascada")
		require.Equal(l.t, NotSent, o.Verdict, "%+v", o)
		require.Zero(l.t, gates)
		require.Less(l.t, time.Since(start), 15*time.Second)
		l.em.ClearFaults()
		l.state(StateReady, 30*time.Second)
		require.Zero(l.t, l.accepted("atascada"))
		l.goesOn()
	})
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) { // the prompt came, and then nothing goes out
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultStuckReader, On: "+CMGS", Delay: 30 * time.Second})
		o, gates := l.send("+34600111222", "atascada")
		require.Equal(l.t, 1, gates)
		require.NotEqual(l.t, Accepted, o.Verdict)
		l.pass(time.Minute)
		if n := l.accepted("atascada"); o.Verdict == NotSent {
			require.Zero(l.t, n)
		} else {
			require.LessOrEqual(l.t, n, 1)
		}
		l.state(StateReady, 4*time.Minute)
		l.goesOn()
	})
}

func probingInParallel(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultOtherProgram, Delay: 300 * time.Millisecond, Count: -1})
		for i := range 30 {
			text := fmt.Sprint("entre otros ", i)
			o, _ := l.send("+34600111222", text)
			if o.Late != nil {
				if late, ok := <-o.Late; ok {
					o = late
				}
			}
			l.agrees(text, o)
			l.pass(3 * time.Second)
		}
		l.em.ClearFaults()
		l.pass(10 * time.Second)
		l.state(StateReady, 3*time.Minute+30*time.Second)
		l.goesOn()
		require.Equal(l.t, l.em.ICCID(), l.m.Snapshot().SIM.ICCID)
		require.Zero(l.t, l.pinsWritten(), "another program's answer made it send a PIN")
	})
}

// agrees compares an outcome with the ledger.
func (l *lifeOf) agrees(text string, o Outcome) {
	l.t.Helper()
	n, mr := 0, -1
	for _, e := range l.submits() {
		if e.Accepted && e.Text == text {
			n, mr = n+1, e.MR
		}
	}
	switch o.Verdict {
	case Accepted:
		require.Equal(l.t, 1, n, "%s: %+v", text, o)
		require.Equal(l.t, mr, o.MR, "%s: another message's reference", text)
	case NotSent, Rejected:
		require.Zero(l.t, n, "%s: %+v", text, o)
	default:
		require.LessOrEqual(l.t, n, 1, "%s: %+v", text, o)
	}
}

func chatterFlood(t *testing.T) {
	// A thousand lines a second until it is told to be silent.
	live(t, emulator.ModemOptions{Family: "huawei"}, nil, func(l *lifeOf) {
		l.em.Inject(emulator.Fault{Kind: emulator.FaultFlood})
		l.ready()
		require.Positive(l.t, l.wrote("AT^CURC=0"))
		lines := len(l.m.Trace())
		l.pass(20 * time.Second)
		require.Less(l.t, len(l.m.Trace())-lines, 50, "it is silent")
		l.goesOn()
	})
	// And from one that does not listen: all of it is heard, and nothing lost.
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultFlood, Delay: 30 * time.Second})
		l.inbound("bajo la lluvia")
		for i := range 10 {
			text := fmt.Sprint("bajo ", i)
			o, _ := l.send("+34600111222", text)
			require.Equal(l.t, Accepted, o.Verdict, "%+v", o)
			l.agrees(text, o)
		}
		l.until("the message", time.Minute, func() bool { return l.times("bajo la lluvia") == 1 })
		require.Zero(l.t, l.m.Snapshot().Restarts)
		l.pass(time.Minute)
		l.goesOn()
	})
}

func creg3And8(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.em.Inject(emulator.Fault{Kind: emulator.FaultRegistrationDenied})
		l.state(StateSIMDenied, 5*time.Minute)
		require.Equal(l.t, NotSent, l.m.Send(l.t.Context(), l.tpdu("+34600111222", "no"), nil).Verdict)
		require.Empty(l.t, l.submits())
		l.em.ClearFaults()
		l.state(StateReady, 11*time.Minute)
		l.goesOn()
	})
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) { // emergency only is no registration
		for _, d := range []string{"+CREG", "+CGREG", "+CEREG"} {
			l.em.Inject(emulator.Fault{Kind: emulator.FaultAnswer, On: d + "?", Count: -1, Text: "\r\n" + d + ": 2,8\r\n\r\nOK\r\n"})
		}
		l.state(StateRegister, time.Minute)
		l.pass(2 * time.Minute)
		require.NotEqual(l.t, StateReady, l.m.Snapshot().State)
		require.Equal(l.t, NotSent, l.m.Send(l.t.Context(), l.tpdu("+34600111222", "no"), nil).Verdict)
		l.em.ClearFaults()
		l.state(StateReady, 30*time.Second)
		l.goesOn()
	})
}

func mrWrap(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		for i := range 260 {
			o, _ := l.send("+34600111222", "vuelta")
			require.Equal(l.t, Accepted, o.Verdict)
			require.Equal(l.t, i%256, o.MR)
			require.Equal(l.t, l.submits()[i].MR, o.MR)
		}
		l.until("every report", time.Minute, func() bool { return len(l.box.kind(pdu.KindStatusReport)) == 260 })
		for i, r := range l.box.kind(pdu.KindStatusReport) {
			require.Equal(l.t, i%256, int(r.PDU.MR))
		}
	})
}

func parts255(t *testing.T) {
	text := strings.Repeat("0123456789", 255*153/10) + "01234" // 255 segments of 153 septets
	segs, err := pdu.Encode("+34600111222", text, pdu.Options{Ref: 200})
	require.NoError(t, err)
	require.Len(t, segs, 255)
	_, err = pdu.Encode("+34600111222", text+"x", pdu.Options{Ref: 200})
	require.Error(t, err, "256 cannot be counted")
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		for i, s := range segs {
			o := l.m.Send(l.t.Context(), s.TPDU, func() error { return nil })
			require.Equal(l.t, Accepted, o.Verdict, "part %d: %+v", i+1, o)
		}
		var all strings.Builder
		list := l.submits()
		require.Len(l.t, list, 255)
		for i, e := range list {
			require.True(l.t, e.Accepted)
			require.True(l.t, strings.HasSuffix(e.UDH, fmt.Sprintf("FF%02X", i+1)), "part %d: %s", i+1, e.UDH)
			all.WriteString(e.Text)
		}
		require.Equal(l.t, text, all.String())
	})
}

func duplicateMT(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultDuplicateInbound})
		l.inbound("dos veces")
		l.until("both", time.Minute, func() bool { return l.times("dos veces") == 2 })
		got := l.box.kind(pdu.KindDeliver)
		require.Equal(l.t, got[0].PDU.Raw, got[1].PDU.Raw, "alike to the octet: whoever keeps them can tell")
		require.True(l.t, got[0].PDU.SCTS.Equal(got[1].PDU.SCTS))
		l.empty(time.Minute)
		l.pass(10 * time.Minute)
		require.Equal(l.t, 2, l.times("dos veces"), "not read again")
		l.goesOn()
	})
}

func attPadding(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		// Two segments whose padding bit after the header is 1, as AT&T sent them.
		tpdus, err := pdu.DeliverTPDU("+34600111222", strings.Repeat("relleno ", 25), time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), pdu.Options{Ref: 5})
		require.NoError(l.t, err)
		require.Len(l.t, tpdus, 2)
		for _, p := range tpdus {
			head := 1 + 1 + 1 + (int(p[1])+1)/2 + 2 + 7 + 1 // up to the user data
			udhl := int(p[head])
			p[head+1+udhl] |= 1 // the padding septet's one bit
			l.em.Say(fmt.Sprintf("+CMT: ,%d", len(p)), fmt.Sprintf("00%X", p))
		}
		l.until("both", 10*time.Second, func() bool { return len(l.box.kind(pdu.KindDeliver)) == 2 })
		var all string
		for _, r := range l.box.kind(pdu.KindDeliver) {
			all += r.PDU.Text
		}
		require.Equal(l.t, strings.Repeat("relleno ", 25), all)
		l.goesOn()
	})
}
