package queue

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkMessage is what a message under load costs the queue: the outcome of the
// one before with its gate in one transaction, and its status report. cpu-ms is the
// whole process's.
func BenchmarkMessage(b *testing.B) {
	box := newBox(b)
	fill(b, box, b.N+10)
	box.raw(`UPDATE message SET sim = '', recipient = '+34600' || substr(1000000 + seq * 7919 % 1000000, 2)`)
	box.raw(`UPDATE message SET crc = crc32c(seq, id, recipient, class, text)`)
	l := line(1)
	require.NoError(b, box.SawSIM(context.Background(), SIMRow{ICCID: l.ICCID, Emulated: true}))
	c := box.claimed(l)
	a, err := box.Gate(context.Background(), c.Line, c.Message.Seq, c.Next+1)
	require.NoError(b, err)
	before := cpu(b)
	b.ResetTimer()
	for i := range b.N {
		to := c.Message.To
		c, err = box.OutcomeThen(context.Background(), a, Outcome{Verdict: Accepted, MR: i % 256, At: box.clock.Now()}, l, nil)
		require.NoError(b, err)
		box.clock.forward(time.Second)
		require.NoError(b, box.Report(context.Background(), box.reportIn(l, to, i%256, stDelivered, box.clock.Now())))
		box.clock.forward(time.Second)
		require.NotZero(b, c.Attempt)
		a = c.Attempt
	}
	b.StopTimer()
	b.ReportMetric((cpu(b)-before).Seconds()*1000/float64(b.N), "cpu-ms/msg")
}
