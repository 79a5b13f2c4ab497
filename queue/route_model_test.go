package queue

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// pen is a message as the property knows it: nothing of SQL.
type pen struct {
	to, key, wish string
	class         Class
	by            string // the SIM on which a segment of it has left, or may have; "" none
	doubt         bool
}

// pool is the simplest that uses the store as the real one does: lines that offer
// what OnRoutes has told, and that claim, open gates and tell outcomes.
type pool struct {
	*box
	rt    *rapid.T
	sims  []string
	known map[int64]*pen
	rules []Route // as they were given, in order
	held  map[string]*Claimed
	open  map[string]int64 // attempts
}

// want is the route that should hold, told again without the store's tables: the
// property's routes have prefixes, classes and keys only.
func (p *pool) want(m *pen) *Route {
	for i := range p.rules {
		r := &p.rules[i]
		if r.Enabled && (len(r.Classes) == 0 || slices.Contains(r.Classes, m.class)) && (len(r.Keys) == 0 || slices.Contains(r.Keys, m.key)) &&
			(len(r.Prefixes) == 0 || slices.ContainsFunc(r.Prefixes, func(s string) bool { return strings.HasPrefix(m.to, s) })) {
			return r
		}
	}
	return nil
}

func (p *pool) draw(name string, n int) int { return rapid.IntRange(0, n-1).Draw(p.rt, name) }

func (p *pool) line() Line { return line(p.draw("line", len(p.sims)) + 1) }

func (p *pool) submitOne() {
	m := &pen{to: fmt.Sprintf("+3460011122%d", p.draw("to", 6)), key: []string{"", "shop"}[p.draw("key", 2)], class: classesMixed[p.draw("class", 4)]}
	if p.draw("asks for a SIM", 5) == 0 {
		m.wish = p.sims[p.draw("wish", len(p.sims))]
	}
	r := Request{To: []string{m.to}, Text: "Hola", Class: m.class, KeyID: m.key, SIM: m.wish}
	if p.draw("long", 4) == 0 {
		r.Text = strings.Repeat("largo ", 60)
	}
	if p.draw("later", 5) == 0 {
		r.SendAt = p.clock.Now().Add(time.Duration(p.draw("in", 90)+1) * time.Second)
	}
	p.known[p.submit(r).Seq] = m
}

// claim takes the next for a line, and checks that it may have it.
func (p *pool) claim(l Line) {
	if p.held[l.ICCID] != nil {
		return
	}
	c := p.claimed(p.offer(l))
	if c == nil {
		return
	}
	m := p.known[c.Message.Seq]
	for sim, other := range p.held {
		require.NotEqual(p.rt, c.Message.Seq, other.Message.Seq, "%s has it too", sim)
	}
	switch r := p.want(m); {
	case m.wish != "":
		require.Equal(p.rt, m.wish, l.ICCID, "off the SIM that was asked for")
	case m.by != "" && len(c.Message.Segments) > 1:
		require.Equal(p.rt, m.by, l.ICCID, "on two SIMs")
	case r != nil:
		require.True(p.rt, r.Allows(l.ICCID), "message %d to %s off its route %q; it is in bucket %d", c.Message.Seq, m.to, r.Name, c.Message.Bucket)
	}
	p.held[l.ICCID] = c
}

// send goes on with what a line has: the gate, or the outcome.
func (p *pool) send(l Line) {
	ctx := context.Background()
	c := p.held[l.ICCID]
	if c == nil {
		return
	}
	m := p.known[c.Message.Seq]
	if p.open[l.ICCID] == 0 {
		if p.draw("given back", 6) == 0 {
			o := Outcome{Retry: true}
			if p.draw("refused", 2) == 0 {
				o.AvoidSIM, o.Code = true, "cms_331"
			}
			require.NoError(p.rt, p.Unclaim(ctx, l.ICCID, c.Message.Seq, o))
			delete(p.held, l.ICCID)
			return
		}
		a, err := p.Gate(ctx, c.Line, c.Message.Seq, c.Next+1)
		if err != nil { // expired meanwhile
			require.ErrorIs(p.rt, err, ErrNotClaimed)
			delete(p.held, l.ICCID)
			return
		}
		p.open[l.ICCID] = a
		return
	}
	o := accepted(p.draw("mr", 256))
	switch p.draw("outcome", 6) {
	case 0:
		o = lost()
		m.by, m.doubt = l.ICCID, true
	case 1:
		o = Outcome{Verdict: Rejected, MR: -1, Code: "cms_331", Class: "network", Retry: true, AvoidSIM: true}
	default:
		m.by = l.ICCID
	}
	p.outcome(p.open[l.ICCID], o)
	delete(p.held, l.ICCID)
	delete(p.open, l.ICCID)
}

// rule changes the routes.
func (p *pool) rule() {
	ctx := context.Background()
	i := p.draw("which", len(p.rules)+1)
	if i == len(p.rules) || len(p.rules) < 2 {
		if len(p.rules) == 5 {
			return
		}
		r := Route{Name: fmt.Sprint("r", p.draw("name", 1_000_000)), Position: p.draw("position", len(p.rules)+1) + 1}
		if slices.ContainsFunc(p.rules, func(o Route) bool { return o.Name == r.Name }) {
			return
		}
		p.vary(&r)
		got, err := p.AddRoute(ctx, r)
		require.NoError(p.rt, err)
		require.Equal(p.rt, r.Position, got.Position)
		p.rules = slices.Insert(p.rules, got.Position-1, got)
		return
	}
	switch p.draw("change", 4) {
	case 0:
		require.NoError(p.rt, p.DeleteRoute(ctx, p.rules[i].ID))
		p.rules = slices.Delete(p.rules, i, i+1)
	case 1:
		r := p.rules[i]
		to := p.draw("to position", len(p.rules))
		require.NoError(p.rt, p.MoveRoute(ctx, r.ID, to+1))
		p.rules = slices.Insert(slices.Delete(p.rules, i, i+1), to, r)
	default:
		r := p.rules[i]
		r.Position = 0
		p.vary(&r)
		got, err := p.UpdateRoute(ctx, r)
		require.NoError(p.rt, err)
		p.rules[i] = got
	}
}

func (p *pool) vary(r *Route) {
	r.Enabled = p.draw("enabled", 4) > 0
	r.Fallback = FallbackWait
	r.Prefixes, r.Classes, r.Keys, r.SIMs = nil, nil, nil, nil
	if p.draw("by prefix", 2) == 0 {
		r.Prefixes = []string{fmt.Sprintf("+3460011122%d", p.draw("prefix", 6))}
	}
	if p.draw("by class", 2) == 0 {
		r.Classes = []Class{classesMixed[p.draw("of class", 4)]}
	}
	if p.draw("by key", 4) == 0 {
		r.Keys = []string{"shop"}
	}
	for i, sim := range p.sims {
		if len(r.SIMs) == 0 && i == len(p.sims)-1 || p.draw("has SIM", 2) == 0 {
			r.SIMs = append(r.SIMs, RouteSIM{ICCID: sim, Weight: 1})
		}
	}
}

// TestNothingLeavesOffItsRoute: whatever is submitted, sent, refused, let go, and
// however the rules change and the program ends meanwhile, a message leaves on a SIM
// that was asked for, or of its route, which waits; a long one on one SIM only; and
// none is forgotten: when the lines go on, all of it leaves.
func TestNothingLeavesOffItsRoute(t *testing.T) {
	begin := newBox(t) // once: to make a database takes the longest
	sims := begin.sees(3)
	for i := range 6 {
		begin.wrote(fmt.Sprintf("+3460011122%d", i), sims[i%3])
	}
	require.NoError(t, begin.db.Close())
	empty, err := os.ReadFile(begin.path)
	require.NoError(t, err)
	dir, run := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		b := &box{t: t, path: fmt.Sprintf("%s/%d.db", dir, run), clock: newClock()}
		require.NoError(t, os.WriteFile(b.path, empty, 0o600))
		b.open()
		defer func() { require.NoError(t, b.db.Close()) }()
		p := &pool{box: b, rt: rt, sims: sims, known: map[int64]*pen{}, held: map[string]*Claimed{}, open: map[string]int64{}}
		ctx := context.Background()
		for range rapid.IntRange(5, 40).Draw(rt, "steps") {
			switch p.draw("step", 13) {
			case 0, 1, 2:
				p.submitOne()
			case 3, 4, 5:
				p.claim(p.line())
			case 6, 7, 8:
				p.send(p.line())
			case 9, 10:
				p.rule()
			case 11:
				b.clock.forward(time.Duration(p.draw("seconds", 40)) * time.Second)
				b.wake()
			case 12:
				if p.draw("let go", 3) > 0 {
					_, err := b.LetGo(ctx, p.line().ICCID)
					require.NoError(rt, err)
					break
				}
				for sim := range p.open { // its answer is lost
					m := p.known[p.held[sim].Message.Seq]
					m.by, m.doubt = sim, true
				}
				clear(p.held)
				clear(p.open)
				b.restart()
			}
		}
		p.drain()
	})
}

// drain lets the lines go on until nothing is left to send.
func (p *pool) drain() {
	for sim := range p.held {
		if p.open[sim] == 0 {
			require.NoError(p.rt, p.Unclaim(context.Background(), sim, p.held[sim].Message.Seq, Outcome{Retry: true}))
		} else {
			p.outcome(p.open[sim], accepted(1))
			p.known[p.held[sim].Message.Seq].by = sim
		}
	}
	clear(p.held)
	clear(p.open)
	idle := 0
	for idle < 3 {
		p.wake()
		none := true
		for i := range p.sims {
			l := line(i + 1)
			for {
				p.claim(l)
				c := p.held[l.ICCID]
				if c == nil {
					break
				}
				none = false
				a, err := p.Gate(context.Background(), c.Line, c.Message.Seq, c.Next+1)
				require.NoError(p.rt, err)
				p.outcome(a, accepted(p.draw("mr", 256)))
				p.known[c.Message.Seq].by = l.ICCID
				delete(p.held, l.ICCID)
			}
		}
		idle++
		if !none {
			idle = 0
		}
		p.clock.forward(avoidFor + time.Second) // patience, back-offs and windows are over
	}
	for seq, m := range p.known {
		var state State
		require.NoError(p.rt, p.db.Read().QueryRow(`SELECT state FROM message WHERE seq = ?`, seq).Scan(&state))
		require.NotContains(p.rt, []State{Queued, Sending, Scheduled}, state, "message %d to %s is forgotten; its route is %v", seq, m.to, p.want(m))
	}
}
