package pool_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/pool"
	"recado/queue"
)

// refused has a SIM refused with cms_21 as often as it takes to look into its credit.
func (r *rig) refused(sim string) {
	r.t.Helper()
	for i := range 2 {
		r.submit(queue.Request{To: []string{fmt.Sprintf("+346%d9998021", i)}, Text: "hola", SIM: sim})
	}
	r.comes(10*time.Minute, "two refusals", func() bool {
		return r.number(`SELECT count(*) FROM attempt WHERE code = 'cms_21'`) >= 2
	})
}

func (r *rig) number(query string) (n int) {
	r.t.Helper()
	require.NoError(r.t, r.db.Read().QueryRow(query).Scan(&n))
	return n
}

// A code that is shipped and that nobody has tried is dialled by nobody but a person,
// whatever the network refuses: some operators charge for it, or do something else.
func TestAnUntestedCodeIsNotDialledForRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := creditRig(t, emulator.NetworkOptions{ReportDelay: 12 * time.Hour}, true, emulator.ModemOptions{Operator: "Movistar"})
		r.refused(r.modems[0].ICCID())
		time.Sleep(80 * time.Minute)
		require.Empty(t, r.readings(0))
		require.True(t, r.sim(0).Credit.NextAt.IsZero())

		require.NoError(t, r.pool.ConfirmCredit(t.Context(), r.sim(0).Credit.Way.Operator, true, "Ana"))
		r.comes(time.Hour, "the question", func() bool { return len(r.readings(0)) > 0 })
	})
}

// Whoever pauses sending, or a SIM, or switches it off, wants nothing to leave.
func TestABalanceIsNotAskedForWhilePaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := creditRig(t, emulator.NetworkOptions{ReportDelay: 12 * time.Hour}, false, emulator.ModemOptions{})
		sim := r.modems[0].ICCID()
		on, off := true, false
		for _, step := range []struct{ stop, goOn func() error }{
			{func() error { return r.pool.Pause(t.Context()) }, func() error { return r.pool.Resume(t.Context()) }},
			{func() error { return r.pool.PauseSIM(t.Context(), sim, true) }, func() error { return r.pool.PauseSIM(t.Context(), sim, false) }},
			{func() error { _, err := r.pool.UpdateSIM(t.Context(), sim, queue.SIMPatch{Enabled: &off}); return err },
				func() error { _, err := r.pool.UpdateSIM(t.Context(), sim, queue.SIMPatch{Enabled: &on}); return err }},
		} {
			require.NoError(t, step.stop())
			time.Sleep(12 * time.Minute)
			require.Empty(t, r.readings(0))
			require.NoError(t, step.goOn())
		}
		r.comes(12*time.Minute, "the question", func() bool { return len(r.readings(0)) > 0 })
	})
}

// A little money may do: the two refusals had another cause. A message tries it.
func TestASIMWithALittleCreditIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := creditRig(t, emulator.NetworkOptions{ReportDelay: 12 * time.Hour}, false, emulator.ModemOptions{})
		sim := r.modems[0].ICCID()
		require.NoError(t, r.net.SetCredit(sim, 150))
		_, err := r.pool.Balance(t.Context(), sim)
		require.NoError(t, err)
		r.refused(sim)
		r.comes(time.Minute, "no credit", func() bool { return r.sim(0).State == pool.SIMNoCredit })
		stopped := time.Now()
		m := r.submit(queue.Request{To: []string{number(1)}, Text: "hola", SIM: sim})[0]
		r.comes(40*time.Minute, "the message", func() bool { return r.message(m.ID).State == queue.Sent })
		require.GreaterOrEqual(t, time.Since(stopped), 29*time.Minute)
		require.Equal(t, pool.SIMReady, r.sim(0).State)
	})
}

// The balance of a SIM that always has something to send is asked for all the same.
func TestTheBalanceOfASIMThatIsNeverIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := creditRig(t, emulator.NetworkOptions{Latency: time.Second, ReportDelay: 12 * time.Hour}, false, emulator.ModemOptions{})
		pace := 2
		_, err := r.pool.UpdateSIM(t.Context(), r.modems[0].ICCID(), queue.SIMPatch{Pace: &pace})
		require.NoError(t, err)
		r.campaign(400, queue.Bulk)
		time.Sleep(2 * time.Hour)
		require.Empty(t, r.readings(0), "first it waits for the line")
		time.Sleep(12 * time.Minute)
		require.Len(t, r.readings(0), 1)
		require.True(t, r.readings(0)[0].Known)
		require.Less(t, r.gap(), 50*time.Second, "and the campaign hardly notices")
	})
}

// weekly is a box with a SIM of Orange, which charges for more than five questions a
// month.
func weekly(t *testing.T) *lasting {
	r := lastingOf(t, emulator.NetworkOptions{ReportDelay: 12 * time.Hour}, emulator.ModemOptions{Operator: "Orange"})
	r.ready(1)
	r.until("its operator", func() bool { return r.sim(0).Operator != "" })
	return r
}

// silent has the network say nothing to a code.
func (r *lasting) silent() {
	r.modems[0].Inject(emulator.Fault{Kind: emulator.FaultAnswer, On: "+CUSD=1", Count: -1, Text: "\r\nOK\r\n"})
}

// The operator counts what is dialled: a week passes before the next question, also
// when no answer came, the program was started again, or messages cut it short.
func TestACodeThatIsChargedForIsDialledOnceAWeek(t *testing.T) {
	for name, what := range map[string]struct {
		before func(r *lasting) // the first question
		during func(r *lasting) // nil: it is let end
	}{
		"it answers": {before: func(*lasting) {}},
		"no answer":  {before: (*lasting).silent},
		"unreadable": {before: func(r *lasting) {
			require.NoError(r.t, r.pool.SetCreditSettings(r.t.Context(), withRules(queue.CreditRule{Operator: "orange", Code: "*111#", Pattern: "(?P<amount>nada)"}), "Ana"))
		}},
		"nothing left":     {before: func(r *lasting) { require.NoError(r.t, r.net.SetCredit(r.modems[0].ICCID(), 0)) }},
		"a message comes":  {before: (*lasting).silent, during: func(r *lasting) { r.submit(queue.Request{To: []string{number(1)}, Text: "hola"}) }},
		"the program ends": {before: (*lasting).silent, during: (*lasting).restart},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := weekly(t)
				what.before(r)
				r.comes(12*time.Minute, "the first question", func() bool { return r.dialled.n.Load() > 0 })
				if what.during != nil {
					time.Sleep(2 * time.Second)
					what.during(r)
				}
				r.comes(2*time.Minute, "its end", func() bool { return !r.sim(0).Credit.Asking })
				require.Equal(t, 1, r.dialled.since())
				for i := range 2 {
					r.restart()
					time.Sleep(12 * time.Minute)
					require.Zero(t, r.dialled.since(), i)
					r.clock.advance(3 * 24 * time.Hour)
				}
				require.WithinDuration(t, r.clock.Now().Add(24*time.Hour), r.sim(0).Credit.NextAt, 13*time.Hour)
				r.clock.advance(36 * time.Hour)
				r.comes(12*time.Minute, "the next question", func() bool { return r.dialled.n.Load() > 0 })
				r.comes(2*time.Minute, "its end", func() bool { return !r.sim(0).Credit.Asking })
				require.Equal(t, 1, r.dialled.since())
			})
		})
	}
}

// What a person asks counts like the box's own question, also by the code itself.
func TestAPersonsQuestionIsChargedForToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := weekly(t)
		sim := r.modems[0].ICCID()
		for name, ask := range map[string]func() error{
			"balance": func() error { _, err := r.pool.Balance(t.Context(), sim); return err },
			"ussd":    func() error { _, err := r.pool.USSD(t.Context(), sim, "*111#"); return err },
		} {
			r.clock.advance(30 * 24 * time.Hour)
			require.NoError(t, ask())
			require.WithinDuration(t, r.clock.Now().Add(7*24*time.Hour), r.sim(0).Credit.NextAt, 24*time.Hour, name)
		}
		before := r.sim(0).Credit.NextAt
		r.clock.advance(24 * time.Hour)
		_, err := r.pool.USSD(t.Context(), sim, "*100#")
		require.NoError(t, err)
		require.Equal(t, before, r.sim(0).Credit.NextAt, "another code is none")
	})
}

// What a network has refused for want of credit is tried by a message where the
// balance may not be asked for before days are over.
func TestAMessageTriesWhereTheQuestionIsChargedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := weekly(t)
		r.silent()
		r.comes(12*time.Minute, "the first question", func() bool { return r.dialled.since() > 0 })
		r.comes(2*time.Minute, "its end", func() bool { return !r.sim(0).Credit.Asking })
		r.restart()
		r.modems[0].Inject(emulator.Fault{Kind: emulator.FaultAnswer, On: "+CMGS", Text: "\r\n+CMS ERROR: insufficient credit\r\n"})
		m := r.submit(queue.Request{To: []string{number(1)}, Text: "hola"})[0]
		r.comes(time.Minute, "no credit", func() bool { return r.sim(0).State == pool.SIMNoCredit })
		r.comes(40*time.Minute, "the message", func() bool { return r.message(m.ID).State == queue.Sent })
		require.Zero(t, r.dialled.since())
	})
}
