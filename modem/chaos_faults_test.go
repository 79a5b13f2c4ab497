package modem

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
)

// walk is one random walk over every fault that has a name.
type walk struct {
	*lifeOf
	r      *rand.Rand
	log    []string        // the faults so far
	must   map[string]bool // texts that have to come in
	may    map[string]bool // texts that are on a SIM that was taken away
	blind  bool            // what comes in before the memory is chosen cannot be read
	slow   time.Duration   // how much longer a boot may take
	owedTo time.Time       // until when the answer of a submission may be owed
}

// asked are commands that faults of a command are given to; "" is all.
var asked = []string{"", "", "", "+CSQ", "+CREG", "+CPIN", "+CMGL", "+CMGR", "+CMGD", "+CPMS", "+CNMI", "+CMGF", "+CIMI", "+CGSN", "E0", "+COPS"}

// pick makes a fault of any kind with parameters of any kind that it may have.
func (w *walk) pick() emulator.Fault {
	kinds := emulator.Faults()
	phases := []emulator.Phase{"", emulator.PhaseCommand, emulator.PhasePrompt, emulator.PhasePDU, emulator.PhaseAccepted}
	f := emulator.Fault{
		Kind: kinds[w.r.IntN(len(kinds))], Count: 1 + w.r.IntN(4), Skip: w.r.IntN(3),
		Delay: time.Duration(1+w.r.IntN(30)) * time.Second, Phase: phases[w.r.IntN(len(phases))],
	}
	on := asked[w.r.IntN(len(asked))]
	switch f.Kind {
	case emulator.FaultMute, emulator.FaultSlow, emulator.FaultLostResult, emulator.FaultSpeechless, emulator.FaultGarbage,
		emulator.FaultPartial, emulator.FaultURC, emulator.FaultDoubledLines, emulator.FaultCROnly, emulator.FaultLFOnly,
		emulator.FaultEchoBack, emulator.FaultLongLine, emulator.FaultStuckReader:
		if f.On = on; f.Kind == emulator.FaultPartial { // Delay is between two octets
			f.Delay = time.Duration(w.r.IntN(50)) * time.Millisecond
		}
	case emulator.FaultError:
		f.On, f.Code = on, []int{0, 3, 4, 14, 30, 100, 302, 314, 321, 500}[w.r.IntN(10)]
	case emulator.FaultLostOctets, emulator.FaultNUL, emulator.FaultBaud, emulator.FaultOKFirst, emulator.FaultGlued,
		emulator.FaultOtherAnswer, emulator.FaultAnswer:
		if f.On = on; on == "" {
			f.On = "+CMGS"
		}
		if f.Kind == emulator.FaultAnswer {
			f.Text = []string{"", "\r\nOK\r\n", "\r\nNA\r\n", "+CSQ: 3,3", "\r\n+CREG: 9\r\nOK\r\n"}[w.r.IntN(5)]
		}
	case emulator.FaultStorageLies:
		f.Code = w.r.IntN(40)
	case emulator.FaultCMTIWrong:
		f.Text, f.Code = []string{"ME", "SM", "SR", "XX"}[w.r.IntN(4)], w.r.IntN(40)
	case emulator.FaultNoSMS:
		f.Delay = time.Duration(w.r.IntN(140)) * time.Second
	case emulator.FaultOtherProgram:
		// What nothing tells from the answer to a modem's first submission (OK
		// alone) cannot agree with the ledger.
		f.Count, f.Delay = 20, 700*time.Millisecond
		f.Text = []string{"\r\n+CREG: 2,0\r\n", "\r\nERROR\r\n", "\r\n+CSQ: 31,99\r\n", "\r\n+CSQ: 31,99\r\n\r\nOK\r\n", "\r\n+CME ERROR: 50\r\n"}[w.r.IntN(5)]
	case emulator.FaultForgets:
		f.Code = w.r.IntN(2)
	}
	return f
}

func (w *walk) say(format string, args ...any) {
	w.log = append(w.log, time.Now().Format("15:04:05 ")+fmt.Sprintf(format, args...))
}

// fail tells the whole walk.
func (w *walk) fail(what string, args ...any) {
	w.t.Helper()
	for _, line := range w.log {
		w.t.Log(line)
	}
	for _, e := range w.net.Ledger() {
		if e.Type == emulator.EntryDeliver {
			w.t.Log("delivered", e.Time.Format("15:04:05"), e.Text)
		}
	}
	for _, r := range w.box.received() {
		if r.PDU.Err != nil {
			w.t.Logf("undecodable %X: %v", r.PDU.Raw, r.PDU.Err)
		}
	}
	w.t.Log("missing", w.missing(), "in the memories", w.em.Stored())
	s := w.m.Snapshot()
	trace := w.m.Trace()
	for _, e := range trace[max(0, len(trace)-60):] {
		line := e.Line
		w.t.Log(e.At.Format("15:04:05.000"), map[bool]string{true: ">", false: "<"}[e.Out], line[:min(len(line), 100)])
	}
	for _, e := range w.m.History() {
		w.t.Log("history", e.At.Format("15:04:05"), e.Kind, e.Step, e.Text)
	}
	require.FailNow(w.t, fmt.Sprintf(what, args...), "state %s, reason %q, last error %q", s.State, s.Reason, s.LastError)
}

func (w *walk) eventually(what string, within time.Duration, cond func() bool) time.Duration {
	w.t.Helper()
	start := time.Now()
	for !cond() {
		if time.Since(start) > within {
			w.fail("%s: not within %s", what, within)
		}
		w.pass(100 * time.Millisecond)
	}
	return time.Since(start)
}

// excuse: what has been sent to the modem may get lost.
func (w *walk) excuse() {
	for text := range w.must {
		w.may[text] = true
	}
	clear(w.must)
}

// missing are texts that have to come in and have not.
func (w *walk) missing() (list []string) {
	for text := range w.must {
		if w.times(text) == 0 {
			list = append(list, text)
		}
	}
	return list
}

// step is a fault or two, a message out, perhaps one in.
func (w *walk) step(i int) {
	for range 1 + w.r.IntN(2) {
		f := w.pick()
		w.say("%+v", f)
		switch f.Kind {
		case emulator.FaultSIMSwap: // what is on its way to the old SIM goes with it
			w.excuse()
			w.em.Inject(f)
			continue
		case emulator.FaultSlowBoot:
			w.slow = max(w.slow, f.Delay)
		case emulator.FaultLostResult, emulator.FaultMute, emulator.FaultSpeechless, emulator.FaultSlow:
			if f.On == "" || f.On == "+CMGL" { // a list may take a minute
				if until := time.Now().Add(65 * time.Second); until.After(w.owedTo) {
					w.owedTo = until
				}
			}
		}
		time.AfterFunc(time.Duration(w.r.IntN(3000))*time.Millisecond, func() { w.em.Inject(f) })
	}
	w.pass(time.Duration(w.r.IntN(2500)) * time.Millisecond)
	if id := w.em.ICCID(); !w.blind && w.r.IntN(3) == 0 && id != "" {
		text := fmt.Sprint("entra ", i)
		w.must[text] = true
		require.NoError(w.t, w.net.Inbound(id, "+34600111222", text))
	}
	text := fmt.Sprint("sale ", i)
	began := time.Now()
	o, gates := w.send("+34600111222", text)
	if gates > 1 {
		w.fail("the gate was asked %d times", gates)
	}
	if gates == 1 {
		w.owedTo = began.Add(190 * time.Second)
	}
	if o.Late != nil && w.r.IntN(2) == 0 {
		if better, ok := <-o.Late; ok {
			o = better
		}
	}
	w.pass(time.Duration(w.r.IntN(5)) * time.Second)
	w.say("%s: %d %s", text, o.Verdict, o.Code)
	n, mr := 0, -1
	for _, e := range w.submits() {
		if e.Accepted && e.Text == text {
			n, mr = n+1, e.MR
		}
	}
	wrong := o.Verdict == Accepted && (n != 1 || o.MR >= 0 && mr != o.MR) || (o.Verdict == NotSent || o.Verdict == Rejected) && n != 0 || n > 1
	if wrong {
		w.fail("%s: %+v, and the network has %d (MR %d)", text, o, n, mr)
	}
}

// mend ends every cause; the line has to be back soon.
func (w *walk) mend() time.Duration {
	w.pass(3 * time.Second) // what was still to be injected
	w.em.ClearFaults()
	w.em.Replug()
	owed := max(0, time.Until(w.owedTo)) + w.slow
	w.slow = 0
	w.say("all faults end")
	return w.eventually("ready again", owed+backWithin, func() bool { return w.m.Snapshot().State == StateReady })
}

// backWithin is how long after its cause's end a line may be away, beside what
// is owed.
const backWithin = 30 * time.Second

// TestChaosOfEveryFault walks over all faults by name. RECADO_CHAOS_SEEDS=FROM-TO
// walks other seeds.
func TestChaosOfEveryFault(t *testing.T) {
	from, to := 0, 60
	if a, b, ok := strings.Cut(os.Getenv("RECADO_CHAOS_SEEDS"), "-"); ok {
		from, _ = strconv.Atoi(a)
		to, _ = strconv.Atoi(b)
	}
	families := emulator.Families()
	for seed := from; seed < to; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			live(t, emulator.ModemOptions{Family: families[seed%len(families)]}, nil, func(l *lifeOf) {
				w := &walk{lifeOf: l, r: rand.New(rand.NewPCG(uint64(seed), 3)), must: map[string]bool{}, may: map[string]bool{}}
				w.blind = families[seed%len(families)] == "quectel-ec200a"
				w.say("family %s", families[seed%len(families)])
				l.state(StateReady, time.Minute)
				for i := range 15 {
					w.step(i)
					if w.r.IntN(4) == 0 {
						w.mend()
					}
				}
				w.mend()
				w.eventually("a message goes out", 5*time.Minute, func() bool {
					o, _ := w.send("+34600111222", "al fin")
					return o.Verdict == Accepted
				})
				w.eventually("everything that came in", 15*time.Minute, func() bool {
					return len(w.missing()) == 0
				})
				for _, text := range l.box.texts() {
					if !w.must[text] && !w.may[text] {
						w.fail("what is %q", text)
					}
				}
				w.eventually("an empty memory", 15*time.Minute, func() bool { return l.em.Stored() == 0 })
			})
		})
	}
}
