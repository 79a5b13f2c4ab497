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
	"recado/queue"
)

// TestChoiceOfSIM: whatever the routes, limits, weights, paces, troubles and kill
// switches, no SIM sends more than a limit of it allows, or what is not on its
// route, or a part of a message that another has begun; and everything leaves
// once. CHOICE_RUNS sets how many seeds are run.
func TestChoiceOfSIM(t *testing.T) {
	runs, err := strconv.Atoi(cmp.Or(os.Getenv("CHOICE_RUNS"), "2"))
	require.NoError(t, err)
	for seed := range uint64(runs) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testChoiceOfSIM(t, rand.New(rand.NewPCG(seed, 5))) })
		})
	}
}

func testChoiceOfSIM(t *testing.T, random *rand.Rand) {
	const sims, messages = 4, 120
	r := newRig(t, sims, emulator.NetworkOptions{Latency: 700 * time.Millisecond, LatencySigma: 0.4, ReportDelay: time.Second, Seed: random.Int64()})
	r.ready(sims)
	iccid := make([]string, sims)
	most := map[string]int{}
	for i, m := range r.modems {
		iccid[i] = m.ICCID()
		most[iccid[i]] = 5 + random.IntN(20)
		r.limit(iccid[i], queue.Limit{Window: queue.WindowMinute, MaxSegments: most[iccid[i]]})
	}
	// Two routes, of two SIMs each; the rest may leave on any.
	allowed := map[string]map[string]bool{}
	for i, prefix := range []string{"+34611", "+34612"} {
		first := random.IntN(sims)
		pair := []queue.RouteSIM{{ICCID: iccid[first], Weight: 1 + random.IntN(5)}, {ICCID: iccid[(first+1+random.IntN(sims-1))%sims], Weight: 1 + random.IntN(5)}}
		_, err := r.store.AddRoute(t.Context(), queue.Route{Name: fmt.Sprint(i), Enabled: true, Prefixes: []string{prefix}, SIMs: pair, Fallback: queue.FallbackWait})
		require.NoError(t, err)
		allowed[prefix] = map[string]bool{pair[0].ICCID: true, pair[1].ICCID: true}
	}
	// Refusals for the SIM's and the network's sake, of which nothing has left.
	for _, cms := range []int{8, 38, 42, 50} {
		r.net.AddRule(emulator.Rule{Probability: 0.03, Effect: emulator.Effect{CMS: cms}})
	}
	texts := []string{"Hola", fmt.Sprintf("%0400d", 7)}
	var ids []string
	want := map[string]string{}
	for i := range messages {
		to := fmt.Sprintf("+3461%d%06d", 1+random.IntN(4), i)
		q := queue.Request{To: []string{to}, Text: texts[random.IntN(2)], Class: []queue.Class{queue.OTP, queue.Alert, queue.Normal, queue.Bulk}[random.IntN(4)], ValidFor: 24 * time.Hour}
		want[to] = q.Text
		ids = append(ids, r.submit(q)[0].ID)
		time.Sleep(time.Duration(random.IntN(800)) * time.Millisecond)
		sim := iccid[random.IntN(sims)]
		switch random.IntN(12) {
		case 0:
			require.NoError(t, r.pool.PauseSIM(t.Context(), sim, true))
			time.AfterFunc(5*time.Second, func() { _ = r.pool.PauseSIM(t.Context(), sim, false) })
		case 1:
			require.NoError(t, r.pool.PauseClass(t.Context(), queue.Normal, true))
			time.AfterFunc(3*time.Second, func() { _ = r.pool.PauseClass(t.Context(), queue.Normal, false) })
		case 2:
			_, err := r.pool.UpdateSIM(t.Context(), sim, queue.SIMPatch{Pace: new(random.IntN(60) - 1)})
			require.NoError(t, err)
		}
	}
	r.net.ClearRules()
	for _, id := range ids {
		for range 200 {
			if r.message(id).State == queue.Delivered {
				break
			}
			time.Sleep(10 * time.Second)
		}
		require.Equal(t, queue.Delivered, r.message(id).State, "%+v", r.message(id))
	}
	got, by := map[string]string{}, map[string]string{}
	for _, e := range r.accepted() {
		got[e.DA] += e.Text
		if by[e.DA] != "" {
			require.Equal(t, by[e.DA], e.SIM, "one SIM for a message")
		}
		by[e.DA] = e.SIM
		if on := allowed[e.DA[:len("+34611")]]; on != nil {
			require.True(t, on[e.SIM], "%s is not on the route of %s", e.SIM, e.DA)
		}
	}
	require.Equal(t, want, got, "once each")
	for sim, most := range most {
		list := r.gateTimes(sim)
		for i := most; i < len(list); i++ {
			require.GreaterOrEqual(t, list[i]-list[i-most], time.Minute.Milliseconds(), "more than %d a minute", most)
		}
	}
}

// gateTimes are when something may have left on a SIM, Unix ms.
func (r *rig) gateTimes(sim string) (list []int64) {
	r.t.Helper()
	rows, err := r.db.Read().Query(`SELECT gate_at FROM attempt WHERE iccid = ? AND outcome <> 'not_sent' ORDER BY gate_at`, sim)
	require.NoError(r.t, err)
	defer rows.Close()
	for rows.Next() {
		var at int64
		require.NoError(r.t, rows.Scan(&at))
		list = append(list, at)
	}
	require.NoError(r.t, rows.Err())
	return list
}
