package inbox

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/pdu"
)

// stamped is a received text with the TP-SCTS that the centre gave it.
func (b *box) stamped(text string, scts time.Time) []byte {
	b.t.Helper()
	tpdus, err := pdu.DeliverTPDU(ana, text, scts, pdu.Options{})
	require.NoError(b.t, err)
	raw, err := pdu.WithSMSC("+34600000000", tpdus[0])
	require.NoError(b.t, err)
	return raw
}

func TestTheSameTPDUIsTheSameMessageOnlyAsLongAsItsStampTells(t *testing.T) {
	now := newBox(t).clock.Now()
	longAgo := time.Date(1999, 10, 10, 0, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		name  string
		scts  time.Time
		steps []time.Duration // between one copy and the next
		want  int             // messages
	}{
		{"read again at every sweep", now, []time.Duration{time.Minute, time.Minute, time.Hour}, 1},
		{"sent again by the centre after a day", now, []time.Duration{24 * time.Hour}, 1},
		{"a credible stamp, almost three days", now, []time.Duration{72*time.Hour - time.Second}, 1},
		{"three days later", now, []time.Duration{72*time.Hour + time.Second}, 2},
		{"it could not be deleted for three days", now, []time.Duration{71*time.Hour + 55*time.Minute, 9 * time.Minute, 9 * time.Minute}, 1},
		{"a stamp of last century, read again", longAgo, []time.Duration{time.Minute, 9 * time.Minute, 10 * time.Minute}, 1},
		{"a stamp of last century, another message", longAgo, []time.Duration{11 * time.Minute, 11 * time.Minute}, 3},
		{"a stamp of next week", now.Add(7 * 24 * time.Hour), []time.Duration{11 * time.Minute}, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBox(t)
			raw := b.stamped("SI", row.scts)
			b.ingest(raw)
			for _, step := range row.steps {
				b.clock.forward(step)
				b.ingest(raw)
			}
			require.Len(t, b.list(Filter{}), row.want)
			require.Len(t, b.events(), row.want)
			require.Equal(t, len(row.steps)+1-row.want, b.count(`SELECT sum(dup_count) FROM inbound_raw`))
		})
	}
}

func TestACentreWhoseClockStandsStill(t *testing.T) {
	b := newBox(t)
	stamp := b.clock.Now()
	si, no := b.stamped("SI", stamp), b.stamped("NO", stamp)
	b.ingest(si)
	b.clock.forward(5 * time.Minute)
	b.ingest(no)
	b.clock.forward(4 * time.Minute)
	b.ingest(si)
	require.Len(t, b.list(Filter{}), 2, "read again within ten minutes")
	b.clock.forward(11 * time.Minute)
	b.ingest(si)
	require.Len(t, b.list(Filter{}), 3, "another answer with the same words")

	// Two messages of the same second that come together prove nothing.
	b = newBox(t)
	b.ingest(si)
	b.clock.forward(time.Minute)
	b.ingest(no)
	b.clock.forward(time.Hour)
	b.ingest(si)
	require.Len(t, b.list(Filter{}), 2)
	// Nor does another SIM's message.
	in := b.in(b.stamped("QUIZAS", stamp))
	in.ICCID = iccid + "9"
	require.NoError(t, b.Ingest(context.Background(), in))
	b.ingest(si)
	require.Len(t, b.list(Filter{}), 3)
}
