package queue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The model of the limits keeps every gate, and counts them anew each time, from
// their answers on. What the store claims must be what the model says, its gate must
// open when the model's does, and no window may ever have one too many.

type spent struct {
	attempt   int64
	open      bool      // not answered: it may count at any moment
	gate, at  time.Time // of the gate, and of the answer: steady
	day       string
	recipient string
	class     Class
}

type owing struct {
	seq      int64
	to       string
	class    Class
	sim      int // -1 anybody's
	segments int
	out      int
}

type payer struct {
	limits  []Limit
	reserve int
	reset   int
	gates   []spent
	// has is the message in hand, of which attempt is open; 0 none.
	has     *owing
	attempt int64
	lost    int64 // the last attempt whose answer may yet come
	doubted *owing
}

type purse struct {
	*box
	clock *calendarClock
	sims  [2]*payer
	queue []*owing
}

// used counts a window, and says whom it has in it.
func (p *purse) used(s *payer, w Window) (segments int, people map[string]bool) {
	people = map[string]bool{}
	for _, g := range s.gates {
		in := false
		switch w {
		case WindowMinute:
			in = g.open || p.clock.steady.Sub(g.at) <= time.Minute+slack
		case WindowHour:
			in = g.open || p.clock.steady.Sub(g.at) <= time.Hour+slack
		case WindowDay:
			in = g.day == day(p.clock.now)
		case WindowMonth:
			in = g.day >= month(p.clock.now, s.reset)
		}
		if in {
			segments++
			people[g.recipient] = true
		}
	}
	return segments, people
}

// allows says whether a SIM may send a message's next segment; begins: and whether
// it may take it.
func (p *purse) allows(s *payer, m *owing, begins bool) bool {
	for _, l := range s.limits {
		most, mostPeople := l.MaxSegments, l.MaxRecipients
		if m.class == Bulk {
			most, mostPeople = max(most*(100-s.reserve)/100, 1), max(mostPeople*(100-s.reserve)/100, 1)
		}
		used, people := p.used(s, l.Window)
		if l.MaxSegments > 0 {
			if used+1 > most {
				return false
			}
			calendar := l.Window == WindowDay || l.Window == WindowMonth
			if begins && calendar && m.out == 0 && used > 0 && used+m.segments > most {
				return false
			}
		}
		if l.MaxRecipients > 0 && !people[m.to] && len(people)+1 > mostPeople {
			return false
		}
	}
	return true
}

// next is what a SIM gets.
func (p *purse) next(i int) (best *owing) {
	for _, m := range p.queue {
		if m.sim >= 0 && m.sim != i || slices.ContainsFunc(p.sims[:], func(s *payer) bool { return s.has == m }) || !p.allows(p.sims[i], m, true) {
			continue
		}
		if best == nil || Lane(m.class) < Lane(best.class) || m.class == best.class && m.seq < best.seq {
			best = m
		}
	}
	return best
}

func (p *purse) submit(t *rapid.T) {
	m := &owing{to: fmt.Sprintf("+3460011100%d", rapid.IntRange(0, 4).Draw(t, "to")), sim: -1}
	m.class = rapid.SampledFrom(classesMixed).Draw(t, "class")
	r := Request{To: []string{m.to}, Class: m.class, ValidFor: maxValid, Delivery: AtMostOnce}
	if pinned := rapid.IntRange(0, 9).Draw(t, "pinned"); pinned < 2 {
		m.sim, r.SIM = pinned, line(pinned).ICCID
	}
	m.segments = rapid.SampledFrom([]int{1, 1, 1, 2, 3}).Draw(t, "segments")
	if r.Text = "x"; m.segments > 1 {
		r.Text = strings.Repeat("x", 153*m.segments)
	}
	if rapid.Bool().Draw(t, "scheduled") {
		r.SendAt = p.clock.now.Add(time.Second)
	}
	got := p.box.submit(r)
	require.Len(t, got.Segments, m.segments)
	m.seq = got.Seq
	if !r.SendAt.IsZero() {
		p.clock.pass(time.Second)
		p.wake()
	}
	// Nobody prefers a SIM in this model.
	p.raw(`UPDATE message SET sim = wish, prefer_until = 0 WHERE prefer_until > 0`)
	p.raw(`UPDATE message SET expires_at = 1e14 WHERE seq = ?`, m.seq)
	p.queue = append(p.queue, m)
}

func (p *purse) take(t *rapid.T, i int) {
	s := p.sims[i]
	if s.has != nil {
		return
	}
	want := p.next(i)
	c := p.claimed(line(i))
	if want == nil {
		require.Nil(t, c, "nothing may leave on %d", i)
		return
	}
	require.NotNil(t, c, "message %d (%s) may leave on %d", want.seq, want.class, i)
	require.Equal(t, want.seq, c.Message.Seq)
	require.Equal(t, want.out, c.Next)
	s.has = want
}

// gate opens what was claimed; or, whoever claims it, the model says no.
func (p *purse) gate(t *rapid.T, i int) {
	s := p.sims[i]
	if s.has == nil || s.attempt != 0 {
		return
	}
	a, err := p.Gate(context.Background(), line(i), s.has.seq, s.has.out+1)
	if !p.allows(s, s.has, false) {
		require.ErrorIs(t, err, ErrLimit)
		require.NoError(t, p.Unclaim(context.Background(), line(i).ICCID, s.has.seq, Outcome{Retry: true}))
		s.has = nil
		return
	}
	require.NoError(t, err)
	s.attempt = a
	s.gates = append(s.gates, spent{attempt: a, open: true, gate: p.clock.steady, day: day(p.clock.now), recipient: s.has.to, class: s.has.class})
	p.check(t, s)
}

// check looks at the windows that end with the last gate. A limit that was lowered
// since may have been passed by whom the SIM texts again.
func (p *purse) check(t *rapid.T, s *payer) {
	last := s.gates[len(s.gates)-1]
	p.network(t, s)
	for _, l := range s.limits {
		used, people := p.used(s, l.Window)
		if l.MaxSegments > 0 {
			require.LessOrEqual(t, used, l.MaxSegments, l.Window)
			if last.class == Bulk {
				require.LessOrEqual(t, used, max(l.MaxSegments*(100-s.reserve)/100, 1), "bulk in the %s", l.Window)
			}
		}
		before := &payer{gates: s.gates[:len(s.gates)-1], reset: s.reset}
		if _, known := p.used(before, l.Window); l.MaxRecipients > 0 && !known[last.recipient] {
			require.LessOrEqual(t, len(people), l.MaxRecipients, l.Window)
		}
	}
}

// network looks at what slides as the network counts, at its worst: this one at its
// gate, and those before it when they were answered.
func (p *purse) network(t *rapid.T, s *payer) {
	last := s.gates[len(s.gates)-1]
	for _, l := range s.limits {
		span := map[Window]time.Duration{WindowMinute: time.Minute, WindowHour: time.Hour}[l.Window]
		if span == 0 || l.MaxSegments == 0 {
			continue
		}
		n := 1
		for _, g := range s.gates[:len(s.gates)-1] {
			if last.gate.Sub(g.at) < span {
				n++
			}
		}
		require.LessOrEqual(t, n, l.MaxSegments, "%s, as the network counts", l.Window)
	}
}

// answered dates a gate by its answer. One that others have followed stays before
// them.
func (p *purse) answered(s *payer, attempt int64) {
	i := slices.IndexFunc(s.gates, func(g spent) bool { return g.attempt == attempt })
	g := &s.gates[i]
	g.open, g.at, g.day = false, p.clock.steady, max(g.day, day(p.clock.now))
	for _, next := range s.gates[i+1:] {
		if !next.open && next.at.Before(g.at) {
			g.at = next.at
		}
	}
}

// late is the answer that was thought lost. What there is more of the message goes on.
func (p *purse) late(t *rapid.T, i int) {
	s := p.sims[i]
	j := slices.IndexFunc(s.gates, func(g spent) bool { return g.attempt == s.lost })
	if j >= 0 && p.clock.steady.Sub(s.gates[j].gate) < time.Hour {
		p.outcome(s.lost, Outcome{Verdict: Accepted, MR: 0, At: p.clock.now})
		p.answered(s, s.lost)
		p.queue = append(p.queue, s.doubted)
		p.accepted(s.doubted, i)
	}
	s.lost, s.doubted = 0, nil
}

func (p *purse) answer(t *rapid.T, i int) {
	s := p.sims[i]
	if s.attempt == 0 {
		return
	}
	m := s.has
	p.answered(s, s.attempt)
	switch rapid.SampledFrom([]string{"accepted", "accepted", "accepted", "not sent", "rejected", "lost"}).Draw(t, "answer") {
	case "accepted":
		p.outcome(s.attempt, Outcome{Verdict: Accepted, MR: 0, At: p.clock.now})
		p.accepted(m, i)
	case "not sent":
		p.outcome(s.attempt, Outcome{Verdict: NotSent, MR: -1, Retry: true, At: p.clock.now})
		s.gates = slices.DeleteFunc(s.gates, func(g spent) bool { return g.attempt == s.attempt })
	case "rejected":
		p.outcome(s.attempt, Outcome{Verdict: Rejected, MR: -1, Reason: "rejected", At: p.clock.now})
		p.forget(m)
	case "lost":
		o := lost()
		o.At = p.clock.now
		p.outcome(s.attempt, o)
		p.forget(m)
		s.lost, s.doubted = s.attempt, m
	}
	s.has, s.attempt = nil, 0
}

// accepted: the network has a message's next segment from a SIM, which is to send
// the others too.
func (p *purse) accepted(m *owing, i int) {
	if m.out++; m.out == m.segments {
		p.forget(m)
	} else {
		m.sim = i
	}
}

func (p *purse) forget(m *owing) {
	p.queue = slices.DeleteFunc(p.queue, func(other *owing) bool { return other == m })
}

// dies ends the program at any point: open attempts lose their answers, claims end.
func (p *purse) dies(t *rapid.T) {
	require.NoError(t, p.db.Close())
	p.box.open()
	for _, s := range p.sims {
		if s.attempt != 0 {
			p.forget(s.has)
			p.answered(s, s.attempt)
		}
		s.has, s.attempt = nil, 0
	}
}

func (p *purse) choose(t *rapid.T, i int) {
	s := p.sims[i]
	s.limits = nil
	for _, w := range Windows {
		if rapid.IntRange(0, 2).Draw(t, "has") == 0 {
			continue
		}
		top := map[Window]int{WindowMinute: 4, WindowHour: 8, WindowDay: 12, WindowMonth: 16}[w]
		l := Limit{Window: w, MaxSegments: rapid.IntRange(0, top).Draw(t, "segments"), MaxRecipients: rapid.IntRange(0, 5).Draw(t, "recipients")}
		s.limits = append(s.limits, l)
	}
	s.reserve = rapid.SampledFrom([]int{0, 20, 50}).Draw(t, "reserve")
	limits := slices.Clone(s.limits)
	if limits == nil {
		limits = []Limit{}
	}
	require.NoError(t, p.SetLimits(context.Background(), line(i).ICCID, LimitsPatch{Limits: &limits, ReservePercent: &s.reserve}))
}

// room says of the store's Room that it agrees.
func (p *purse) room(t *rapid.T, i int) {
	s := p.sims[i]
	got := p.limitsOf(line(i))
	for w, l := range got.Limits {
		kept := w >= daily || l.MaxSegments > 0 || l.MaxRecipients > 0
		used, people := p.used(s, l.Window)
		if kept {
			require.Equal(t, used, l.UsedSegments, l.Window)
		}
		if kept {
			require.Equal(t, len(people), l.UsedRecipients, l.Window)
		}
	}
	for lane, class := range classesMixed {
		want := p.allows(s, &owing{to: "nobody", class: class, segments: 1}, true)
		require.Equal(t, want, got.Room.Segments[lane] > 0 && got.Room.Recipients[lane] > 0, "%s %+v", class, got.Room)
	}
	if until := got.Room.Until; !until.IsZero() {
		require.True(t, until.After(p.clock.steady))
	}
}

// copies gives boxes that are copies of an empty one, which is quicker than to make
// each.
func copies(t *testing.T) func() *box {
	model := newBox(t)
	require.NoError(t, model.db.Close())
	empty, err := os.ReadFile(model.path)
	require.NoError(t, err)
	run := 0
	return func() *box {
		run++
		b := &box{t: t, path: fmt.Sprintf("%s.%d", model.path, run), clock: newClock()}
		require.NoError(t, os.WriteFile(b.path, empty, 0o600))
		b.open()
		return b
	}
}

func TestLimitsAreExact(t *testing.T) {
	zone(t, madrid(t))
	fresh := copies(t)
	rapid.Check(t, func(rt *rapid.T) {
		b := fresh()
		defer func() { require.NoError(t, b.db.Close()) }()
		t := rt
		p := &purse{box: b, clock: &calendarClock{now: time.Date(2026, 10, 24, 20, 0, 0, 0, time.UTC), steady: time.Unix(1e9, 0), trusted: true, firms: true}}
		p.by(p.clock)
		p.known(line(0), line(1))
		for i := range p.sims {
			p.sims[i] = &payer{reset: rapid.SampledFrom([]int{1, 25, 31}).Draw(t, "reset")}
			require.NoError(t, p.SetLimits(context.Background(), line(i).ICCID, LimitsPatch{ResetDay: &p.sims[i].reset}))
			p.choose(t, i)
		}
		sim := func(t *rapid.T) int { return rapid.IntRange(0, 1).Draw(t, "sim") }
		t.Repeat(map[string]func(*rapid.T){
			"submit": p.submit, "submits": func(t *rapid.T) { p.submit(t); p.submit(t) },
			"claim": func(t *rapid.T) { p.take(t, sim(t)) }, "gate": func(t *rapid.T) { p.gate(t, sim(t)) },
			"answer": func(t *rapid.T) { p.answer(t, sim(t)) }, "late": func(t *rapid.T) { p.late(t, sim(t)) },
			"send": func(t *rapid.T) {
				i := sim(t)
				p.take(t, i)
				p.gate(t, i)
				p.answer(t, i)
			},
			"seconds": func(t *rapid.T) {
				p.clock.pass(time.Duration(rapid.IntRange(1, 61_000).Draw(t, "ms")) * time.Millisecond)
			},
			"hours": func(t *rapid.T) { p.clock.pass(time.Duration(rapid.IntRange(1, 70).Draw(t, "minutes")) * time.Minute) },
			"day":   func(t *rapid.T) { p.clock.pass(12 * time.Hour) },
			"kill":  p.dies, "limits": func(t *rapid.T) { p.choose(t, sim(t)) }, "room": func(t *rapid.T) { p.room(t, sim(t)) },
			"wake": func(*rapid.T) { p.wake() },
		})
	})
}

// sinceItBegan counts all that was sent since the clock was first seen in the window that
// the last one is in, or after it: it may never have left it, whatever it said since.
// fresh: nobody of them had its recipient.
func sinceItBegan(gates []spent, w Window) (segments, people int, fresh bool) {
	last := gates[len(gates)-1]
	first := func(d string) string { // of its window
		if w == WindowMonth {
			return d[:len("2006-01")]
		}
		return d
	}
	begun := slices.IndexFunc(gates, func(g spent) bool { return g.day != unknownDay && first(g.day) >= first(last.day) })
	who := map[string]int{}
	for _, g := range gates[begun:] {
		who[g.recipient]++
	}
	return len(gates) - begun, len(who), who[last.recipient] == 1
}

// TestLimitsHoldWhateverTheClock jumps the time of day to and fro: what slides is
// exact by the steady clock, and no day or month has one too many since the trusted clock
// was first in it, wherever it has been meanwhile.
func TestLimitsHoldWhateverTheClock(t *testing.T) {
	zone(t, time.UTC)
	fresh := copies(t)
	rapid.Check(t, func(rt *rapid.T) {
		b := fresh()
		defer func() { require.NoError(t, b.db.Close()) }()
		t := rt
		c := &calendarClock{now: time.Date(2026, 10, 30, 20, 0, 0, 0, time.UTC), steady: time.Unix(1e9, 0), trusted: true, firms: true}
		b.by(c)
		l := line(1)
		b.known(l)
		limits := []Limit{{WindowMinute, rapid.IntRange(1, 4).Draw(t, "minute"), 0}, {WindowDay, rapid.IntRange(1, 6).Draw(t, "day"), 2}, {WindowMonth, 9, 3}}
		require.NoError(t, b.SetLimits(context.Background(), l.ICCID, LimitsPatch{Limits: &limits}))
		var gates []spent
		base, offset := c.now, time.Duration(0)
		moved := func() { c.now = base.Add(c.steady.Sub(time.Unix(1e9, 0)) + offset) }
		unknown := 0 // since the last time that the day was known
		send := func(t *rapid.T) {
			for range 3 {
				b.submit(Request{To: []string{fmt.Sprintf("+3460011100%d", rapid.IntRange(0, 3).Draw(t, "to"))}, Class: OTP, ValidFor: maxValid})
			}
			m, err := b.Claim(context.Background(), l)
			require.NoError(t, err)
			if m == nil {
				b.raw(`DELETE FROM message WHERE state = 'queued'`)
				return
			}
			a, err := b.Gate(context.Background(), m.Line, m.Message.Seq, 1)
			b.raw(`DELETE FROM message WHERE state = 'queued' AND claimed_by = ''`)
			if err != nil {
				require.True(t, errors.Is(err, ErrLimit), err)
				return
			}
			b.outcome(a, Outcome{Verdict: Accepted, MR: 0, At: c.now})
			g := spent{attempt: a, at: c.steady, day: unknownDay, recipient: m.Message.To}
			if c.firms {
				g.day = day(c.now)
			} else {
				unknown++
			}
			gates = append(gates, g)
			sliding := 0
			for _, o := range gates {
				if c.steady.Sub(o.at) <= time.Minute {
					sliding++
				}
			}
			require.LessOrEqual(t, sliding, limits[0].MaxSegments)
			if c.firms {
				for _, l := range limits[1:] {
					used, people, fresh := sinceItBegan(gates, l.Window)
					require.LessOrEqual(t, used, l.MaxSegments, l.Window)
					if fresh { // on two days there may have been more, who are texted again
						require.LessOrEqual(t, people, l.MaxRecipients, l.Window)
					}
				}
			}
			require.LessOrEqual(t, unknown, limits[1].MaxSegments, "while nobody knows the day, all of it is one")
		}
		set := func(hours int) {
			offset = time.Duration(hours) * time.Hour
			moved()
		}
		t.Repeat(map[string]func(*rapid.T){
			"send": send,
			"a day back and again": func(t *rapid.T) {
				for _, hours := range []int{0, -24, 0} {
					set(hours)
					for range 3 {
						send(t)
						c.pass(time.Minute + 2*time.Second)
					}
				}
			},
			"seconds": func(t *rapid.T) { c.pass(time.Duration(rapid.IntRange(1, 61_000).Draw(t, "ms")) * time.Millisecond) },
			"set": func(t *rapid.T) {
				set(rapid.IntRange(-24, 24).Draw(t, "hours"))
			},
			"hours": func(t *rapid.T) { c.pass(time.Duration(rapid.IntRange(1, 30).Draw(t, "hours")) * time.Hour) },
			"doubt": func(t *rapid.T) {
				c.trusted = rapid.Bool().Draw(t, "trusted")
				firms := c.trusted && rapid.Bool().Draw(t, "firm")
				if firms && !c.firms {
					unknown = 0
				}
				c.firms = firms
			},
			"kill": func(t *rapid.T) {
				require.NoError(t, b.db.Close())
				b.open()
			},
			"wake": func(*rapid.T) { b.wake() },
		})
	})
}
