package pool_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem"
	"recado/modem/emulator"
	"recado/queue"
)

// What is found of AT+CMMS is kept by SIM: a pool that sends a batch learns it, and
// the next run goes by it.
func TestWhereAT_CMMSHelpsIsFoundAndKept(t *testing.T) {
	for name, c := range map[string]struct {
		saves  float64
		refuse bool
		want   int
	}{
		"it helps":      {saves: 0.4, want: queue.LinkHelps},
		"it does not":   {want: queue.LinkGivenUp},
		"it is refused": {saves: 0.4, refuse: true, want: queue.LinkGivenUp},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1, emulator.NetworkOptions{Latency: time.Second, CommandLatency: 10 * time.Millisecond, ReportDelay: 12 * time.Hour, LinkSaves: c.saves})
				r.ready(1)
				em := r.modems[0]
				if c.refuse {
					em.Inject(emulator.Fault{Kind: emulator.FaultError, On: "+CMMS", Count: -1})
				}
				var last []queue.Message
				for i := range 30 {
					last = r.submit(queue.Request{To: []string{number(i)}, Text: "hola"})
				}
				r.comes(2*time.Minute, "the last message", func() bool { return r.message(last[0].ID).State == queue.Sent })
				require.Len(t, r.accepted(), 30)
				links, err := r.store.Links(t.Context())
				require.NoError(t, err)
				require.Equal(t, c.want, links[em.ICCID()])
				m, err := r.pool.Link(t.Context(), em.ICCID())
				require.NoError(t, err)
				require.EqualValues(t, c.want, m.State)
				require.NotEmpty(t, m.Why)
				require.Equal(t, 1, cmmsSaid(r, em), "one command in the burst")

				require.NoError(t, r.pool.ForgetLink(t.Context(), em.ICCID()))
				m, err = r.pool.Link(t.Context(), em.ICCID())
				require.NoError(t, err)
				require.Equal(t, modem.LinkUnknown, m.State)
			})
		})
	}
}

// Two messages are no burst that is worth a command.
func TestFewMessagesCostNoAT_CMMS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, emulator.NetworkOptions{Latency: time.Second, ReportDelay: 12 * time.Hour, LinkSaves: 0.4})
		r.ready(1)
		for i := range 20 {
			m := r.submit(queue.Request{To: []string{number(i)}, Text: "hola"})[0]
			r.comes(2*time.Minute, "the message", func() bool { return r.message(m.ID).State == queue.Sent })
			time.Sleep(10 * time.Second)
		}
		require.Zero(t, cmmsSaid(r, r.modems[0]))
	})
}

// cmmsSaid counts AT+CMMS in what is kept of the dialogue.
func cmmsSaid(r *rig, em *emulator.Modem) (n int) {
	r.t.Helper()
	trace, err := r.pool.Trace(em.IMEI())
	require.NoError(r.t, err)
	for _, e := range trace {
		if e.Out && strings.Contains(e.Line, "+CMMS=") {
			n++
		}
	}
	return n
}
