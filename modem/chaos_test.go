package modem

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
)

// TestChaos: whatever happens to the modem, what Send says agrees with what the
// network has, and the line comes back by itself when the cause has ended.
func TestChaos(t *testing.T) {
	kinds := []emulator.FaultKind{
		emulator.FaultURC, emulator.FaultGarbage, emulator.FaultPartial, emulator.FaultMute, emulator.FaultSlow,
		emulator.FaultLateCMGS, emulator.FaultNeverCMGS, emulator.FaultLostSubmit, emulator.FaultCMSSent,
		emulator.FaultCMSRefused, emulator.FaultErrorAfterPDU, emulator.FaultCMSBeforePrompt, emulator.FaultNoPrompt,
		emulator.FaultLatePrompt, emulator.FaultDoublePrompt, emulator.FaultPromptCR, emulator.FaultUnplug,
		emulator.FaultReboot, emulator.FaultLostResult, emulator.FaultCDSFirst, emulator.FaultDeleteFails,
		emulator.FaultCMTIMinus, emulator.FaultSIMBusy, emulator.FaultEchoStuck, emulator.FaultRegistrationLost,
	}
	phases := []emulator.Phase{emulator.PhaseCommand, emulator.PhasePrompt, emulator.PhasePDU, emulator.PhaseAccepted}
	families := emulator.Families()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			live(t, emulator.ModemOptions{Family: families[seed%uint64(len(families))]}, nil, func(l *lifeOf) {
				r := rand.New(rand.NewPCG(seed, 1))
				l.ready()
				in := map[string]bool{}
				for i := range 40 {
					f := emulator.Fault{
						Kind: kinds[r.IntN(len(kinds))], Count: 1 + r.IntN(4), Skip: r.IntN(3),
						Delay: time.Duration(1+r.IntN(30)) * time.Second, Phase: phases[r.IntN(len(phases))],
					}
					l.em.Inject(f)
					if r.IntN(3) == 0 {
						text := fmt.Sprint("entra ", i)
						in[text] = true
						require.NoError(l.t, l.net.Inbound(l.em.ICCID(), "+34600111222", text))
					}
					text := fmt.Sprint("sale ", i)
					o, gates := l.send("+34600111222", text)
					require.LessOrEqual(l.t, gates, 1)
					if o.Late != nil {
						if late, ok := <-o.Late; ok {
							o = late
						}
					}
					l.pass(time.Duration(r.IntN(5)) * time.Second)
					switch n := l.accepted(text); o.Verdict {
					case Accepted:
						require.Equal(l.t, 1, n, "%v: %+v", f, o)
					case NotSent, Rejected:
						require.Zero(l.t, n, "%v: %+v", f, o)
					default:
						require.LessOrEqual(l.t, n, 1, "%v: %+v", f, o)
					}
					if r.IntN(4) == 0 {
						l.em.ClearFaults()
						l.em.Replug()
						l.state(StateReady, time.Minute)
					}
				}
				l.em.ClearFaults()
				l.em.Replug()
				l.state(StateReady, time.Minute)
				o, _ := l.send("+34600111222", "al fin")
				require.Equal(l.t, Accepted, o.Verdict, "%+v", o)
				l.until("everything that came in", 10*time.Minute, func() bool {
					got := map[string]bool{}
					for _, text := range l.box.texts() {
						got[text] = true
					}
					return maps.Equal(in, got)
				})
				l.empty(7 * time.Minute)
			})
		})
	}
}
