package inbox

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/pdu"
)

const otherICCID, otherIMSI = "8934000000000000029", "214070000000002"

// TestLeftInTheModemWhenItsSIMIsChanged: the copy in the modem's own memory is the
// message that was stored under the SIM before; what may be another one is
// another one.
func TestLeftInTheModemWhenItsSIMIsChanged(t *testing.T) {
	for name, c := range map[string]struct {
		first, then func(*In) // then is on top of the other SIM
		after       time.Duration
		scts        time.Duration // from now
		want        int
	}{
		"in ME":                             {after: time.Minute, want: 1},
		"in both, listed as one":            {then: func(in *In) { in.Memory = "MT" }, want: 1},
		"a memory without a name":           {then: func(in *In) { in.Memory = "unknown" }, want: 1},
		"it came as +CMT and was kept too":  {first: func(in *In) { in.Memory = "" }, want: 1},
		"no SIM is known by then":           {then: func(in *In) { in.ICCID, in.IMSI = "", "" }, want: 1},
		"almost three days later":           {after: 72*time.Hour - time.Second, want: 1},
		"an ICCID that came late":           {first: func(in *In) { in.ICCID, in.Memory = "imsi-"+otherIMSI, "SM"; in.IMSI = otherIMSI }, then: func(in *In) { in.Memory = "SM" }, want: 1},
		"announced to the other SIM":        {then: func(in *In) { in.Fresh = true }, want: 2},
		"from the other SIM's own memory":   {then: func(in *In) { in.Memory = "SM" }, want: 2},
		"the first went away with its SIM":  {first: func(in *In) { in.Memory = "SM" }, want: 2},
		"came without a copy":               {then: func(in *In) { in.Memory = "" }, want: 2},
		"in another modem":                  {then: func(in *In) { in.Modem = "m2" }, want: 2},
		"other words":                       {then: func(in *In) { in.PDU.Raw[len(in.PDU.Raw)-1] ^= 1; in.PDU = pdu.Decode(in.PDU.Raw) }, want: 2},
		"no credible stamp, soon":           {scts: -30 * 24 * time.Hour, after: 9 * time.Minute, want: 1},
		"no credible stamp, a quarter hour": {scts: -30 * 24 * time.Hour, after: 15 * time.Minute, want: 2},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			stamp := b.clock.Now().Add(c.scts)
			in := b.in(b.stamped("hola", stamp))
			in.Memory = "ME"
			if c.first != nil {
				c.first(&in)
			}
			require.NoError(t, b.Ingest(context.Background(), in))
			b.restart() // what is known is on disk
			b.clock.forward(c.after)
			for range 2 { // and read again, as long as it is not deleted
				in := b.in(b.stamped("hola", stamp))
				in.Memory, in.ICCID, in.IMSI = "ME", otherICCID, otherIMSI
				if c.then != nil {
					c.then(&in)
				}
				require.NoError(t, b.Ingest(context.Background(), in))
			}
			require.Len(t, b.list(Filter{}), c.want)
			require.Len(t, b.events(), c.want)
			require.Equal(t, 3-c.want, b.count(`SELECT sum(dup_count) FROM inbound_raw`))
		})
	}
}

// TestLeftoversOfNothing: what could not be read at all is no copy of what could
// not be read either.
func TestLeftoversOfNothing(t *testing.T) {
	b := newBox(t)
	for _, sim := range []string{iccid, otherICCID} {
		in := b.in(nil)
		in.Memory, in.ICCID = "ME", sim
		require.NoError(t, b.Ingest(context.Background(), in))
	}
	require.Equal(t, 2, b.count(`SELECT count(*) FROM inbound_raw`))
}
