package pool_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/pool"
	"recado/queue"
	"recado/queue/sqlite"
)

// campaign submits that many messages of a class to as many numbers.
func (r *rig) campaign(n int, class queue.Class) {
	r.t.Helper()
	for first := 0; first < n; first += 1000 {
		var to []string
		for i := first; i < min(first+1000, n); i++ {
			to = append(to, fmt.Sprintf("+3467%07d", i))
		}
		r.submit(queue.Request{To: to, Text: "Mercado de los domingos", Class: class})
	}
}

// gates are the classes of the messages whose gate opened after a time, in order.
func (r *rig) gates(after time.Time) (classes []queue.Class) {
	r.t.Helper()
	rows, err := r.db.Read().Query(`SELECT m.class FROM attempt a JOIN message m ON m.seq = a.message WHERE a.gate_at > ? ORDER BY a.id`, after.UnixMilli())
	require.NoError(r.t, err)
	defer rows.Close()
	for rows.Next() {
		var c queue.Class
		require.NoError(r.t, rows.Scan(&c))
		classes = append(classes, c)
	}
	require.NoError(r.t, rows.Err())
	return classes
}

// wasNext demands that no other message passed its gate between a time and that of
// one, but for those that lines had in hand already, or claimed after it.
func (r *rig) wasNext(id string, after time.Time) {
	r.t.Helper()
	const inHand = 50 * time.Millisecond // from claim to gate
	gate := r.gate(id)
	var before int
	require.NoError(r.t, r.db.Read().QueryRow(`SELECT count(*) FROM attempt WHERE gate_at > ? AND gate_at < ?`,
		after.Add(inHand).UnixMilli(), gate.Add(-inHand).UnixMilli()).Scan(&before))
	require.Zero(r.t, before, "others went before it, which was asked for %s before its gate", gate.Sub(after))
}

// TestACodeGoesNextIntoACampaign: whenever it is submitted, a one-time code is
// the very next to leave: on the first of four lines that frees, or at once. A
// campaign of a hundred thousand with CAMPAIGN=100000.
func TestACodeGoesNextIntoACampaign(t *testing.T) { synctest.Test(t, testACodeGoesNext) }

func testACodeGoesNext(t *testing.T) {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("CAMPAIGN"), "1000"))
	require.NoError(t, err)
	r := newRig(t, 4, emulator.NetworkOptions{Latency: 2 * time.Second, LatencySigma: 0.3, ReportDelay: time.Second, Seed: 5})
	r.ready(4)
	r.campaign(n, queue.Bulk)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 30 {
		time.Sleep(time.Duration(random.Int64N(int64(5 * time.Second))))
		require.Equal(t, 4, r.pool.InFlight(), "the campaign keeps all lines busy")
		long := ""
		if i%3 == 0 { // also between two segments of a long message
			long = "Un texto que no cabe en uno solo y por eso va en dos. "
			long += long + long + long
		}
		class := queue.OTP
		if i%5 == 4 {
			class = queue.Alert
		}
		code := r.submit(queue.Request{To: []string{number(i)}, Text: "123456 es su clave", Class: class})[0]
		asked := r.clock.Now()
		got := r.reaches(code.ID, queue.Delivered)
		r.wasNext(code.ID, asked)
		require.Less(t, got.SentAt.Sub(asked), 10*time.Second)
		if long != "" {
			r.submit(queue.Request{To: []string{number(1000 + i)}, Text: long, Class: queue.Normal})
		}
	}
}

// TestBulkGoesOnBehindTheOthers: however much of the better lanes waits, one of
// bulk leaves in fifty; and a single code does not wait for it.
func TestBulkGoesOnBehindTheOthers(t *testing.T) { synctest.Test(t, testBulkGoesOn) }

func testBulkGoesOn(t *testing.T) {
	r := newRig(t, 2, emulator.NetworkOptions{Latency: 100 * time.Millisecond, ReportDelay: time.Second})
	r.ready(2)
	require.NoError(t, r.pool.Pause(t.Context()))
	r.campaign(20, queue.Bulk)
	r.campaign(400, queue.Normal)
	begun := r.clock.Now()
	require.NoError(t, r.pool.Resume(t.Context()))
	r.until("300 have left", func() bool { return len(r.accepted()) >= 300 })
	code := r.submit(queue.Request{To: []string{number(1)}, Text: "1", Class: queue.OTP})[0]
	asked := r.clock.Now()
	r.reaches(code.ID, queue.Delivered)
	r.wasNext(code.ID, asked)

	classes := r.gates(begun)
	bulk, since := 0, 0
	for _, c := range classes {
		if since++; c == queue.Bulk {
			bulk++
			require.GreaterOrEqual(t, since, 40, "and the others go first")
			since = 0
		}
		require.LessOrEqual(t, since, 55)
	}
	require.GreaterOrEqual(t, bulk, 5)
}

// TestWeightsOfARoute: its SIMs share its messages as they say, one by one and
// under load; a SIM that is not one of it sends none, and the reason is told.
func TestWeightsOfARoute(t *testing.T) { synctest.Test(t, testWeightsOfARoute) }

func testWeightsOfARoute(t *testing.T) {
	r := newRig(t, 3, emulator.NetworkOptions{Latency: 100 * time.Millisecond, ReportDelay: time.Second})
	r.ready(3)
	a, b := r.modems[0].ICCID(), r.modems[1].ICCID()
	route, err := r.store.AddRoute(t.Context(), queue.Route{Name: "Móviles", Enabled: true, Prefixes: []string{"+346"},
		SIMs: []queue.RouteSIM{{ICCID: a, Weight: 3}, {ICCID: b, Weight: 1}}})
	require.NoError(t, err)
	used := map[string]int{}
	for i := range 16 {
		m := r.reaches(r.submit(queue.Request{To: []string{number(i)}, Text: "x"})[0].ID, queue.Delivered)
		used[m.SIM]++
		require.Equal(t, "route", r.why(m.ID))
	}
	require.Equal(t, map[string]int{a: 12, b: 4}, used)

	before := len(r.accepted())
	r.campaign(200, queue.Bulk)
	r.until("all have left", func() bool { return len(r.accepted()) == before+200 })
	used = map[string]int{}
	for _, e := range r.accepted()[before:] {
		used[e.SIM]++
	}
	require.InDelta(t, 150, used[a], 3, "%v", used)
	require.InDelta(t, 50, used[b], 3, "%v", used)

	for _, s := range must(r.pool.SIMs(t.Context())) {
		if s.ICCID == a || s.ICCID == b {
			require.Equal(t, []int64{route.ID}, s.Routes)
		} else {
			require.Empty(t, s.Routes)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// why is the reason that a message's last attempt gives for its SIM.
func (r *rig) why(id string) (why string) {
	r.t.Helper()
	err := r.db.Read().QueryRow(`SELECT a.why FROM attempt a JOIN message m ON m.seq = a.message WHERE m.id = ? ORDER BY a.id DESC LIMIT 1`, id).Scan(&why)
	require.NoError(r.t, err)
	return why
}

// TestARouteWithoutAnAbleSIM: with fallback any others send its messages when
// none of its SIMs has been able for a minute; with wait they wait.
func TestARouteWithoutAnAbleSIM(t *testing.T) { synctest.Test(t, testARouteWithoutAnAbleSIM) }

func testARouteWithoutAnAbleSIM(t *testing.T) {
	r := newRig(t, 3, emulator.NetworkOptions{ReportDelay: time.Second})
	r.ready(3)
	for i, fallback := range []string{queue.FallbackAny, queue.FallbackWait} {
		_, err := r.store.AddRoute(t.Context(), queue.Route{Name: fallback, Enabled: true, Prefixes: []string{fmt.Sprintf("+3461000000%d", i)},
			SIMs: []queue.RouteSIM{{ICCID: r.modems[i].ICCID()}}, Fallback: fallback})
		require.NoError(t, err)
		require.NoError(t, r.pool.PauseSIM(t.Context(), r.modems[i].ICCID(), true))
	}
	asked := r.clock.Now()
	falls, waits := r.submit(queue.Request{To: []string{number(0)}, Text: "x"})[0], r.submit(queue.Request{To: []string{number(1)}, Text: "x"})[0]
	time.Sleep(50 * time.Second)
	require.Equal(t, queue.Queued, r.message(falls.ID).State)
	m := r.reaches(falls.ID, queue.Delivered)
	require.Equal(t, r.modems[2].ICCID(), m.SIM)
	require.InDelta(t, time.Minute.Seconds(), m.SentAt.Sub(asked).Seconds(), 2)
	time.Sleep(10 * time.Minute)
	require.Equal(t, queue.Queued, r.message(waits.ID).State)
	require.NoError(t, r.pool.PauseSIM(t.Context(), r.modems[1].ICCID(), false))
	require.Equal(t, r.modems[1].ICCID(), r.reaches(waits.ID, queue.Delivered).SIM)
}

// TestAnUnhealthySIMIsLast: as long as another is well it gets nothing, then it
// is tried again with what can wait.
func TestAnUnhealthySIMIsLast(t *testing.T) { synctest.Test(t, testAnUnhealthySIMIsLast) }

func testAnUnhealthySIMIsLast(t *testing.T) {
	r := newRig(t, 2, emulator.NetworkOptions{ReportDelay: time.Second})
	r.ready(2)
	sick := r.modems[0].ICCID()
	r.net.AddRule(emulator.Rule{SIM: sick, Count: 1, Effect: emulator.Effect{CMS: 8}})
	var first queue.Message
	r.until("the sick one was tried", func() bool {
		first = r.reaches(r.submit(queue.Request{To: []string{number(1)}, Text: "x"})[0].ID, queue.Delivered)
		return first.Attempts == 2
	})
	require.NotEqual(t, sick, first.SIM)
	require.Equal(t, "failover:cms_8", r.why(first.ID))
	for i := range 10 {
		require.NotEqual(t, sick, r.reaches(r.submit(queue.Request{To: []string{number(i)}, Text: "x"})[0].ID, queue.Delivered).SIM)
	}
	time.Sleep(4 * time.Minute)
	code := r.reaches(r.submit(queue.Request{To: []string{number(50)}, Text: "x", Class: queue.OTP})[0].ID, queue.Delivered)
	require.NotEqual(t, sick, code.SIM, "a code is not tried on it")
	time.Sleep(2 * time.Minute)
	used := map[string]int{}
	for i := range 4 {
		used[r.reaches(r.submit(queue.Request{To: []string{number(100 + i)}, Text: "x"})[0].ID, queue.Delivered).SIM]++
	}
	require.Positive(t, used[sick], "%v", used)
}

// TestWearIsOfTheMonth: what is left of a minute, which is used up again and again,
// says nothing of how worn a SIM is.
func TestWearIsOfTheMonth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, emulator.NetworkOptions{ReportDelay: time.Second})
		r.ready(2)
		worn, fresh := r.modems[0].ICCID(), r.modems[1].ICCID()
		for _, sim := range []string{worn, fresh} {
			r.limit(sim, queue.Limit{Window: queue.WindowMinute, MaxSegments: 10}, queue.Limit{Window: queue.WindowMonth, MaxSegments: 1000})
		}
		require.NoError(t, r.db.Write(t.Context(), sqlite.Ordinary, func(tx *sqlite.Tx) error {
			_, err := tx.Exec(`INSERT INTO usage_period (iccid, window, start, segments, recipients) VALUES (?, 'month', ?, 900, 0)`,
				worn, r.clock.Now().Local().Format("2006-01")+"-01")
			return err
		}))
		r.limit(worn, queue.Limit{Window: queue.WindowMinute, MaxSegments: 10}, queue.Limit{Window: queue.WindowMonth, MaxSegments: 1000})
		used := map[string]int{}
		for i := range 80 { // 8 a minute, of 20 that there could be
			id := r.submit(queue.Request{To: []string{number(i)}, Text: "x"})[0].ID
			time.Sleep(7500 * time.Millisecond)
			used[r.message(id).SIM]++
		}
		require.GreaterOrEqual(t, used[fresh], 70, "%v", used)
	})
}

// TestEvenWear: SIMs with unlike allowances left share by what is left.
func TestEvenWear(t *testing.T) { synctest.Test(t, testEvenWear) }

func testEvenWear(t *testing.T) {
	r := newRig(t, 2, emulator.NetworkOptions{ReportDelay: time.Second})
	r.ready(2)
	small, large := r.modems[0].ICCID(), r.modems[1].ICCID()
	for sim, most := range map[string]int{small: 100, large: 300} {
		require.NoError(t, r.pool.SetLimits(t.Context(), sim, queue.LimitsPatch{Limits: &[]queue.Limit{{Window: queue.WindowDay, MaxSegments: most}}}))
	}
	// The small one has half of its own left, the large one all.
	for i := range 50 {
		r.reaches(r.submit(queue.Request{To: []string{number(i)}, Text: "x", SIM: small})[0].ID, queue.Sent)
	}
	used := map[string]int{}
	for i := range 30 {
		m := r.reaches(r.submit(queue.Request{To: []string{number(100 + i)}, Text: "x"})[0].ID, queue.Sent)
		used[m.SIM]++
	}
	require.InDelta(t, 20, used[large], 3, "%v", used)
	limits, err := r.pool.Limits(context.Background(), small)
	require.NoError(t, err)
	require.Equal(t, 50+used[small], limits.Limits[2].UsedSegments)
	var s pool.SIM
	s, err = r.pool.SIM(t.Context(), small)
	require.NoError(t, err)
	require.Equal(t, limits.Limits, s.Limits.Limits)
}
