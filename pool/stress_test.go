package pool_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem"
	"recado/modem/emulator"
	"recado/pool"
	"recado/queue"
	"recado/queue/inbox"
)

const (
	stressModems = 16
	// stressCalm of them suffer nothing: what the storm costs the others is seen
	// on them.
	stressCalm   = 4
	stressEvents = 500
	stressLength = 1000 * time.Second
	// stressDaily is the share of that which is for every day.
	stressDaily = 3
	// backWithin is the promise: a line sends again so soon after its trouble has
	// ended, a submission whose answer is owed not counted.
	backWithin = 30 * time.Second
	owedWithin = 180 * time.Second
)

// TestStress: five hundred random troubles on sixteen modems, in the time of a
// synctest bubble. Every line is back in time, the others do not notice, what
// the pool says agrees with what the network has, and nothing leaks (a goroutine
// that is left ends the bubble with a panic).
//
// STRESS_RUNS sets how many seeds are run; without it a third of one, which is
// enough for every day.
func TestStress(t *testing.T) {
	runs, err := strconv.Atoi(cmp.Or(os.Getenv("STRESS_RUNS"), "0"))
	require.NoError(t, err, "STRESS_RUNS is a number")
	events, length := stressEvents, stressLength
	if runs == 0 {
		runs, events, length = 1, stressEvents/stressDaily, stressLength/stressDaily
	}
	before := descriptors(t)
	calm := weather(t, 0, 0, 100*time.Second)
	for seed := range uint64(runs) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			storm := weather(t, seed+1, events, length)
			require.GreaterOrEqual(t, storm, 0.95*calm, "messages a second on lines without trouble: %.3f, without the storm %.3f", storm, calm)
			t.Logf("lines without trouble: %.3f messages a second, without the storm %.3f", storm, calm)
		})
	}
	require.LessOrEqual(t, descriptors(t), before, "descriptors leak")
}

func descriptors(t *testing.T) int {
	list, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(list)
}

// log of what the network accepted, as it happens.
type acceptances struct {
	mu     sync.Mutex
	byText map[string][]emulator.Entry
	last   map[string]time.Time // by modem
	count  map[string]int
}

func (a *acceptances) Write(line []byte) (int, error) {
	var e emulator.Entry
	if err := json.Unmarshal(line, &e); err != nil {
		return 0, err
	}
	if e.Type == emulator.EntrySubmit && e.Accepted {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.byText[e.Text] = append(a.byText[e.Text], e)
		a.last[e.Modem] = time.Now()
		a.count[e.Modem]++
	}
	return len(line), nil
}

func (a *acceptances) since(modem string, t time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last[modem].After(t)
}

// stress is one run.
type stress struct {
	*rig
	t    *testing.T
	seen *acceptances
	rand *rand.Rand
	sent []queue.Message
	in   map[string]bool

	mu    sync.Mutex
	until map[int]context.CancelFunc // ends the watch for a modem's return
	slow  []string
	took  map[string][]time.Duration
}

// weather lets sixteen modems work for a while with that many troubles, checks
// all, and returns how many messages a second a line without trouble has sent.
func weather(t *testing.T, seed uint64, events int, length time.Duration) (rate float64) {
	synctest.Test(t, func(t *testing.T) {
		s := &stress{
			t: t, rand: rand.New(rand.NewPCG(seed, 16)), in: map[string]bool{},
			seen:  &acceptances{byText: map[string][]emulator.Entry{}, last: map[string]time.Time{}, count: map[string]int{}},
			until: map[int]context.CancelFunc{}, took: map[string][]time.Duration{},
		}
		s.rig = emptyRig(t, emulator.NetworkOptions{
			Latency: 2 * time.Second, LatencySigma: 0.2, CommandLatency: 10 * time.Millisecond, Baud: 115200,
			ReportDelay: 3 * time.Second, Seed: int64(seed), Ledger: s.seen,
		})
		families := emulator.Families()
		for i := range stressModems {
			o := emulator.ModemOptions{Name: name(i)}
			if i >= stressCalm && events > 0 {
				o.Family = families[i%len(families)]
			}
			m := s.net.AddModem(o)
			s.modems = append(s.modems, m)
			require.NoError(t, s.pool.Add(pool.Port{Name: fmt.Sprintf("emulated:%d", i+1), Open: m.Open, Emulated: true}))
		}
		s.feed()
		s.pass(time.Minute) // everything is up and busy
		from, start := s.calm(), time.Now()
		var wg sync.WaitGroup
		for range events {
			s.pass(time.Duration(s.rand.ExpFloat64() * float64(length) / float64(events)))
			s.feed()
			if i := stressCalm + s.rand.IntN(stressModems-stressCalm); s.free(i) {
				s.trouble(&wg, i)
			}
		}
		if events == 0 {
			for range int(length / time.Second) {
				s.pass(time.Second)
				s.feed()
			}
		}
		rate = float64(s.calm()-from) / stressCalm / time.Since(start).Seconds()
		over := make(chan struct{})
		go func() {
			defer close(over)
			wg.Wait()
		}()
		for busy := true; busy; s.feed() { // who comes back needs something to send
			select {
			case <-over:
				busy = false
			case <-time.After(time.Second):
			}
		}
		for name, d := range s.took {
			var most, sum time.Duration
			for _, one := range d {
				most, sum = max(most, one), sum+one
			}
			t.Logf("%-10s %3d times, back after %.1f s on average, %.1f at most", name, len(d), sum.Seconds()/float64(len(d)), most.Seconds())
		}
		for _, l := range s.slow {
			t.Error("too late: " + l)
		}
		s.settle()
		s.compare()
	})
	return rate
}

func name(i int) string { return fmt.Sprint("modem", i) }

func (s *stress) pass(d time.Duration) {
	t := time.NewTimer(d)
	<-t.C
	synctest.Wait()
}

// calm is how many messages the lines without trouble have sent.
func (s *stress) calm() (n int) {
	s.seen.mu.Lock()
	defer s.seen.mu.Unlock()
	for i := range stressCalm {
		n += s.seen.count[name(i)]
	}
	return n
}

// feed keeps the queue longer than the lines can empty it in a few seconds, and
// has somebody write to us now and then.
func (s *stress) feed() {
	depth, err := s.store.Depth(s.t.Context())
	require.NoError(s.t, err)
	waiting := 0
	for _, n := range depth[queue.Queued] {
		waiting += n
	}
	for ; waiting < 6*stressModems; waiting++ {
		i := len(s.sent)
		class := []queue.Class{queue.OTP, queue.Alert, queue.Normal, queue.Bulk}[i%4]
		to := number(i)
		if i%3 == 0 { // a report may be of the message before, to the same recipient
			to = number(i / 3 % 5)
		}
		s.sent = append(s.sent, s.submit(queue.Request{
			To: []string{to}, Text: fmt.Sprint("Aviso ", i), Class: class, ValidFor: 2 * time.Hour,
		})...)
	}
	if s.rand.IntN(4) == 0 {
		i := s.rand.IntN(stressModems)
		if s.pool.Modems()[i].Family == "quectel-ec200a" {
			return // what this firmware stores in ME before it is told otherwise nobody can read
		}
		m := s.modems[i]
		text := fmt.Sprint("entra ", len(s.in))
		s.in[text] = true
		require.NoError(s.t, s.net.Inbound(m.ICCID(), "+34600111222", text))
	}
}

// free says that a modem has no trouble at the moment.
func (s *stress) free(i int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	busy, watched := s.until[i]
	if watched && busy == nil {
		return false
	}
	if busy != nil {
		busy()
	}
	s.until[i] = nil
	return true
}

// trouble makes a modem suffer for a while, and watches it come back.
func (s *stress) trouble(wg *sync.WaitGroup, i int) {
	em := s.modems[i]
	d := time.Duration(300+s.rand.IntN(15000)) * time.Millisecond
	kinds := []string{"unplug", "hang", "wedge", "reboot", "garbage", "slow", "network"}
	kind := kinds[s.rand.IntN(len(kinds))]
	again := rand.New(rand.NewPCG(s.rand.Uint64(), 1))
	wg.Go(func() {
		switch kind {
		case "unplug":
			em.Unplug()
			s.sleep(d)
			em.Replug()
		case "hang": // it hears nothing, and what is open gets no answer
			em.Inject(emulator.Fault{Kind: emulator.FaultMute, Count: -1})
			em.Inject(emulator.Fault{Kind: emulator.FaultNeverCMGS, Count: -1})
			s.sleep(d)
		case "wedge": // it takes no octet
			em.Inject(emulator.Fault{Kind: emulator.FaultStuckReader})
			s.sleep(d)
		case "reboot":
			em.Reboot()
		case "garbage":
			em.Inject(emulator.Fault{Kind: emulator.FaultGarbage, Count: -1})
			for end := time.Now().Add(d); time.Now().Before(end); s.sleep(time.Duration(again.IntN(300)) * time.Millisecond) {
				junk := make([]byte, 1+again.IntN(40))
				for j := range junk {
					junk[j] = byte(again.IntN(256))
				}
				em.Say(string(junk), "")
			}
		case "slow":
			em.Inject(emulator.Fault{Kind: emulator.FaultSlow, Count: -1, Delay: time.Duration(1+again.IntN(8)) * time.Second})
			s.sleep(d)
		case "network":
			em.Inject(emulator.Fault{Kind: emulator.FaultRegistrationLost})
			s.sleep(d)
		}
		em.ClearFaults()
		ctx, cancel := context.WithCancel(s.t.Context())
		s.mu.Lock()
		s.until[i] = cancel
		s.mu.Unlock()
		wg.Go(func() {
			defer cancel()
			s.watch(ctx, kind, i)
		})
	})
}

func (s *stress) sleep(d time.Duration) {
	t := time.NewTimer(d)
	<-t.C
}

// watch measures how long a line takes to send again. While a submission is
// open that began before, its answer is owed, and that time has its own bound.
func (s *stress) watch(ctx context.Context, kind string, i int) {
	start := time.Now()
	var out, owed time.Duration
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !s.seen.since(name(i), start) {
		select {
		case <-ctx.Done():
			return // the next trouble has come first
		case <-tick.C:
		}
		m := s.pool.Modems()[i]
		if m.State == modem.StateUnknown || m.State == modem.StateSending && m.Since.Before(start) {
			owed += 100 * time.Millisecond
		} else {
			out += 100 * time.Millisecond
		}
		if out > backWithin || owed > owedWithin+backWithin {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.slow = append(s.slow, fmt.Sprintf("%s (%s) after %s, out %s, owed %s: %s %q %q", name(i), m.Family, kind, out, owed, m.State, m.Reason, m.LastError))
			h, _ := s.pool.History(m.ID)
			for _, e := range h[max(0, len(h)-25):] {
				s.t.Log(name(i), "H", e.At.Format("15:04:05.000"), e.Kind, e.Step, e.Text, e.Detail)
			}
			s.t.Log(name(i), "cause ended", start.Format("15:04:05.000"))
			for _, e := range s.tail(i) {
				s.t.Log(name(i), e)
			}
			return
		}
	}
	s.mu.Lock()
	s.took[kind] = append(s.took[kind], out)
	s.mu.Unlock()
}

// tail is the end of a modem's dialogue.
func (s *stress) tail(i int) (lines []string) {
	trace, err := s.pool.Trace(s.pool.Modems()[i].ID)
	if err != nil {
		return nil
	}
	for _, e := range trace[max(0, len(trace)-60):] {
		lines = append(lines, fmt.Sprint(e.At.Format("15:04:05.000"), map[bool]string{true: " > ", false: " < "}[e.Out], e.Line))
	}
	return lines
}

// settle waits until nothing is on its way any more.
func (s *stress) settle() {
	for range 1200 {
		s.pass(time.Second)
		depth, err := s.store.Depth(s.t.Context())
		require.NoError(s.t, err)
		open := 0
		for _, state := range []queue.State{queue.Queued, queue.Sending} {
			for _, n := range depth[state] {
				open += n
			}
		}
		if open == 0 && s.pool.InFlight() == 0 && s.pool.Ready() == stressModems {
			s.pass(7 * time.Minute) // the last reports, a sweep of every memory
			return
		}
	}
	for i, m := range s.pool.Modems() {
		s.t.Log(i, m.Family, m.State, m.Reason, m.LastError)
	}
	require.FailNow(s.t, "something is still on its way after twenty minutes")
}

// compare holds what the store says against what the network has.
func (s *stress) compare() {
	for _, sent := range s.sent {
		m := s.message(sent.ID)
		what := fmt.Sprintf("%s %s %s %v", m.To, m.Class, m.State, m.Error)
		has := s.seen.byText[sent.Text] // that of codes has been deleted meanwhile
		switch m.State {
		case queue.Sent, queue.Delivered:
			require.NotEmpty(s.t, has, what)
		case queue.Failed, queue.Expired, queue.Cancelled, queue.Queued:
			require.Empty(s.t, has, what)
		}
		if len(has) > 1 {
			require.True(s.t, m.PossibleDuplicate, what)
			require.NotContains(s.t, []queue.Class{queue.OTP, queue.Bulk}, m.Class, what)
		}
		if len(has) == 1 && (m.State == queue.Sent || m.State == queue.Delivered) {
			require.Equal(s.t, has[0].MR, m.Segments[0].MR, what)
			require.Equal(s.t, has[0].SIM, m.SIM, what)
		}
	}
	got := map[string]bool{}
	for cursor := ""; ; {
		list, next, err := s.inbox.List(s.t.Context(), inbox.Filter{Limit: 500, Cursor: cursor})
		require.NoError(s.t, err)
		for _, m := range list {
			require.False(s.t, got[m.Text], "twice: %s", m.Text)
			got[m.Text] = true
		}
		if cursor = next; next == "" {
			break
		}
	}
	for text := range s.in {
		if got[text] {
			continue
		}
		s.t.Error("lost:", text)
		for _, e := range s.net.Ledger() {
			if e.Text == text {
				s.t.Logf("%+v", e)
				for i, m := range s.pool.Modems() {
					if name(i) == e.Modem {
						s.t.Log(m.Family)
					}
				}
			}
		}
	}
	require.True(s.t, maps.Equal(s.in, got), "what came in")
}
