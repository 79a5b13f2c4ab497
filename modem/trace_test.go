package modem

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/at"
)

// tape feeds a recorder: "> AT" is written, anything else is heard.
type tape struct {
	traceRing
	now time.Time
}

func (p *tape) play(lines ...string) {
	for _, l := range lines {
		p.now = p.now.Add(time.Second)
		rest, out := strings.CutPrefix(l, "> ")
		p.add(at.TraceEntry{At: p.now, Out: out, Line: rest})
	}
}

func (p *tape) said() []string {
	var list []string
	for _, e := range p.all() {
		list = append(list, e.Line)
	}
	return list
}

// TestTheRecorderReachesBackThroughAQuietDay: what was out of the ordinary hours
// ago is still there, what is asked every half minute has made room for it.
func TestTheRecorderReachesBackThroughAQuietDay(t *testing.T) {
	p := &tape{now: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)}
	p.play("> AT+CGMI", "Quectel", "OK", "> AT+CREG?", "+CREG: 2,1", "OK", "+CMTI: \"SM\",1")
	for i := range 24 * 120 {
		p.play("> AT+CSQ", fmt.Sprintf("+CSQ: %d,99", 10+i%20), "OK", "> AT+CREG?", "+CREG: 2,1", "OK")
		if i%2 == 0 {
			p.play("> AT+CMGL=4", "OK")
		}
		if i == 1000 {
			p.play("> AT+CREG?", "+CREG: 2,2", "OK")
		}
	}
	got := p.said()
	require.Less(t, len(got), recentLines+olderLines)
	require.Equal(t, []string{"AT+CGMI", "Quectel", "OK", "AT+CREG?", "+CREG: 2,1", "OK", `+CMTI: "SM",1`}, got[:7])
	require.Contains(t, got, "+CREG: 2,2", "hours ago")
	text := strings.Join(got, "\n")
	require.Regexp(t, `(?s)<\d{4} routine questions, answered as before>\nAT\+CREG\?\n\+CREG: 2,2`, text)
	require.Equal(t, p.lines(), p.all()[len(p.all())-recentLines:], "the last lines are as they were")
	for i := 1; i < len(got); i++ {
		require.False(t, p.all()[i].At.Before(p.all()[i-1].At), "in order: %s", got[i])
		if i > 50 {
			break
		}
	}
}

// TestTheRecorderIsBounded by a modem that chatters, with and without commands
// in between.
func TestTheRecorderIsBounded(t *testing.T) {
	p := &tape{}
	for i := range 50000 {
		p.play(fmt.Sprintf("^RSSI: %d", i))
	}
	for i := range 50000 {
		p.play(fmt.Sprintf("> AT+NEW%d?", i), "ERROR")
	}
	require.LessOrEqual(t, len(p.all()), recentLines+olderLines*5/4+2)
	require.LessOrEqual(t, len(p.answers), 100)
}

func TestTheRecorderKeepsTheDialogueBeforeACrash(t *testing.T) {
	p := &tape{}
	at := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	turn := func(from, to State, reason string) {
		p.follow(Snapshot{State: from}, Snapshot{State: to, Reason: reason, Since: at})
	}
	for i := range 200 {
		p.play(fmt.Sprint("> AT ", i))
	}
	turn(StateReady, StateSending, "")
	turn(StateSending, StateReady, "")
	turn(StateConfig, StateRecover, "never was ready")
	turn(StateReady, StateDisabled, "")
	require.Empty(t, p.crashes)
	for i := range crashesMost + 2 {
		p.play(fmt.Sprint("last words ", i))
		turn(StateSending, StateAbsent, fmt.Sprint("crash ", i))
	}
	require.Len(t, p.crashes, crashesMost)
	last := p.crashes[crashesMost-1]
	require.Equal(t, "crash 4", last.Reason)
	require.Equal(t, at, last.At)
	require.Len(t, last.Dialogue, crashLines)
	require.Equal(t, "last words 4", last.Dialogue[crashLines-1].Line)
	require.Equal(t, "last words 2", p.crashes[0].Dialogue[crashLines-1].Line)
}

func TestTheRecorderKnowsTheDomains(t *testing.T) {
	p := &tape{}
	p.play("> AT+CREG?", "+CREG: 2,0", "OK", "> AT+CGREG?", "+CGREG: 2,8,\"00C3\",\"0001\"", "OK", "> AT+CEREG?", "+CME ERROR: 4")
	require.Equal(t, Domains{CS: "not_registered", PS: "emergency", EPS: "refused"}, p.domains)
	p.play("> AT+CSQ", "+CREG: 1", "+CEREG: 5,\"00C3\",\"0001\",7", "+CSQ: 1,1", "OK", "ERROR")
	require.Equal(t, Domains{CS: "home", PS: "emergency", EPS: "roaming"}, p.domains)
	p.play("> AT+CEREG?", "ERROR")
	require.Equal(t, "roaming", p.domains.EPS, "a refusal in passing is not the word on what it knows")
}
