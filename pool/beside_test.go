package pool_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/queue"
)

// TestNothingWaitsBesideAnIdleSIM: whatever the routes, limits, send windows, doubts,
// mutes, dialogues and preferences, what an idle SIM may send and no better one could
// leaves soon. CHOICE_RUNS sets how many seeds are run.
func TestNothingWaitsBesideAnIdleSIM(t *testing.T) {
	runs, err := strconv.Atoi(cmp.Or(os.Getenv("CHOICE_RUNS"), "3"))
	require.NoError(t, err)
	for seed := range uint64(runs) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testNothingWaits(t, rand.New(rand.NewPCG(seed, 17))) })
		})
	}
}

// besides is what a test knows of each SIM.
type besides struct {
	*rig
	iccid []string
	on    map[int64]map[string]bool
	mutes map[string]bool
	shut  map[string]bool
	dials []atomic.Int32
}

func testNothingWaits(t *testing.T, random *rand.Rand) {
	const sims = 4
	r := &besides{rig: newRig(t, sims, emulator.NetworkOptions{Latency: 300 * time.Millisecond, LatencySigma: 0.3, ReportDelay: time.Second, Seed: random.Int64()}),
		on: map[int64]map[string]bool{}, mutes: map[string]bool{}, shut: map[string]bool{}, dials: make([]atomic.Int32, sims)}
	r.ready(sims)
	for i, m := range r.modems {
		r.iccid = append(r.iccid, m.ICCID())
		r.writes(number(i), m.ICCID()) // whoever prefers it
	}
	if random.IntN(2) == 0 {
		r.mute(sims - 1)
		r.mutes[r.iccid[sims-1]] = true
	}
	for i, sim := range r.iccid {
		limits := []queue.Limit{}
		switch random.IntN(6) {
		case 0:
			limits = append(limits, queue.Limit{Window: queue.WindowMonth, MaxRecipients: 1 + random.IntN(12)})
		case 1:
			limits = append(limits, queue.Limit{Window: queue.WindowDay, MaxSegments: 5 + random.IntN(40)})
		case 2:
			limits = append(limits, queue.Limit{Window: queue.WindowMinute, MaxSegments: 1 + random.IntN(15)})
		}
		reserve := random.IntN(90)
		require.NoError(t, r.pool.SetLimits(t.Context(), sim, queue.LimitsPatch{Limits: &limits, ReservePercent: &reserve}), i)
	}
	for _, prefix := range []string{"+34611", "+34612"} {
		route := queue.Route{Name: "to " + prefix, Enabled: true, Prefixes: []string{prefix}, Fallback: []string{queue.FallbackAny, queue.FallbackWait}[random.IntN(2)]}
		members, only := map[string]bool{}, random.IntN(2*sims)-sims
		for i, sim := range r.iccid {
			if i == only || only < 0 && random.IntN(2) == 0 {
				route.SIMs = append(route.SIMs, queue.RouteSIM{ICCID: sim, Weight: 1 + random.IntN(50)})
				members[sim] = true
			}
		}
		if len(members) == 0 {
			continue
		}
		added, err := r.store.AddRoute(t.Context(), route)
		require.NoError(t, err)
		r.on[added.ID] = members
	}
	since := map[string]time.Time{}
	watch := func() {
		heads := r.waitingBeside()
		for id := range since {
			if _, is := heads[id]; !is {
				delete(since, id)
			}
		}
		for id, h := range heads {
			if since[id].IsZero() {
				since[id] = time.Now()
			}
			require.LessOrEqual(t, time.Since(since[id]), h.most, "%+v", h)
		}
	}
	for i := range 120 {
		q := queue.Request{To: []string{fmt.Sprintf("+3461%d%06d", 1+random.IntN(3), i)}, Text: "x", ValidFor: 24 * time.Hour,
			Class: []queue.Class{queue.OTP, queue.Alert, queue.OTP, queue.Alert, queue.Normal, queue.Bulk}[random.IntN(6)]}
		if random.IntN(4) == 0 {
			q.To = []string{number(random.IntN(sims))}
		}
		if random.IntN(8) == 0 {
			q.Text = fmt.Sprintf("%0200d", 7)
		}
		which := random.IntN(sims)
		sim := r.iccid[which]
		switch random.IntN(16) {
		case 0, 3, 4, 5: // it gets into doubt
			r.net.AddRule(emulator.Rule{SIM: sim, Effect: emulator.Effect{CMS: []int{38, 42}[random.IntN(2)]}, Count: 1})
			m := r.submit(queue.Request{To: []string{number(40 + i)}, Text: "x", SIM: sim, Class: queue.OTP})[0]
			time.Sleep(time.Second)
			_, _ = r.store.Cancel(t.Context(), m.ID) // if it was refused: else it would heal it
		case 1:
			r.dials[which].Add(1)
			go func() {
				_, _ = r.pool.USSD(t.Context(), sim, "*108#") // answers after 20 s
				r.dials[which].Add(-1)
			}()
		case 2:
			if r.shut[sim] = !r.shut[sim]; r.shut[sim] {
				r.shutWindow(sim)
			} else {
				_, err := r.pool.UpdateSIM(t.Context(), sim, queue.SIMPatch{Window: &queue.SendWindow{From: -1}})
				require.NoError(t, err)
			}
		}
		r.submit(q)
		for range random.IntN(8) {
			time.Sleep(250 * time.Millisecond)
			watch()
		}
	}
	for range 400 {
		time.Sleep(250 * time.Millisecond)
		watch()
	}
}

// beside is a message that an idle SIM may send.
type beside struct {
	id, sim, prefers string
	lane             int
	most             time.Duration
	flaw             int
}

// waitingBeside are the messages that an idle SIM would have to take next, and no
// better one could.
func (r *besides) waitingBeside() map[string]beside {
	r.t.Helper()
	routes := map[int64]int64{}
	for _, b := range r.store.Buckets() {
		routes[b.ID] = b.Route
	}
	type waiting struct {
		id, sim        string
		bucket         int64
		lane, segments int
	}
	var list []waiting
	rows, err := r.db.Read().Query(`SELECT id, sim, bucket, lane, segments FROM message WHERE state = 'queued' AND claimed_by = '' AND not_before = 0
		AND avoid_sim = '' AND (sim = '' OR prefer_until > 0) ORDER BY lane, seq`)
	require.NoError(r.t, err)
	defer rows.Close()
	for rows.Next() {
		var w waiting
		require.NoError(r.t, rows.Scan(&w.id, &w.sim, &w.bucket, &w.lane, &w.segments))
		list = append(list, w)
	}
	require.NoError(r.t, rows.Err())
	type one struct {
		room           queue.Room
		can, idle      bool
		doubted, dials bool
	}
	sims := map[string]one{}
	for _, s := range r.sims() {
		limits, err := r.store.Limits(r.t.Context(), s.ICCID)
		require.NoError(r.t, err)
		o := one{room: limits.Room}
		o.can, o.doubted = r.pool.Health(s.ICCID)
		o.can = o.can && !r.shut[s.ICCID]
		for i, sim := range r.iccid {
			o.dials = o.dials || sim == s.ICCID && r.dials[i].Load() > 0
		}
		o.idle = o.can && !o.dials && s.Now == ""
		sims[s.ICCID] = o
	}
	may := func(sim string, w waiting) bool {
		on, o := r.on[routes[w.bucket]], sims[sim]
		return o.can && (on == nil || on[sim]) && o.room.Segments[w.lane] > 0 && o.room.Recipients[w.lane] > 0 && w.segments <= o.room.Longest[w.lane]
	}
	flaw := func(sim string, w waiting) int {
		o := sims[sim]
		switch {
		case o.dials:
			return 3
		case r.mutes[sim]:
			return 2
		case o.doubted && w.lane < queue.LaneNormal:
			return 1
		}
		return 0
	}
	heads := map[string]beside{}
	for sim, o := range sims {
		for _, w := range list {
			if !o.idle || !may(sim, w) {
				continue
			}
			if w.sim != "" && w.sim != sim && may(w.sim, w) && !r.mutes[w.sim] { // it waits for that one
				continue
			}
			h := beside{w.id, sim, w.sim, w.lane, 10 * time.Second, flaw(sim, w)}
			better := false
			for other := range sims {
				better = better || other != sim && may(other, w) && flaw(other, w) < h.flaw
			}
			if better { // which is busy
				continue
			}
			if w.lane < queue.LaneNormal {
				h.most = time.Second
				if w.sim != "" && w.sim != sim && !r.mutes[w.sim] && !r.shut[w.sim] { // an alert has some patience with one that comes back
					h.most = 6 * time.Second
				}
				if h.flaw > 0 { // a better one may have room again within so long
					h.most = 11 * time.Second
				}
			}
			heads[w.id] = h
			break
		}
	}
	return heads
}
