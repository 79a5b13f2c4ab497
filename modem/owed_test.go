package modem

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/modem/pdu"
)

// TestReportEndsTheWait: the service centre has reported on a message whose
// answer was lost. The line does not listen for three minutes then, and knows
// what became of it.
func TestReportEndsTheWait(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		first, _ := l.send("+34600111222", "primera")
		require.Equal(l.t, Accepted, first.Verdict)
		l.pass(5 * time.Second)
		l.em.Inject(emulator.Fault{Kind: emulator.FaultNeverCMGS})
		start := time.Now()
		o, _ := l.send("+34600111222", "perdida")
		require.Equal(l.t, Ambiguous, o.Verdict)
		late, ok := <-o.Late
		require.True(l.t, ok)
		require.Equal(l.t, Accepted, late.Verdict, "the report has the SIM's next reference")
		require.Equal(l.t, first.MR+1, late.MR)
		require.Less(l.t, time.Since(start), 20*time.Second)
		l.state(StateReady, 30*time.Second)
		require.Zero(l.t, l.m.Snapshot().AmbiguousRecent)
		require.Len(l.t, l.box.kind(pdu.KindStatusReport), 2)
		o, _ = l.send("+34600111222", "otra")
		require.Equal(l.t, Accepted, o.Verdict)
		require.Equal(l.t, 1, l.accepted("perdida"))
	})
}

// TestReportBeforeTheAnswer ends nothing: the answer follows.
func TestReportBeforeTheAnswer(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		for range 3 {
			l.em.Inject(emulator.Fault{Kind: emulator.FaultCDSFirst})
			o, _ := l.send("+34600111222", "hola")
			require.Equal(l.t, Accepted, o.Verdict, "%+v", o)
		}
		l.pass(time.Minute)
		require.Equal(l.t, StateReady, l.m.Snapshot().State)
		require.Zero(l.t, l.m.Snapshot().AmbiguousRecent)
	})
}

// TestReportOfAnotherMessage ends no wait: not one for another recipient, nor one
// of a message to the same recipient that was accepted before.
func TestReportOfAnotherMessage(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		first, _ := l.send("+34600111222", "primera")
		require.Equal(l.t, Accepted, first.Verdict)
		l.until("its report", 10*time.Second, func() bool { return len(l.box.kind(pdu.KindStatusReport)) == 1 })
		again := l.box.kind(pdu.KindStatusReport)[0].PDU.Raw
		other, _ := l.send("+34600999888", "segunda")
		require.Equal(l.t, Accepted, other.Verdict)
		l.until("its report", 10*time.Second, func() bool { return len(l.box.kind(pdu.KindStatusReport)) == 2 })
		foreign := l.box.kind(pdu.KindStatusReport)[1].PDU.Raw
		l.em.Inject(emulator.Fault{Kind: emulator.FaultNeverCMGS})
		l.em.Inject(emulator.Fault{Kind: emulator.FaultLostTrailer})
		start := time.Now()
		time.AfterFunc(20*time.Second, func() {
			l.em.Say("+CDS: 25", fmt.Sprintf("%X", again))
			l.em.Say("+CDS: 25", fmt.Sprintf("%X", foreign))
		})
		o, _ := l.send("+34600111222", "perdida")
		require.Equal(l.t, Ambiguous, o.Verdict)
		_, ok := <-o.Late
		require.False(l.t, ok)
		require.InDelta(l.t, 180, time.Since(start).Seconds(), 2)
	})
}

func TestProof(t *testing.T) {
	gate := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	report := func(mr uint8, ra string, scts time.Time) pdu.Received {
		return pdu.Received{Kind: pdu.KindStatusReport, MR: mr, Address: ra, SCTS: scts}
	}
	soon, long := gate.Add(3*time.Second), gate.Add(-time.Hour)
	for _, c := range []struct {
		name     string
		refs     references
		rep      pdu.Received
		next, ok bool
	}{
		{"the next reference", references{list: []uint8{4, 5}}, report(6, "+34600111222", soon), true, true},
		{"after the wrap", references{list: []uint8{254, 255}}, report(0, "+34600111222", soon), true, true},
		{"national writing", references{list: []uint8{5}}, report(6, "600111222", soon), true, true},
		{"the counter began anew", references{list: []uint8{5}}, report(0, "+34600111222", soon), false, true},
		{"nothing was sent before", references{}, report(9, "+34600111222", soon), false, true},
		{"a message before it got no reference", references{list: []uint8{5}, broken: true}, report(6, "+34600111222", soon), false, true},
		{"one to the same recipient", references{list: []uint8{5}, broken: true, nameless: about("600111222")}, report(6, "+34600111222", soon), false, false},
		{"one to the same recipient, longer ago", references{list: []uint8{5}, nameless: about("600111222")}, report(6, "+34600111222", soon), true, true},
		{"one to the same recipient, another reference", references{list: []uint8{5}, nameless: about("600111222")}, report(7, "+34600111222", soon), false, false},
		{"one to nobody knows whom", references{list: []uint8{5}, nameless: about("")}, report(7, "+34600111222", soon), false, false},
		{"one to another", references{list: []uint8{5}, nameless: about("600111223")}, report(7, "+34600111222", soon), false, true},
		{"without a time", references{list: []uint8{5}}, report(6, "+34600111222", time.Time{}), false, false},
		{"an old report", references{list: []uint8{5}}, report(6, "+34600111222", long), false, false},
		{"of an accepted message", references{list: []uint8{4, 5}}, report(4, "+34600111222", soon), false, false},
		{"of another recipient", references{list: []uint8{5}}, report(6, "+34600111223", soon), false, false},
		{"no recipient", references{list: []uint8{5}}, report(6, "", soon), false, false},
		{"no report", references{list: []uint8{5}}, pdu.Received{Kind: pdu.KindDeliver, MR: 6, Address: "+34600111222", SCTS: soon}, false, false},
	} {
		next, ok := c.refs.proves(c.rep, &openSend{to: "34600111222", gateAt: gate})
		require.Equal(t, c.next, next, c.name)
		require.Equal(t, c.ok, ok, c.name)
	}
}

func about(to string) []nameless { return []nameless{{to, time.Now()}} }

// TestReportOfALostMessageIsNotTheNextOnes: two messages to one recipient, the
// answer to each lost. What the service centre says of the first is no word on
// the second, which it never got.
func TestReportOfALostMessageIsNotTheNextOnes(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		first, _ := l.send("+34600111222", "primera")
		require.Equal(l.t, Accepted, first.Verdict)
		l.pass(30 * time.Second)
		l.em.Inject(emulator.Fault{Kind: emulator.FaultCMSSent, Code: 500})
		one, _ := l.send("+34600111222", "uno")
		require.Equal(l.t, Ambiguous, one.Verdict)
		l.em.Inject(emulator.Fault{Kind: emulator.FaultLostSubmit})
		start := time.Now()
		two, _ := l.send("+34600111222", "dos")
		require.Equal(l.t, Ambiguous, two.Verdict)
		_, ok := <-two.Late
		require.False(l.t, ok, "nothing is known of it")
		require.InDelta(l.t, 180, time.Since(start).Seconds(), 2)
		require.Equal(l.t, 1, l.accepted("uno"))
		require.Zero(l.t, l.accepted("dos"))
		// The next that is accepted says where the references are.
		l.state(StateReady, 30*time.Second)
		three, _ := l.send("+34600111222", "tres")
		require.Equal(l.t, Accepted, three.Verdict)
		l.em.Inject(emulator.Fault{Kind: emulator.FaultNeverCMGS})
		four, _ := l.send("+34600111222", "cuatro")
		late, ok := <-four.Late
		require.True(l.t, ok)
		require.Equal(l.t, (three.MR+1)%256, late.MR)
	})
}

func TestDestination(t *testing.T) {
	for _, to := range []string{"+34600111222", "600111222", "1234", "+1", "+8613800138000"} {
		segs, err := pdu.Encode(to, "x", pdu.Options{Report: true})
		if err != nil {
			continue
		}
		require.Equal(t, digits(to), destination(segs[0].TPDU), to)
		for i := range segs[0].TPDU {
			destination(segs[0].TPDU[:i]) // a cut one must not panic
		}
	}
	require.Empty(t, destination([]byte{0x11, 0, 12, 0x91, 0x43}), "cut short")
	require.Empty(t, destination([]byte{0x11, 0, 4, 0xd0, 1, 2, 3}), "alphanumeric")
	require.Empty(t, destination([]byte{0x00, 0, 2, 0x91, 0x43}), "no SUBMIT")
}
