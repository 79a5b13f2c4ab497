package pool_test

import (
	"cmp"
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
)

// TestNoIdleSIMKeepsAMessage: whatever the weights, limits, reserves, loads and
// speeds, what an idle SIM of its route may send, all of one segment, leaves within ten
// seconds, and at once when it is urgent. CHOICE_RUNS sets how many seeds are run.
func TestNoIdleSIMKeepsAMessage(t *testing.T) {
	runs, err := strconv.Atoi(cmp.Or(os.Getenv("CHOICE_RUNS"), "2"))
	require.NoError(t, err)
	for seed := range uint64(runs) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testNoIdleSIM(t, rand.New(rand.NewPCG(seed, 11))) })
		})
	}
}

func testNoIdleSIM(t *testing.T, random *rand.Rand) {
	const sims = 4
	r := newRig(t, sims, emulator.NetworkOptions{Latency: 300 * time.Millisecond, LatencySigma: 0.3, ReportDelay: time.Second, Seed: random.Int64()})
	r.ready(sims)
	var iccid []string
	for i, m := range r.modems {
		sim := m.ICCID()
		iccid = append(iccid, sim)
		limits := []queue.Limit{}
		switch random.IntN(5) {
		case 0:
			limits = append(limits, queue.Limit{Window: queue.WindowMonth, MaxRecipients: 1 + random.IntN(12)})
		case 1:
			limits = append(limits, queue.Limit{Window: queue.WindowDay, MaxSegments: 5 + random.IntN(40)})
		case 2:
			limits = append(limits, queue.Limit{Window: queue.WindowMinute, MaxSegments: 1 + random.IntN(15)})
		}
		if i > 0 { // the first may always send
			reserve := random.IntN(90)
			require.NoError(t, r.pool.SetLimits(t.Context(), sim, queue.LimitsPatch{Limits: &limits, ReservePercent: &reserve}))
		}
		if i > 0 && random.IntN(3) == 0 {
			r.net.AddRule(emulator.Rule{SIM: sim, Effect: emulator.Effect{Late: time.Duration(random.IntN(12)) * time.Second}})
		}
	}
	on := map[int64]map[string]bool{}
	for _, prefix := range []string{"+34611", "+34612", ""} {
		route := queue.Route{Name: "to " + prefix, Enabled: true, Fallback: []string{queue.FallbackAny, queue.FallbackWait}[random.IntN(2)]}
		if prefix != "" {
			route.Prefixes = []string{prefix}
		}
		members := map[string]bool{}
		for i, sim := range iccid {
			if i == 0 || random.IntN(2) == 0 {
				route.SIMs = append(route.SIMs, queue.RouteSIM{ICCID: sim, Weight: 1 + random.IntN(50)})
				members[sim] = true
			}
		}
		added, err := r.store.AddRoute(t.Context(), route)
		require.NoError(t, err)
		on[added.ID] = members
	}
	since := map[string]time.Time{}
	watch := func() {
		heads := r.kept(on)
		for id := range since {
			if _, is := heads[id]; !is {
				delete(since, id)
			}
		}
		for id, h := range heads {
			if since[id].IsZero() {
				since[id] = time.Now()
			}
			most := 10 * time.Second
			if h.lane < queue.LaneNormal {
				most = time.Second
			}
			require.LessOrEqual(t, time.Since(since[id]), most, "%+v; %+v", h, r.sims())
		}
	}
	var ids []string
	for i := range 100 {
		q := queue.Request{To: []string{fmt.Sprintf("+3461%d%06d", 1+random.IntN(3), i)}, Text: "x", ValidFor: 24 * time.Hour,
			Class: []queue.Class{queue.OTP, queue.Alert, queue.Normal, queue.Normal, queue.Bulk, queue.Bulk}[random.IntN(6)]}
		if random.IntN(12) == 0 { // other work of one SIM
			for range 10 + random.IntN(30) {
				r.submit(queue.Request{To: []string{number(random.IntN(5))}, Text: "x", SIM: iccid[random.IntN(sims)], ValidFor: 24 * time.Hour, Class: queue.Normal})
			}
		}
		ids = append(ids, r.submit(q)[0].ID)
		for range random.IntN(8) {
			time.Sleep(250 * time.Millisecond)
			watch()
		}
	}
	for range 1200 {
		if r.waiting(ids[len(ids)-1:]) == 0 && r.waiting(ids) == 0 {
			return
		}
		time.Sleep(250 * time.Millisecond)
		watch()
	}
	require.Zero(t, r.waiting(ids), "the first SIM is on every route, and has no limit: %+v", r.sims())
}

// kept is a message that an idle SIM may send.
type kept struct {
	id, sim string
	lane    int
}

// kept are the messages that an idle SIM of their route would have to take next.
func (r *rig) kept(on map[int64]map[string]bool) map[string]kept {
	r.t.Helper()
	routes := map[int64]int64{}
	for _, b := range r.store.Buckets() {
		routes[b.ID] = b.Route
	}
	rows, err := r.db.Read().Query(`SELECT id, bucket, lane FROM message WHERE state = 'queued' AND claimed_by = '' AND not_before = 0 AND sim = '' ORDER BY lane, seq`)
	require.NoError(r.t, err)
	defer rows.Close()
	type waiting struct {
		id     string
		bucket int64
		lane   int
	}
	var list []waiting
	for rows.Next() {
		var w waiting
		require.NoError(r.t, rows.Scan(&w.id, &w.bucket, &w.lane))
		list = append(list, w)
	}
	require.NoError(r.t, rows.Err())
	heads := map[string]kept{}
	for _, s := range r.sims() {
		if s.State != pool.SIMReady || s.Now != "" {
			continue
		}
		limits, err := r.store.Limits(r.t.Context(), s.ICCID)
		require.NoError(r.t, err)
		for _, w := range list {
			if on[routes[w.bucket]][s.ICCID] && limits.Room.Segments[w.lane] > 0 && limits.Room.Recipients[w.lane] > 0 {
				heads[w.id] = kept{w.id, s.ICCID, w.lane}
				break
			}
		}
	}
	return heads
}

func (r *rig) sims() []pool.SIM {
	r.t.Helper()
	list, err := r.pool.SIMs(r.t.Context())
	require.NoError(r.t, err)
	return list
}
