package pool_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/pool"
	"recado/queue"
)

// creditRig has modems with the given SIMs. real: the pool is not told that they
// are emulated.
func creditRig(t *testing.T, o emulator.NetworkOptions, real bool, modems ...emulator.ModemOptions) *rig {
	r := emptyRig(t, o)
	for i, mo := range modems {
		mo.BootTime = time.Millisecond
		m := r.net.AddModem(mo)
		r.modems = append(r.modems, m)
		require.NoError(t, r.pool.Add(pool.Port{Name: fmt.Sprintf("emulated:%d", i+1), Open: m.Open, Emulated: !real}))
	}
	r.ready(len(modems))
	r.until("the SIMs' operators", func() bool {
		sims, err := r.pool.SIMs(t.Context())
		require.NoError(t, err)
		return !slices.ContainsFunc(sims, func(s pool.SIM) bool { return s.Operator == "" })
	})
	return r
}

func (r *rig) sim(i int) pool.SIM {
	r.t.Helper()
	s, err := r.pool.SIM(r.t.Context(), r.modems[i].ICCID())
	require.NoError(r.t, err)
	return s
}

func (r *rig) credits() (list []string) {
	r.t.Helper()
	events, err := r.store.Events(r.t.Context(), 0, 10000)
	require.NoError(r.t, err)
	for _, e := range events {
		if e.Type != "sim.credit" {
			continue
		}
		var d struct {
			State   string `json:"state"`
			Balance *int64 `json:"balance_minor"`
			Refused bool   `json:"refused"`
		}
		require.NoError(r.t, json.Unmarshal(e.Data, &d))
		says := d.State
		if d.Balance != nil {
			says += fmt.Sprint(" ", *d.Balance)
		}
		if d.Refused {
			says += " refused"
		}
		list = append(list, says)
	}
	return list
}

func (r *rig) readings(i int) []queue.CreditReading {
	r.t.Helper()
	list, err := r.pool.CreditReadings(r.t.Context(), r.modems[i].ICCID(), 10000)
	require.NoError(r.t, err)
	return list
}

func (r *rig) finding(code string) (pool.Finding, bool) {
	r.t.Helper()
	list := r.pool.Findings(r.t.Context())
	i := slices.IndexFunc(list, func(f pool.Finding) bool { return f.Code == code })
	if i < 0 {
		return pool.Finding{}, false
	}
	return list[i], true
}

// Every operator that is shipped is asked by its own code, over the real dialogue,
// and read; all are untested until somebody confirms them.
func TestBalanceOfEveryShippedOperator(t *testing.T) {
	for operator, code := range map[string]string{"Movistar": "*133#", "Vodafone ES": "*134#", "Orange": "*111#", "Yoigo": "*111#", "DIGI mobil": "*134#", "Lycamobile": "*221#"} {
		t.Run(operator, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := creditRig(t, emulator.NetworkOptions{ReportDelay: 12 * time.Hour}, true, emulator.ModemOptions{Operator: operator})
				s := r.sim(0)
				require.Equal(t, code, s.Credit.Way.Code)
				require.False(t, s.Credit.Way.Tested)
				require.False(t, s.Credit.Known)
				require.NoError(t, r.net.SetCredit(s.ICCID, 305))
				reading, err := r.pool.Balance(t.Context(), s.ICCID)
				require.NoError(t, err)
				require.Equal(t, "", reading.Error, reading.Answer)
				require.EqualValues(t, 305, reading.Minor)
				s = r.sim(0)
				require.True(t, s.Credit.Known)
				require.Equal(t, "3,05 €", s.Credit.Money().Text("es"))
				require.Len(t, r.readings(0), 1)

				// A menu below the balance is not left open.
				_, err = r.pool.USSDReply(t.Context(), s.ICCID, "1")
				require.Error(t, err)

				require.NoError(t, r.pool.ConfirmCredit(t.Context(), s.Credit.Way.Operator, true, "Ana"))
				way := r.sim(0).Credit.Way
				require.True(t, way.Tested)
				require.Equal(t, "Ana", way.ConfirmedBy)
				require.NoError(t, r.pool.ConfirmCredit(t.Context(), s.Credit.Way.Operator, false, "Ana"))
				require.False(t, r.sim(0).Credit.Way.Tested)
			})
		})
	}
}

func TestBalanceThatCannotBeHad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := creditRig(t, emulator.NetworkOptions{ReportDelay: 12 * time.Hour}, false, emulator.ModemOptions{Operator: "Telekom.de", IMSI: "262011234567890"})
		sim := r.modems[0].ICCID()
		_, err := r.pool.Balance(t.Context(), sim)
		require.ErrorIs(t, err, pool.ErrNoBalanceCode)
		_, err = r.pool.Balance(t.Context(), "nobody")
		require.ErrorIs(t, err, pool.ErrNoSIM)

		ask := func(rule queue.CreditRule) queue.CreditReading {
			rule.SIM = sim
			require.NoError(t, r.pool.SetCreditSettings(t.Context(), withRules(rule), "Ana"))
			reading, err := r.pool.Balance(t.Context(), sim)
			require.NoError(t, err)
			require.Equal(t, reading.Error, r.sim(0).Credit.Error)
			return reading
		}
		require.Equal(t, "unreadable", ask(queue.CreditRule{Code: "*113#"}).Error)
		require.Equal(t, "many_amounts", ask(queue.CreditRule{Code: "*100#", Reply: "2"}).Error)
		require.Equal(t, "no_answer", ask(queue.CreditRule{Code: "*104#"}).Error)
		require.Equal(t, "refused", ask(queue.CreditRule{Code: "*109#"}).Error)
		require.Equal(t, "unsupported", ask(queue.CreditRule{Code: "*107#"}).Error)
		require.Equal(t, "ended", ask(queue.CreditRule{Code: "*114#"}).Error)
		require.False(t, r.sim(0).Credit.Known)

		// The same menu, with a choice and a pattern of one's own.
		got := ask(queue.CreditRule{Code: "*100#", Reply: "1"})
		require.EqualValues(t, 1234, got.Minor)
		got = ask(queue.CreditRule{Code: "*118#", Pattern: `^(?P<cents>\d+)$`, Currency: "RON"})
		require.EqualValues(t, 1250, got.Minor)
		require.Equal(t, "RON", got.Currency)
		got = ask(queue.CreditRule{Code: "*106#"})
		require.EqualValues(t, 1234, got.Minor)
		require.Len(t, r.readings(0), 9)

		require.NoError(t, r.pool.SetCreditSettings(t.Context(), withRules(queue.CreditRule{SIM: sim}), "Ana"))
		_, err = r.pool.Balance(t.Context(), sim)
		require.ErrorIs(t, err, pool.ErrNoBalanceCode, "a rule without a code: never")
	})
}

func withRules(rules ...queue.CreditRule) queue.CreditSettings {
	c := queue.DefaultCreditSettings()
	c.Rules = rules
	return c
}

// What is never sent as USSD is no balance code either, however it got there.
func TestNoBalanceCodeAgainstTheDenyList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := creditRig(t, emulator.NetworkOptions{ReportDelay: 12 * time.Hour}, false, emulator.ModemOptions{})
		sim := r.modems[0].ICCID()
		for _, bad := range []queue.CreditRule{
			{SIM: sim, Code: "*21*600123456#"}, {SIM: sim, Code: "##002#"}, {SIM: sim, Code: "**04*1234*1111*1111#"}, {SIM: sim, Code: "123"},
			{SIM: sim, Code: "*123#", Reply: "*21#"}, {SIM: sim, Code: "*123#", Pattern: "("}, {SIM: sim, Code: "*123#", Pattern: "saldo"},
			{SIM: sim, Reply: "1"}, {Code: "*123#"}, {SIM: sim, Network: "21407", Code: "*123#"}, {Network: "2140", Code: "*123#"}, {Operator: "x", Code: "*1#", Currency: "euros"},
		} {
			err := r.pool.SetCreditSettings(t.Context(), withRules(bad), "Ana")
			require.ErrorAs(t, err, new(*queue.Invalid), "%+v", bad)
		}
		bad := queue.DefaultCreditSettings()
		bad.Check = "hourly"
		require.ErrorAs(t, r.pool.SetCreditSettings(t.Context(), bad, "Ana"), new(*queue.Invalid))
	})
}

// A SIM without credit sends nothing, its messages go to another, and a top-up is
// found by itself.
func TestNoCreditMovesMessagesAndEndsWithATopUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := creditRig(t, emulator.NetworkOptions{ReportDelay: 12 * time.Hour}, false, emulator.ModemOptions{}, emulator.ModemOptions{})
		poor, rich := r.modems[0], r.modems[1]
		require.NoError(t, r.net.SetCredit(poor.ICCID(), 0))
		reading, err := r.pool.Balance(t.Context(), poor.ICCID())
		require.NoError(t, err)
		require.True(t, reading.Known)
		require.Zero(t, reading.Minor)
		require.Equal(t, pool.SIMNoCredit, r.sim(0).State)
		require.Contains(t, r.sim(0).Reason, "top the SIM up")
		require.Equal(t, []string{"none 0"}, r.credits())
		f, ok := r.finding("sim_no_credit")
		require.True(t, ok)
		require.Equal(t, pool.FindingFail, f.Severity)
		es, do := f.In("es")
		require.Contains(t, es, "saldo")
		require.NotEmpty(t, do)

		for i := range 6 {
			m := r.submit(queue.Request{To: []string{number(i)}, Text: "hola"})[0]
			r.reaches(m.ID, queue.Sent)
		}
		for _, e := range r.net.Ledger() {
			require.False(t, e.Type == emulator.EntrySubmit && e.SIM != rich.ICCID(), "nothing is even tried on it")
		}

		// Topped up: found within the first re-check's time.
		start := time.Now()
		require.NoError(t, r.net.SetCredit(poor.ICCID(), 1000))
		r.comes(20*time.Minute, "the top-up", func() bool { return r.sim(0).State == pool.SIMReady })
		require.GreaterOrEqual(t, time.Since(start), 10*time.Minute, "not at once: some operators charge for it")
		require.Equal(t, []string{"none 0", "ok 1000"}, r.credits())
		_, ok = r.finding("sim_no_credit")
		require.False(t, ok)
	})
}

// A person's word counts more than a reading, until there is credit again.
func TestAPersonMayLetASIMSendWithoutCredit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := creditRig(t, emulator.NetworkOptions{ReportDelay: 12 * time.Hour}, false, emulator.ModemOptions{})
		sim := r.modems[0].ICCID()
		ask := func(cents int64) {
			require.NoError(t, r.net.SetCredit(sim, cents))
			_, err := r.pool.Balance(t.Context(), sim)
			require.NoError(t, err)
		}
		ask(0)
		require.Equal(t, pool.SIMNoCredit, r.sim(0).State)
		_, err := r.pool.IgnoreCredit(t.Context(), sim, "Ana")
		require.NoError(t, err)
		require.Equal(t, pool.SIMReady, r.sim(0).State)
		ask(-10)
		require.Equal(t, pool.SIMReady, r.sim(0).State, "it has a bundle, say")
		ask(500)
		ask(0)
		require.Equal(t, pool.SIMNoCredit, r.sim(0).State, "the word was about the last time")
	})
}

func TestLowCreditIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := creditRig(t, emulator.NetworkOptions{ReportDelay: 12 * time.Hour}, false, emulator.ModemOptions{})
		sim := r.modems[0].ICCID()
		for _, cents := range []int64{1234, 199, 150, 1000} {
			require.NoError(t, r.net.SetCredit(sim, cents))
			_, err := r.pool.Balance(t.Context(), sim)
			require.NoError(t, err)
			f, low := r.finding("sim_credit_low")
			require.Equal(t, cents < 200, low)
			if low {
				says, _ := f.In("es")
				require.Contains(t, says, fmt.Sprintf("%d,%02d EUR", cents/100, cents%100))
				says, _ = f.In("en")
				require.Contains(t, says, fmt.Sprintf("%d.%02d EUR", cents/100, cents%100))
			}
			require.Equal(t, pool.SIMReady, r.sim(0).State)
		}
		_, err := r.pool.SetCreditLow(t.Context(), sim, 2000, "Ana")
		require.NoError(t, err)
		_, err = r.pool.SetCreditLow(t.Context(), sim, -1, "Ana")
		require.NoError(t, err)
		require.Equal(t, []string{"low 199", "ok 1000", "low 1000", "ok 1000"}, r.credits())
	})
}

// A message does not wait for a balance: the question is given up.
func TestMessagesGoBeforeTheQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := creditRig(t, emulator.NetworkOptions{ReportDelay: 12 * time.Hour}, false, emulator.ModemOptions{})
		sim := r.modems[0].ICCID()
		require.NoError(t, r.pool.SetCreditSettings(t.Context(), withRules(queue.CreditRule{SIM: sim, Code: "*108#"}), "Ana")) // answers after 20 s
		// By itself it gives way within a moment.
		r.comes(12*time.Minute, "a question of its own", func() bool { return r.sim(0).Credit.Asking })
		time.Sleep(2 * time.Second) // the network has it
		start := time.Now()
		m := r.submit(queue.Request{To: []string{number(1)}, Text: "su código es 4321", Class: queue.OTP})[0]
		r.reaches(m.ID, queue.Sent)
		require.Less(t, time.Since(start), 2500*time.Millisecond)

		r.comes(time.Minute, "its end", func() bool { return !r.sim(0).Credit.Asking })
		failed := make(chan error, 1)
		go func() {
			_, err := r.pool.Balance(t.Context(), sim)
			failed <- err
		}()
		time.Sleep(8 * time.Second)
		require.True(t, r.sim(0).Credit.Asking)
		start = time.Now()
		m = r.submit(queue.Request{To: []string{number(1)}, Text: "su código es 1234", Class: queue.OTP})[0]
		r.reaches(m.ID, queue.Sent)
		require.Less(t, time.Since(start), 7*time.Second)
		require.ErrorIs(t, <-failed, pool.ErrBalanceInterrupted)
		require.Empty(t, r.readings(0))
		require.False(t, r.sim(0).Credit.Asking)
	})
}

// Refusals that want of credit brings have the balance asked for, and only what it
// says stops the SIM.
func TestRefusalsHaveTheBalanceAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := creditRig(t, emulator.NetworkOptions{ReportDelay: time.Hour}, false, emulator.ModemOptions{Price: 12})
		sim := r.modems[0].ICCID()
		require.NoError(t, r.net.SetCredit(sim, 5)) // does not pay for a message
		for i := range 3 {
			r.submit(queue.Request{To: []string{number(i)}, Text: "hola"})
		}
		r.comes(10*time.Minute, "no credit", func() bool { return r.sim(0).State == pool.SIMNoCredit })
		require.Equal(t, []string{"low 5", "none 5 refused"}, r.credits())
		require.Contains(t, r.sim(0).Reason, "refuses")

		// As little as before is no top-up.
		_, err := r.pool.Balance(t.Context(), sim)
		require.NoError(t, err)
		require.Equal(t, pool.SIMNoCredit, r.sim(0).State)
		require.NoError(t, r.net.SetCredit(sim, 1000))
		m := r.submit(queue.Request{To: []string{number(7)}, Text: "hola"})[0]
		_, err = r.pool.Balance(t.Context(), sim)
		require.NoError(t, err)
		require.NotEqual(t, pool.SIMNoCredit, r.sim(0).State)
		r.comes(40*time.Minute, "the message", func() bool { return r.message(m.ID).State == queue.Sent })
	})
}

// What a SIM that is known to have little refuses for that waits for a top-up, and
// is not given up.
func TestMessagesWaitForATopUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := creditRig(t, emulator.NetworkOptions{ReportDelay: 12 * time.Hour}, false, emulator.ModemOptions{Price: 12})
		sim := r.modems[0].ICCID()
		ask := func(cents int64) {
			require.NoError(t, r.net.SetCredit(sim, cents))
			_, err := r.pool.Balance(t.Context(), sim)
			require.NoError(t, err)
		}
		ask(5)
		var ids []string
		for i := range 3 {
			ids = append(ids, r.submit(queue.Request{To: []string{number(i)}, Text: "hola", SIM: sim})[0].ID)
		}
		r.comes(10*time.Minute, "no credit", func() bool { return r.sim(0).State == pool.SIMNoCredit })
		for _, id := range ids {
			require.Equal(t, queue.Queued, r.message(id).State)
		}
		ask(1000)
		r.comes(40*time.Minute, "the messages", func() bool {
			return !slices.ContainsFunc(ids, func(id string) bool { return r.message(id).State != queue.Sent })
		})
	})
}

// Refusals that have another cause stop nothing, and do not have it asked again
// and again.
func TestRefusalsOfWhoHasCredit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := creditRig(t, emulator.NetworkOptions{ReportDelay: 12 * time.Hour}, false, emulator.ModemOptions{})
		for i := range 3 {
			r.submit(queue.Request{To: []string{fmt.Sprintf("+346%d9998021", i)}, Text: "hola"})
		}
		r.comes(time.Minute, "the question", func() bool { return len(r.readings(0)) > 0 })
		time.Sleep(10 * time.Minute)
		require.NotEqual(t, pool.SIMNoCredit, r.sim(0).State)
		require.Empty(t, r.credits())
		require.Len(t, r.readings(0), 1)
	})
}

// A modem that says so in words stops the SIM at once; where nobody can ask, a
// message is tried after a while.
func TestRefusedInWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := creditRig(t, emulator.NetworkOptions{ReportDelay: 12 * time.Hour}, false, emulator.ModemOptions{Operator: "Telekom.de", IMSI: "262011234567890"})
		em := r.modems[0]
		em.Inject(emulator.Fault{Kind: emulator.FaultAnswer, On: "+CMGS", Text: "\r\n+CMS ERROR: insufficient credit\r\n", Count: 2})
		m := r.submit(queue.Request{To: []string{number(1)}, Text: "hola"})[0]
		r.comes(time.Minute, "no credit", func() bool { return r.sim(0).State == pool.SIMNoCredit })
		require.Equal(t, []string{"none refused"}, r.credits())
		begun := time.Now()
		r.comes(10*time.Hour, "the message", func() bool { return r.message(m.ID).State == queue.Sent })
		require.Greater(t, time.Since(begun), 80*time.Minute, "half an hour, and then twice that")
		require.Equal(t, pool.SIMReady, r.sim(0).State)
		require.Equal(t, []string{"none refused", "ok", "none refused", "ok"}, r.credits())
	})
}

// What is known survives the pool.
func TestCreditIsKnownAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := creditRig(t, emulator.NetworkOptions{ReportDelay: 12 * time.Hour}, false, emulator.ModemOptions{})
		sim := r.modems[0].ICCID()
		require.NoError(t, r.net.SetCredit(sim, 0))
		_, err := r.pool.Balance(t.Context(), sim)
		require.NoError(t, err)
		all, err := r.store.Credits(t.Context())
		require.NoError(t, err)
		require.Equal(t, queue.CreditRead, all[sim].Stop)
		require.True(t, all[sim].Known)
		require.True(t, strings.HasPrefix(r.sim(0).Credit.Way.Operator, "Recado"))
	})
}

// comes lets time pass in the bubble until ok, at most so long.
func (r *rig) comes(d time.Duration, what string, ok func() bool) {
	r.t.Helper()
	for end := time.Now().Add(d); ; time.Sleep(time.Second) {
		synctest.Wait()
		if ok() {
			return
		}
		require.True(r.t, time.Now().Before(end), "never came: %s", what)
	}
}
