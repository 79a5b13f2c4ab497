package queue

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func (b *box) creditEvents() (list []string) {
	b.t.Helper()
	events, err := b.Events(context.Background(), 0, 1000)
	require.NoError(b.t, err)
	for _, e := range events {
		if e.Type == "sim.credit" {
			list = append(list, string(e.Data))
		}
	}
	return list
}

func reading(l Line, minor int64) CreditReading {
	return CreditReading{ICCID: l.ICCID, Code: "*123#", Answer: "Su saldo es …", Known: true, Minor: minor, Currency: "EUR"}
}

func TestCreditIsKeptWithItsReadings(t *testing.T) {
	l, ctx := line(1), context.Background()
	b := simBox(t, l)
	add := func(r CreditReading) SIMCredit {
		c, err := b.AddCredit(ctx, r)
		require.NoError(t, err)
		b.restart()
		all, err := b.Credits(ctx)
		require.NoError(t, err)
		c.At, r = c.At.Truncate(time.Millisecond).UTC(), CreditReading{}
		require.Equal(t, c, all[l.ICCID], "what is told is what is on disk")
		return c
	}
	c := add(CreditReading{ICCID: l.ICCID, Code: "*123#", Answer: strings.Repeat("ñ", 3000), Error: "unreadable"})
	require.False(t, c.Known)
	require.Equal(t, CreditOK, c.State(), "nobody knows: it sends")
	require.Empty(t, b.creditEvents())

	require.Equal(t, CreditOK, add(reading(l, 500)).State())
	require.Empty(t, b.creditEvents(), "all is well: nothing is told")
	require.Equal(t, CreditLow, add(reading(l, 199)).State())
	require.Equal(t, CreditLow, add(reading(l, 100)).State())
	require.Equal(t, CreditNone, add(reading(l, 0)).State())
	require.Equal(t, CreditNone, add(reading(l, -5)).State())
	require.Equal(t, CreditOK, add(reading(l, 1000)).State())
	require.Len(t, b.creditEvents(), 3)
	require.JSONEq(t, `{"iccid":"`+l.ICCID+`","state":"low","balance_minor":199,"currency":"EUR","low_minor":200,"refused":false}`, b.creditEvents()[0])

	list, err := b.CreditReadings(ctx, l.ICCID, 3)
	require.NoError(t, err)
	require.Len(t, list, 3)
	require.EqualValues(t, 1000, list[0].Minor)
	list, err = b.CreditReadings(ctx, l.ICCID, 100)
	require.NoError(t, err)
	require.Len(t, list, 7)
	require.Len(t, []rune(list[6].Answer), answerMost)
	require.False(t, list[6].Known)

	_, err = b.AddCredit(ctx, reading(line(7), 100))
	require.ErrorIs(t, err, ErrNoSIM)
	other, err := b.CreditReadings(ctx, line(7).ICCID, 10)
	require.NoError(t, err)
	require.Empty(t, other, "the reading of an unknown SIM is not half kept")
}

func TestReadingsAreKeptThirteenMonths(t *testing.T) {
	l, ctx := line(1), context.Background()
	b := simBox(t, l)
	count := func() int {
		list, err := b.CreditReadings(ctx, l.ICCID, 100)
		require.NoError(t, err)
		return len(list)
	}
	for _, days := range []int{0, 200, 190, 20} { // the first is 410 days old in the end
		b.clock.forward(time.Duration(days) * 24 * time.Hour)
		_, err := b.AddCredit(ctx, reading(l, 100))
		require.NoError(t, err)
	}
	require.Equal(t, 3, count())
	b.clock.forward(-20 * 365 * 24 * time.Hour)
	_, err := b.AddCredit(ctx, reading(l, 100))
	require.NoError(t, err)
	require.Equal(t, 4, count(), "a clock that was set back deletes nothing")
}

func TestHowTheWantOfCreditEnds(t *testing.T) {
	l, ctx := line(1), context.Background()
	b := simBox(t, l)
	must := func(c SIMCredit, err error) CreditStop {
		t.Helper()
		require.NoError(t, err)
		return c.Stop
	}
	require.Equal(t, CreditGoes, must(b.AddCredit(ctx, reading(l, 30))))
	require.Equal(t, CreditRefused, must(b.StopCredit(ctx, l.ICCID)))
	require.Equal(t, CreditRefused, must(b.AddCredit(ctx, reading(l, 30))), "as little as before")
	require.Equal(t, CreditRefused, must(b.AddCredit(ctx, CreditReading{ICCID: l.ICCID, Error: "no_answer"})))
	require.Equal(t, CreditGoes, must(b.AddCredit(ctx, reading(l, 60))), "more than before")
	require.Equal(t, CreditRefused, must(b.StopCredit(ctx, l.ICCID)))
	require.Equal(t, CreditGoes, must(b.ResumeCredit(ctx, l.ICCID)), "a message was accepted")

	require.Equal(t, CreditRead, must(b.AddCredit(ctx, reading(l, 0))))
	require.Equal(t, CreditRead, must(b.ResumeCredit(ctx, l.ICCID)), "a message on its way says nothing against a reading")
	require.Equal(t, CreditIgnored, must(b.IgnoreCredit(ctx, l.ICCID, "Ana")))
	require.Equal(t, CreditIgnored, must(b.StopCredit(ctx, l.ICCID)), "a person's word holds")
	require.Equal(t, CreditIgnored, must(b.AddCredit(ctx, reading(l, 0))))
	require.Equal(t, CreditGoes, must(b.AddCredit(ctx, reading(l, 500))))
	require.Equal(t, CreditRead, must(b.AddCredit(ctx, reading(l, 0))), "and no longer than that")

	var words int
	require.NoError(t, b.db.Read().QueryRow(`SELECT count(*) FROM audit WHERE action = 'sim.credit.ignore' AND who = 'Ana' AND object = ?`, l.ICCID).Scan(&words))
	require.Equal(t, 1, words)
	for _, f := range []func() error{
		func() error { _, err := b.StopCredit(ctx, "8900"); return err },
		func() error { _, err := b.IgnoreCredit(ctx, "8900", "Ana"); return err },
		func() error { _, err := b.SetCreditLow(ctx, "8900", 1, "Ana"); return err },
		func() error { return b.SetLink(ctx, "8900", LinkHelps) },
	} {
		require.ErrorIs(t, f(), ErrNoSIM)
	}
}

// That a balance was asked for is on disk before the answer is, and stays there
// whatever is learnt of the credit; a clock that was set back makes it no later than now.
func TestWhenABalanceWasAskedForIsKept(t *testing.T) {
	l, ctx := line(1), context.Background()
	b := simBox(t, l)
	_, err := b.AskCredit(ctx, "8900")
	require.ErrorIs(t, err, ErrNoSIM)
	asked := func() time.Time {
		all, err := b.Credits(ctx)
		require.NoError(t, err)
		return all[l.ICCID].AskedAt
	}
	require.True(t, asked().IsZero())
	was := b.clock.Now()
	c, err := b.AskCredit(ctx, l.ICCID)
	require.NoError(t, err)
	require.True(t, was.Equal(c.AskedAt), c.AskedAt)
	b.clock.forward(time.Hour)
	b.restart()
	require.True(t, was.Equal(asked()))
	for _, r := range []CreditReading{reading(l, 500), {ICCID: l.ICCID, Error: "no_answer"}} {
		_, err := b.AddCredit(ctx, r)
		require.NoError(t, err)
	}
	_, err = b.StopCredit(ctx, l.ICCID)
	require.NoError(t, err)
	require.True(t, was.Equal(asked()))
	require.Empty(t, b.creditEvents()[1:], "nothing is told of a question")
	b.clock.forward(-24 * time.Hour)
	b.restart()
	require.True(t, b.clock.Now().Equal(asked()), asked())
}

func TestTheAlarmsLimit(t *testing.T) {
	l, ctx := line(1), context.Background()
	b := simBox(t, l)
	_, err := b.AddCredit(ctx, reading(l, 500))
	require.NoError(t, err)
	for _, step := range []struct {
		low   int64
		state string
	}{{501, CreditLow}, {500, CreditOK}, {0, CreditOK}, {9999, CreditLow}, {-7, CreditOK}} {
		c, err := b.SetCreditLow(ctx, l.ICCID, step.low, "Ana")
		require.NoError(t, err)
		require.Equal(t, step.state, c.State(), step.low)
	}
	require.Len(t, b.creditEvents(), 4)
	_, err = b.SetCreditLow(ctx, l.ICCID, 1e9, "Ana")
	require.ErrorAs(t, err, new(*Invalid))
}

func TestHowBalancesAreAskedForIsKept(t *testing.T) {
	b, ctx := simBox(t, line(1)), context.Background()
	c, err := b.CreditSettings(ctx)
	require.NoError(t, err)
	require.Equal(t, DefaultCreditSettings(), c)
	c.Check, c.Rules = CreditAlways, []CreditRule{{Network: "21407", Code: "*133#", Pattern: `(?P<amount>\d+)`}}
	c.Confirmed = []CreditConfirmation{{Operator: "Orange", Who: "Ana", At: b.clock.Now().UTC()}}
	require.NoError(t, b.SetCreditSettings(ctx, c, "Ana"))
	b.restart()
	again, err := b.CreditSettings(ctx)
	require.NoError(t, err)
	require.Equal(t, c, again)
	require.NoError(t, b.SetSetting(ctx, settingCredit, "{"))
	again, err = b.CreditSettings(ctx)
	require.Error(t, err)
	require.Equal(t, DefaultCreditSettings(), again)
}

func TestWhereAT_CMMSHelpsIsKept(t *testing.T) {
	l, ctx := line(1), context.Background()
	b := simBox(t, l)
	for _, link := range []int{LinkHelps, LinkGivenUp, LinkUnknown} {
		require.NoError(t, b.SetLink(ctx, l.ICCID, link))
		b.restart()
		all, err := b.Links(ctx)
		require.NoError(t, err)
		require.Equal(t, link, all[l.ICCID])
	}
}

func TestWhetherMoreWaits(t *testing.T) {
	l, other, ctx := line(1), line(2), context.Background()
	b := simBox(t, l)
	more := func(iccid string) bool {
		m, err := b.MoreWaits(ctx, iccid)
		require.NoError(t, err)
		return m
	}
	require.False(t, more(l.ICCID))
	b.submit(Request{})
	require.True(t, more(l.ICCID))
	c, err := b.Claim(ctx, l)
	require.NoError(t, err)
	require.NotNil(t, c)
	require.False(t, more(l.ICCID), "what a line has in hand waits no more")
	b.submit(Request{SIM: l.ICCID})
	require.True(t, more(l.ICCID))
	require.False(t, more(other.ICCID), "it is another SIM's")
}
