package queue

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/pdu"
)

// TestEveryStatusOctet: what a message becomes by each TP-ST, whichever its
// class, and what its timeline says. One that the service centre gave up is not
// sent again: it had been handed over, and whoever sent it is told.
func TestEveryStatusOctet(t *testing.T) {
	b := newBox(t)
	l := line(1)
	for st := range 256 {
		class := []Class{OTP, Alert, Normal, Bulk}[st%4]
		m := b.submit(Request{Class: class, To: []string{fmt.Sprintf("+346%08d", 11000000+st)}})
		_, a := b.gated(l)
		b.outcome(a, accepted(st))
		b.clock.forward(3 * time.Second)
		b.report(l, m.To, st, uint8(st), b.clock.Now().Add(-3*time.Second))
		got := b.get(m.ID)
		want := Sent
		switch {
		case st <= 0x1F:
			want = Delivered
		case st >= 0x40 && st <= 0x7F:
			want = Undelivered
		}
		require.Equal(t, want, got.State, "%#x", st)
		require.Equal(t, st, got.Segments[0].ReportStatus)
		if want == Undelivered {
			require.Equal(t, &Error{Code: fmt.Sprintf("report_%02x", st), Class: "network", Detail: pdu.StatusText(uint8(st))}, got.Error)
		} else {
			require.Nil(t, got.Error)
		}
		require.Nil(t, b.claimed(l), "%#x", st)
		lines, err := b.Timeline(t.Context(), m.ID)
		require.NoError(t, err)
		last := lines[len(lines)-1]
		require.Equal(t, TimelineReport, last.Event)
		require.Equal(t, pdu.StatusText(uint8(st)), last.Detail)
		if want == Sent { // not the end: a later one decides
			b.clock.forward(time.Minute)
			b.report(l, m.To, st, 0, b.clock.Now().Add(-time.Minute-3*time.Second))
			require.Equal(t, Delivered, b.get(m.ID).State, "%#x", st)
		}
	}
}
