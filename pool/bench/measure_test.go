package bench

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
)

// figures are what one driver did with one site.
type figures struct {
	driver  string
	modems  int
	latency time.Duration

	used       float64       // share of modems ÷ latency, 0–1
	toCommand  spread        // from a modem's answer to the next AT+CMGS
	toCtrlZ    spread        // … and to the next Ctrl-Z
	commands   float64       // a message
	octets     float64       // a message, both ways
	first      time.Duration // from the program's start to the first Ctrl-Z
	jain       float64
	messages   int // answered while it was measured
	cpu        time.Duration
	rss, pss   int64
	of         float64 // share of the perfect driver's used
	unanswered int     // modems that had nothing to do with it
}

// spread is of a time: the middle and the worst in a hundred.
type spread struct{ p50, p99 time.Duration }

func spreadOf(all []time.Duration) (s spread) {
	if len(all) == 0 {
		return s
	}
	slices.Sort(all)
	return spread{all[len(all)/2], all[len(all)*99/100]}
}

// measure looks at the time from begin to end. A modem is used while the network is at
// work for it, from Ctrl-Z on for the latency: so a window that cuts a submission in
// two counts its part.
func measure(names []string, all []emulator.Timing, latency time.Duration, begin, end time.Time) (f figures) {
	f.latency, f.modems = latency, len(names)
	busy := make(map[string]time.Duration)
	last := make(map[string]time.Time)
	var toCommand, toCtrlZ []time.Duration
	commands, octets := 0, 0
	var first time.Time
	for _, x := range all {
		if first.IsZero() || x.CtrlZ.Before(first) {
			first = x.CtrlZ
		}
		from, to := x.CtrlZ, x.CtrlZ.Add(latency)
		if from.Before(begin) {
			from = begin
		}
		if to.After(end) {
			to = end
		}
		if to.After(from) && x.Accepted {
			busy[x.Modem] += to.Sub(from)
		}
		before, known := last[x.Modem]
		last[x.Modem] = x.Answer
		if x.Answer.Before(begin) || x.Answer.After(end) {
			continue
		}
		f.messages++
		commands += x.Commands
		octets += x.In + x.Out
		if known {
			toCommand = append(toCommand, x.Command.Sub(before))
			toCtrlZ = append(toCtrlZ, x.CtrlZ.Sub(before))
		}
	}
	sum, squares := 0.0, 0.0
	for _, name := range names {
		share := busy[name].Seconds() / end.Sub(begin).Seconds()
		sum, squares = sum+share, squares+share*share
		if share == 0 {
			f.unanswered++
		}
	}
	f.used = sum / float64(len(names))
	f.jain = math.NaN()
	if squares > 0 {
		f.jain = sum * sum / (float64(len(names)) * squares)
	}
	f.toCommand, f.toCtrlZ = spreadOf(toCommand), spreadOf(toCtrlZ)
	if f.messages > 0 {
		f.commands, f.octets = float64(commands)/float64(f.messages), float64(octets)/float64(f.messages)
	}
	return f
}

// The arithmetic, on two modems of which one works half as much as the other.
func TestMeasure(t *testing.T) {
	zero := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(s float64) time.Time { return zero.Add(time.Duration(s * float64(time.Second))) }
	submission := func(modem string, ctrlZ float64) emulator.Timing {
		return emulator.Timing{Modem: modem, Command: at(ctrlZ - .03), Prompt: at(ctrlZ - .02), CtrlZ: at(ctrlZ), Answer: at(ctrlZ + 2.01),
			Accepted: true, Commands: 2, In: 100, Out: 20}
	}
	var all []emulator.Timing
	for i := range 10 {
		all = append(all, submission("a", 2.1*float64(i)))
		if i%2 == 0 {
			all = append(all, submission("b", 2.1*float64(i)))
		}
	}
	f := measure([]string{"a", "b"}, all, 2*time.Second, at(3), at(3+2*4.2))
	require.InDelta(t, (2/2.1+2/4.2)/2, f.used, 1e-9)
	require.InDelta(t, 1.5*1.5/(2*1.25), f.jain, 1e-9)
	require.Equal(t, 60*time.Millisecond, f.toCommand.p50.Round(time.Millisecond))
	require.Equal(t, 90*time.Millisecond, f.toCtrlZ.p50.Round(time.Millisecond))
	require.InDelta(t, 2, f.commands, 1e-9)
	require.InDelta(t, 120, f.octets, 1e-9)
	require.Zero(t, f.unanswered)

	all[2].Accepted = false // b's second: refused is not used
	g := measure([]string{"a", "b", "c"}, all[:3], 2*time.Second, at(0), at(2.1))
	require.Equal(t, 1, g.unanswered)
	require.True(t, math.IsNaN(measure([]string{"a"}, nil, time.Second, at(0), at(1)).jain))
}
