package modem

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
)

// lateRunsEnv says how many runs TestNoAnswerIsAnothersOwn makes: 500 else.
const lateRunsEnv = "RECADO_LATE_RUNS"

// muddle is one run: a few submissions to a modem whose answers come late, twice,
// in the next submission, or never (reliability F2, R4).
type muddle struct {
	*lifeOf
	r     *rand.Rand
	log   []string
	sends []*sent
}

// sent is a submission with what became of it, as it was told.
type sent struct {
	text  string
	tpdu  []byte
	gates int
	out   Outcome
}

func (k *muddle) say(format string, args ...any) {
	k.log = append(k.log, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// inject puts trouble in the way of the next submission.
func (k *muddle) inject() {
	f := emulator.Fault{}
	secs := func(n int) time.Duration { return time.Duration(k.r.IntN(n*1000)) * time.Millisecond }
	switch k.r.IntN(14) {
	case 0: // late, most of them in time
		f.Kind, f.Delay = emulator.FaultLateCMGS, secs(175)
	case 1: // about when the wait ends
		f.Kind, f.Delay = emulator.FaultLateCMGS, 176*time.Second+secs(14)
	case 2: // in one of the next submissions
		f.Kind, f.Delay = emulator.FaultLateCMGS, 180*time.Second+secs(300)
	case 3:
		f.Kind = emulator.FaultNeverCMGS
	case 4:
		f.Kind = emulator.FaultLostSubmit
	case 5:
		f.Kind = emulator.FaultDoublePrompt
	case 6: // the prompt crosses the ESC of who gave it up
		f.Kind, f.Delay = emulator.FaultLatePrompt, 5*time.Second+secs(15)
	case 7:
		f.Kind = emulator.FaultNoPrompt
	case 8:
		f.Kind, f.Code = emulator.FaultCMSRefused, []int{38, 47, 1, 21}[k.r.IntN(4)]
	case 9:
		f.Kind, f.Code = emulator.FaultCMSSent, []int{332, 500}[k.r.IntN(2)]
	case 10:
		f.Kind = emulator.FaultErrorAfterPDU
	case 11:
		f.Kind = emulator.FaultCDSFirst
	case 12:
		f.Kind, f.On, f.Delay = emulator.FaultSlow, []string{"+CSQ", "+CREG", "+CMGL", ""}[k.r.IntN(4)], secs(40)
	case 13:
		f.Kind, f.Phase = emulator.FaultReboot, []emulator.Phase{emulator.PhasePrompt, emulator.PhasePDU, emulator.PhaseAccepted}[k.r.IntN(3)]
	}
	k.say("%s %s %s %d", f.Kind, f.On+string(f.Phase), f.Delay, f.Code)
	k.em.Inject(f)
	if k.r.IntN(2) == 0 {
		k.em.Inject(emulator.Fault{Kind: emulator.FaultLostTrailer}) // its report would end the wait
	}
}

// noise is a line that belongs to nothing, at some moment of the submission.
func (k *muddle) noise() {
	var lines []string
	after := time.Duration(k.r.IntN(4000)) * time.Millisecond
	if k.r.IntN(4) == 0 {
		after = time.Duration(k.r.IntN(200)) * time.Second
	}
	switch k.r.IntN(3) {
	case 0:
		lines = []string{"ERROR"}
	case 1:
		lines = []string{"+CMTI: \"SM\",9"}
	case 2: // one of its answers once more, the last or an older one
		back := k.r.IntN(3)
		k.say("a repetition in %s", after)
		time.AfterFunc(after, func() {
			if line := k.answer(back); line != "" {
				k.em.Say(line, "")
				k.em.Say("OK", "")
			}
		})
		return
	}
	k.say("%q in %s", lines, after)
	time.AfterFunc(after, func() {
		for _, line := range lines {
			k.em.Say(line, "")
		}
	})
}

// answer is what the modem said as its last +CMGS, or that many before, in the
// minutes in which it may say it again. One that has restarted knows of none. One
// that has given no two different ones says nothing again: twice in a row, with the
// answers in between lost, nobody could tell it from one whose references are all
// the same (at.TestReference_Constant).
func (k *muddle) answer(back int) string {
	trace := k.m.Trace()
	first, line := "", ""
	varied, recent := false, true
	for i := len(trace) - 1; i >= 0; i-- {
		switch e := trace[i]; {
		case e.Out && strings.HasPrefix(e.Line, "ATE0"), time.Since(e.At) > 9*time.Minute: // set up anew
			recent = false
		case !e.Out && strings.HasPrefix(e.Line, "+CMGS"):
			if first == "" {
				first = e.Line
			}
			varied = varied || e.Line != first
			if back--; back == -1 && recent {
				line = e.Line
			}
		}
	}
	if !varied {
		return ""
	}
	return line
}

var errMoved = errors.New("cancelled in the meantime")

// submit sends until the line takes it, or for a while.
func (k *muddle) submit(i int) {
	s := &sent{text: fmt.Sprintf("mensaje %d", i)}
	s.tpdu = k.tpdu(fmt.Sprintf("+3460011122%d", k.r.IntN(3)), s.text)
	k.sends = append(k.sends, s)
	refuse, brief := k.r.IntN(12) == 0, k.r.IntN(12) == 0
	for begun := time.Now(); time.Since(begun) < 20*time.Minute; k.pass(time.Second) {
		ctx, cancel := context.WithCancel(k.t.Context())
		if brief {
			cancel()
			ctx, cancel = context.WithTimeout(k.t.Context(), time.Duration(k.r.IntN(30_000))*time.Millisecond)
		}
		s.out = k.m.Send(ctx, s.tpdu, func() error {
			s.gates++
			if refuse {
				return errMoved
			}
			return nil
		})
		cancel()
		if s.gates > 0 || s.out.Verdict != NotSent {
			break
		}
	}
	k.say("%s: verdict %d %s, MR %d", s.text, s.out.Verdict, s.out.Code, s.out.MR)
}

// judge compares what was told with the network's ledger; it gives what is
// wrong.
func (k *muddle) judge() string {
	for _, s := range k.sends {
		if s.out.Late != nil {
			if late, ok := <-s.out.Late; ok {
				k.say("%s: late verdict %d %s, MR %d", s.text, late.Verdict, late.Code, late.MR)
				s.out = late
			}
		}
		n, mr := 0, -1
		for _, e := range k.submits() {
			if e.Text != s.text || !e.Accepted {
				continue
			}
			if n, mr = n+1, e.MR; !sameTPDU(e.PDU, s.tpdu) {
				return fmt.Sprintf("%s: the network has other octets: %s, not %X", s.text, e.PDU, s.tpdu)
			}
		}
		switch v := s.out.Verdict; {
		case n > 1, s.gates > 1, n > 0 && s.gates == 0:
			return fmt.Sprintf("%s: %d times in the network, %d times through the gate", s.text, n, s.gates)
		case v == Accepted && n == 0:
			return s.text + " is told as accepted, and the network does not have it"
		case v == Accepted && s.out.MR >= 0 && s.out.MR != mr:
			return fmt.Sprintf("%s has the reference %d, and was told %d: another's", s.text, mr, s.out.MR)
		case (v == NotSent || v == Rejected) && n > 0:
			return fmt.Sprintf("%s is told as not accepted (%s), and the network has it", s.text, s.out.Code)
		}
	}
	return ""
}

// sameTPDU compares but for TP-MR, which the modem sets.
func sameTPDU(hexed string, tpdu []byte) bool {
	b, err := hex.DecodeString(hexed)
	if err != nil || len(b) != len(tpdu) || len(b) < 2 {
		return false
	}
	b[1] = tpdu[1]
	return string(b) == string(tpdu)
}

func (k *muddle) run() {
	k.state(StateReady, time.Minute)
	for i := range 4 + k.r.IntN(3) {
		if i > 0 || k.r.IntN(2) == 0 {
			k.inject()
		}
		if k.r.IntN(3) == 0 {
			k.noise()
		}
		k.submit(i)
		if k.r.IntN(3) == 0 {
			k.pass(time.Duration(k.r.IntN(20_000)) * time.Millisecond)
		}
	}
	k.pass(10 * time.Minute) // what is late has come
	if wrong := k.judge(); wrong != "" {
		trace := k.m.Trace()
		for _, e := range trace[max(0, len(trace)-200):] {
			k.t.Log(e.At.Format("15:04:05.000"), map[bool]string{true: ">", false: "<"}[e.Out], e.Line[:min(len(e.Line), 100)])
		}
		for _, e := range k.m.History() {
			k.t.Log("history", e.At.Format("15:04:05"), e.Kind, e.Step, e.Text)
		}
		k.t.Log(strings.Join(k.log, "\n"))
		require.FailNow(k.t, wrong)
	}
}

// TestNoAnswerIsAnothersOwn: whatever the modem says when, no message is told as
// sent that the network does not have, none as not sent that it has, and none
// under another's reference.
func TestNoAnswerIsAnothersOwn(t *testing.T) {
	runs, first := 500, 0
	if text := os.Getenv(lateRunsEnv); text != "" {
		from, to, ranged := strings.Cut(text, "-")
		n, err := strconv.Atoi(from)
		require.NoError(t, err)
		if runs = n; ranged {
			m, err := strconv.Atoi(to)
			require.NoError(t, err)
			first, runs = n, m-n
		}
	}
	families := emulator.Families()
	var mu sync.Mutex
	told, messages := map[Verdict]int{}, 0
	t.Run("runs", func(t *testing.T) {
		for worker := range 2 {
			t.Run(fmt.Sprint(worker), func(t *testing.T) {
				t.Parallel()
				for seed := first + worker; seed < first+runs; seed += 2 {
					family := families[seed%len(families)]
					live(t, emulator.ModemOptions{Family: family}, nil, func(l *lifeOf) {
						k := &muddle{lifeOf: l, r: rand.New(rand.NewPCG(uint64(seed), 4))}
						k.say("seed %d, family %s", seed, family)
						k.run()
						mu.Lock()
						defer mu.Unlock()
						for _, s := range k.sends {
							told[s.out.Verdict]++
							messages++
						}
					})
				}
			})
		}
	})
	t.Logf("%d runs, %d messages: %d accepted, %d refused, %d not sent, %d uncertain", runs, messages,
		told[Accepted], told[Rejected], told[NotSent], told[Ambiguous])
	if !t.Failed() && runs >= 100 {
		for _, v := range []Verdict{NotSent, Accepted, Rejected, Ambiguous} {
			require.Greater(t, told[v], messages/100, "verdict %d is hardly ever told: this proves nothing", v)
		}
	}
}
