package pool

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue"
)

// bubble is a clock that goes with the bubble's time.
type bubbleClock struct{ untrusted bool }

func (bubbleClock) Now() time.Time  { return time.Now() }
func (c bubbleClock) Trusted() bool { return !c.untrusted }

// asks lets that long pass in rounds of a minute, and says when each SIM was asked;
// answer is what comes of it.
func asks(p *Pool, d time.Duration, sims []SIM, answer func(s SIM) queue.CreditReading) map[string][]time.Time {
	return asksEach(time.Minute, p, d, sims, answer)
}

// asksEach does so in longer rounds.
func asksEach(round time.Duration, p *Pool, d time.Duration, sims []SIM, answer func(s SIM) queue.CreditReading) map[string][]time.Time {
	at := map[string][]time.Time{}
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(round) {
		for _, s := range sims {
			if _, ok := p.beginBalance(s, true); !ok {
				continue
			}
			at[s.ICCID] = append(at[s.ICCID], time.Now())
			r := answer(s)
			p.credit.mu.Lock()
			c := p.credit.of(s.ICCID)
			c.AskedAt = time.Now() // as the store keeps it
			if r.Known {
				c.SIMCredit.Known, c.SIMCredit.Minor, c.SIMCredit.At = true, r.Minor, time.Now()
				if r.Minor <= 0 {
					c.Stop = queue.CreditRead
				}
			}
			c.asked(r, nil)
			p.credit.mu.Unlock()
			p.endBalance()
		}
	}
	return at
}

func creditPool(check string) *Pool {
	p := &Pool{clock: bubbleClock{}}
	p.credit.settings = queue.DefaultCreditSettings()
	p.credit.settings.Check = check
	return p
}

func good(SIM) queue.CreditReading { return queue.CreditReading{Known: true, Minor: 1000} }

var twoSIMs = []SIM{{ICCID: "8934071", IMSI: "214070000000001"}, {ICCID: "8934072", IMSI: "214070000000002"}}

// The daily check: in the quiet time, once a day, not all SIMs at once, and of real
// SIMs only after somebody's word that the way of asking works.
func TestTheDailyCheckIsAtAQuietTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := creditPool(queue.CreditConfirmed)
		require.Empty(t, asks(p, 50*time.Hour, twoSIMs, good), "nobody has confirmed it")
		_, ok := p.dueLocked(p.credit.of(twoSIMs[0].ICCID), twoSIMs[0], p.credit.way(twoSIMs[0]))
		require.False(t, ok)

		p.credit.settings.Confirmed = []queue.CreditConfirmation{{Operator: "movistar", Who: "Ana"}}
		at := asks(p, 30*24*time.Hour, twoSIMs, good)
		hours := map[string][]string{}
		for _, s := range twoSIMs {
			list := at[s.ICCID]
			require.InDelta(t, 31, len(list), 1)
			for i, x := range list[1:] { // the first is at once
				of := x.Local().Hour()*60 + x.Local().Minute()
				require.GreaterOrEqual(t, of, 3*60+30, x)
				require.LessOrEqual(t, of, 6*60, x)
				hours[s.ICCID] = append(hours[s.ICCID], x.Format("15:04"))
				if i > 0 {
					require.Equal(t, list[i].Local().YearDay()+1, x.Local().YearDay()+x.Local().Year()%2000*366-list[i].Local().Year()%2000*366, "once a day")
				}
			}
			distinct := slices.Compact(slices.Sorted(slices.Values(hours[s.ICCID])))
			require.Greater(t, len(distinct), 20, "there is jitter: %v", distinct)
		}
		require.NotEqual(t, hours[twoSIMs[0].ICCID], hours[twoSIMs[1].ICCID])

		p.credit.settings.Check = queue.CreditNever
		require.Empty(t, asks(p, 72*time.Hour, twoSIMs, good))
		p.credit.settings.Check = queue.CreditAlways
		p.clock = bubbleClock{untrusted: true}
		require.Empty(t, asks(p, 72*time.Hour, twoSIMs, good), "nobody knows what time it is")
	})
}

// Orange answers five times a month for nothing: it is asked once a week.
func TestAnOperatorThatChargesIsAskedLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := SIM{ICCID: "8934031", IMSI: "214030000000001"}
		at := asks(creditPool(queue.CreditAlways), 30*24*time.Hour, []SIM{s}, good)
		require.Len(t, at[s.ICCID], 5)
	})
}

// There is no month in which it is asked more than five times, whatever it answers,
// and however long the quiet time is.
func TestNoMonthHasSixQuestionsThatAreChargedFor(t *testing.T) {
	s := SIM{ICCID: "8934031", IMSI: "214030000000001"}
	for name, reading := range map[string]queue.CreditReading{
		"well": {Known: true, Minor: 1000}, "nothing left": {Known: true}, "no answer": {Error: balanceNoAnswer}, "refused": {Error: balanceRefused},
		"unreadable": {Error: balanceUnreadable}, "many": {Error: balanceMany}, "ended": {Error: balanceEnded},
	} {
		for _, from := range []int{3*60 + 30, 7 * 60} {
			synctest.Test(t, func(t *testing.T) {
				p := creditPool(queue.CreditAlways)
				if p.credit.settings.From = from; from == 7*60 {
					p.credit.settings.To = 6*60 + 59
				}
				at := asksEach(10*time.Minute, p, 93*24*time.Hour, []SIM{s}, func(SIM) queue.CreditReading { return reading })[s.ICCID]
				require.Greater(t, len(at), 10, name)
				for i := 5; i < len(at); i++ {
					require.Greater(t, at[i].Sub(at[i-5]), 31*24*time.Hour, "%s: %v", name, at)
				}
			})
		}
	}
}

// A code of one's own is one's own affair, unless it is the one that is charged for.
func TestTheSameCodeCostsTheSame(t *testing.T) {
	p := creditPool(queue.CreditAlways)
	s := SIM{ICCID: "8934031", IMSI: "214030000000001"}
	for code, every := range map[string]time.Duration{"*111#": 7 * 24 * time.Hour, "*112#": 24 * time.Hour} {
		p.credit.settings.Rules = []queue.CreditRule{{SIM: s.ICCID, Code: code, Pattern: `(?P<amount>[0-9,]+)`}}
		require.Equal(t, every, p.credit.way(s).Every, code)
	}
}

// The clock that nobody can set tells when it was, also before the time of day is known.
func TestAnUnknownTimeOfDayMakesNoQuestionDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := SIM{ICCID: "8934031", IMSI: "214030000000001"}
		p := creditPool(queue.CreditAlways)
		c := p.credit.of(s.ICCID)
		for wrong, untrusted := range map[time.Duration]bool{-9 * 365 * 24 * time.Hour: true, 9 * 365 * 24 * time.Hour: true, 0: false} {
			p.clock = steadyClock{bubbleClock{untrusted}, wrong}
			c.AskedAt, c.Stop = time.Now().Add(-6*24*time.Hour), queue.CreditRead
			at, ok := p.dueLocked(c, s, p.credit.way(s))
			require.True(t, ok)
			require.Equal(t, p.clock.Now().Add(24*time.Hour), at)
		}
	})
}

// steadyClock's time of day is wrong, and its steady time is not.
type steadyClock struct {
	bubbleClock
	wrong time.Duration
}

func (c steadyClock) Now() time.Time    { return time.Now().Add(c.wrong) }
func (c steadyClock) Steady() time.Time { return time.Now() }
func (c steadyClock) Instant() (now, steady time.Time, boot int64, trusted, firm bool) {
	return c.Now(), c.Steady(), 1, c.Trusted(), c.Trusted()
}

func gaps(at []time.Time) (list []time.Duration) {
	for i := 1; i < len(at); i++ {
		list = append(list, at[i].Sub(at[i-1]))
	}
	return list
}

// A top-up is looked for ever less often, by day and by night.
func TestATopUpIsLookedForLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := twoSIMs[0]
		at := asks(creditPool(queue.CreditAlways), 30*time.Hour, []SIM{s}, func(SIM) queue.CreditReading { return queue.CreditReading{Known: true} })
		require.Equal(t, []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 6 * time.Hour, 6 * time.Hour, 6 * time.Hour}, gaps(at[s.ICCID]))
	})
}

// Of an operator that charges for it once a week: what is free in a month is no more.
func TestATopUpOfAnOperatorThatCharges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := SIM{ICCID: "8934031", IMSI: "214030000000001"}
		at := asks(creditPool(queue.CreditAlways), 29*24*time.Hour, []SIM{s}, func(SIM) queue.CreditReading { return queue.CreditReading{Known: true} })
		require.Len(t, at[s.ICCID], 5)
		for _, gap := range gaps(at[s.ICCID]) {
			require.GreaterOrEqual(t, gap, 7*24*time.Hour)
			require.Less(t, gap, 7*24*time.Hour+2*time.Minute)
		}
	})
}

// What comes to nothing is tried again with growing pauses; an answer that cannot
// be read, on the next day.
func TestAQuestionThatFailsIsPutLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := twoSIMs[0]
		at := asks(creditPool(queue.CreditAlways), 12*time.Hour, []SIM{s}, func(SIM) queue.CreditReading { return queue.CreditReading{Error: balanceNoAnswer} })
		require.Equal(t, []time.Duration{10 * time.Minute, 20 * time.Minute, 40 * time.Minute, 80 * time.Minute, 160 * time.Minute, 320 * time.Minute}, gaps(at[s.ICCID]))
		at = asks(creditPool(queue.CreditAlways), 72*time.Hour, []SIM{s}, func(SIM) queue.CreditReading { return queue.CreditReading{Error: balanceUnreadable} })
		require.Equal(t, []time.Duration{24 * time.Hour, 24 * time.Hour}, gaps(at[s.ICCID]))
	})
}

// A person's own dialogue is left alone, and one question is put at a time.
func TestOneQuestionAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := creditPool(queue.CreditAlways)
		for _, s := range twoSIMs {
			_, _ = p.beginBalance(s, true)
		}
		time.Sleep(time.Hour)
		p.credit.personal(twoSIMs[0].ICCID)
		_, ok := p.beginBalance(twoSIMs[0], true)
		require.False(t, ok)
		_, ok = p.beginBalance(twoSIMs[1], true)
		require.True(t, ok)
		time.Sleep(personPause)
		_, ok = p.beginBalance(twoSIMs[0], true)
		require.False(t, ok, "the other one is being asked")
		p.endBalance()
		_, ok = p.beginBalance(twoSIMs[0], true)
		require.True(t, ok)
	})
}

// The rule for the SIM goes before the one for its network, and that before its
// operator's name.
func TestWhichRuleCounts(t *testing.T) {
	p := creditPool(queue.CreditConfirmed)
	s := SIM{ICCID: "8934071", IMSI: "214070000000001", Operator: "Movistar"}
	require.Equal(t, "*133#", p.credit.way(s).Code)
	rules := []queue.CreditRule{{Operator: "movi", Code: "*3#"}, {Network: "21407", Code: "*2#"}, {SIM: "8934071", Code: "*1#"}}
	for i, want := range []string{"*3#", "*2#", "*1#"} {
		p.credit.settings.Rules = rules[:i+1]
		w := p.credit.way(s)
		require.Equal(t, want, w.Code)
		require.True(t, w.trusted(), "it is somebody's own")
	}
	p.credit.settings.Rules = []queue.CreditRule{{SIM: "8934071"}}
	require.Empty(t, p.credit.way(s).Code)
}

// The list of what is never sent is looked at once more before the question: a rule
// may be older than the list, or have come with a restored database.
func TestAnOldRuleIsCheckedAgain(t *testing.T) {
	p := creditPool(queue.CreditAlways)
	for _, code := range []string{"*21*600123456#", "##002#", "AT"} {
		_, err := p.question(t.Context(), nil, CreditWay{Code: code}, time.Second)
		require.ErrorAs(t, err, new(*USSDRefusedError), code)
	}
}
