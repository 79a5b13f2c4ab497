package queue

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestReportsOfBeforeTheSIMWasKnown: after a restart a report may come before
// the modem has been asked for its SIM, and before the late answer to the
// message that it is of.
func TestReportsOfBeforeTheSIMWasKnown(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	l, unknown := line(1), Line{ICCID: "port-/dev/pts/7", Modem: "/dev/pts/7"}
	m := b.submit(Request{Class: OTP})
	_, a := b.gated(l)
	b.restart()
	b.clock.forward(time.Second)
	b.report(unknown, m.To, 7, stDelivered, b.clock.Now())
	require.Equal(t, Uncertain, b.get(m.ID).State)
	b.clock.forward(30 * time.Second)
	b.outcome(a, accepted(7))
	require.Equal(t, Sent, b.get(m.ID).State)
	require.NoError(t, b.AdoptReports(ctx, unknown.ICCID, l.ICCID))
	require.Equal(t, Delivered, b.get(m.ID).State)
	// Read from the SIM once more it is the same one.
	b.report(l, "+34600999888", 9, stDelivered, b.clock.Now())
	require.NoError(t, b.AdoptReports(ctx, unknown.ICCID, l.ICCID))
	var n int
	require.NoError(t, b.db.Read().QueryRow(`SELECT count(*) FROM report WHERE iccid = ?`, l.ICCID).Scan(&n))
	require.Equal(t, 2, n)
	require.NoError(t, b.db.Read().QueryRow(`SELECT count(*) FROM report WHERE iccid = ?`, unknown.ICCID).Scan(&n))
	require.Zero(t, n)
}
