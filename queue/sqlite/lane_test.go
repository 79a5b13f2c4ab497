package sqlite

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// slowly writes something that takes as long as took, and says when it was on disk.
func slowly(db *DB, lane Lane, took time.Duration) chan time.Time {
	done := make(chan time.Time, 1)
	go func() {
		err := db.Write(context.Background(), lane, func(tx *Tx) error {
			time.Sleep(took)
			return put(tx, fmt.Sprint(lane, time.Now().UnixNano()))
		})
		if err != nil {
			panic(err)
		}
		done <- time.Now()
	}()
	return done
}

// posting has clients write on a lane for as long as long, each one after the other;
// ended waits for them.
func posting(db *DB, lane Lane, took, long time.Duration, clients int) (ended func()) {
	until := time.Now().Add(long)
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for time.Now().Before(until) {
				<-slowly(db, lane, took)
			}
		})
	}
	return all.Wait
}

func TestWhatIsUnhurriedWaitsForNoLoad(t *testing.T) {
	const job = 30 * time.Millisecond
	for _, load := range []Lane{Urgent, Prompt, Ordinary, Lengthy} {
		t.Run(fmt.Sprint(load), func(t *testing.T) {
			unhurried(t, func(db *DB) {
				defer posting(db, load, job, time.Second, 3)()
				for range 5 {
					time.Sleep(70 * time.Millisecond)
					began := time.Now()
					require.NoError(t, <-write(db, Unhurried, fmt.Sprint(began)))
					require.LessOrEqual(t, time.Since(began), patience+2*job)
				}
			})
		})
	}
}

func TestNoLaneStarves(t *testing.T) {
	const job = 30 * time.Millisecond
	for load := Urgent; load < Lengthy; load++ {
		for lane := load + 1; lane <= Lengthy; lane++ {
			t.Run(fmt.Sprintf("%d behind %d", lane, load), func(t *testing.T) {
				unhurried(t, func(db *DB) {
					defer posting(db, load, job, time.Second, 3)()
					for range 5 {
						began := time.Now()
						<-slowly(db, lane, time.Millisecond)
						require.LessOrEqual(t, time.Since(began), patience+3*job)
					}
				})
			})
		}
	}
}

// A gate is neither behind the next mass enqueue nor in one commit with it.
func TestAGateWaitsForNoMoreThanWhatRuns(t *testing.T) {
	const job = 100 * time.Millisecond
	unhurried(t, func(db *DB) {
		began := time.Now()
		first := slowly(db, Lengthy, job)
		synctest.Wait()
		time.Sleep(time.Millisecond)
		second := slowly(db, Lengthy, job)
		gate, code, setting := slowly(db, Urgent, 0), slowly(db, Prompt, 0), slowly(db, Ordinary, 0)
		for _, done := range []chan time.Time{first, gate, code, setting} {
			require.Equal(t, job, (<-done).Sub(began))
		}
		require.Equal(t, 2*job, (<-second).Sub(began))
	})
}

// However much is posted, a gate waits for what runs; and what is posted goes on.
func TestAGateDuringACampaign(t *testing.T) {
	const job, long = 150 * time.Millisecond, 3 * time.Second
	unhurried(t, func(db *DB) {
		began := time.Now()
		ended := posting(db, Lengthy, job, long, 4)
		defer ended()
		for time.Since(began) < long {
			asked := time.Now()
			require.LessOrEqual(t, (<-slowly(db, Urgent, time.Millisecond)).Sub(asked), job+2*time.Millisecond)
			time.Sleep(7 * time.Millisecond)
		}
		ended()
		posted := 0
		require.NoError(t, db.Read().QueryRow(`SELECT count(*) FROM setting WHERE key LIKE ? || '%'`, fmt.Sprint(Lengthy)).Scan(&posted))
		require.Greater(t, posted, int(long/job)*3/4, "the writer idles")
	})
}

// What shares a transaction is seen by what follows its commit.
func TestWhoSharesACommit(t *testing.T) {
	for _, tt := range []struct {
		lanes []Lane
		want  []string
	}{
		{[]Lane{Urgent, Prompt, Ordinary}, []string{"run 0", "run 1", "run 2", "end 0", "end 1", "end 2"}},
		{[]Lane{Urgent, Unhurried}, []string{"run 0", "run 1", "end 0", "end 1"}},
		{[]Lane{Urgent, Lengthy}, []string{"run 0", "end 0", "run 1", "end 1"}},
		{[]Lane{Ordinary, Lengthy, Unhurried}, []string{"run 0", "run 2", "end 0", "end 2", "run 1", "end 1"}},
		{[]Lane{Lengthy, Lengthy}, []string{"run 0", "run 1", "end 0", "end 1"}},
	} {
		t.Run(fmt.Sprint(tt.lanes), func(t *testing.T) {
			unhurried(t, func(db *DB) {
				var order []string
				var all sync.WaitGroup
				free := make(chan struct{})
				all.Go(func() {
					_ = db.Write(context.Background(), Urgent, func(*Tx) error { <-free; time.Sleep(maxHold + 1); return nil })
				})
				synctest.Wait()
				for i, lane := range tt.lanes {
					all.Go(func() {
						_ = db.Write(context.Background(), lane, func(tx *Tx) error {
							order = append(order, fmt.Sprint("run ", i))
							tx.AfterCommit(func() { order = append(order, fmt.Sprint("end ", i)) })
							return put(tx, fmt.Sprint(i))
						})
					})
					synctest.Wait()
				}
				close(free)
				all.Wait()
				require.Equal(t, tt.want, order)
			})
		})
	}
}

func TestLaneOf(t *testing.T) {
	require.Equal(t, []Lane{Ordinary, Ordinary, Lengthy}, []Lane{LaneOf(1), LaneOf(few), LaneOf(few + 1)})
}

// A gate that comes while what is Lengthy runs shares its commit; one that comes
// during the commit goes before the next of that, though that has waited longer.
func TestAGateGoesBeforeTheNextThatIsLengthy(t *testing.T) {
	unhurried(t, func(db *DB) {
		var order []string
		noted := func(name string, took time.Duration, end func()) func(*Tx) error {
			return func(tx *Tx) error {
				time.Sleep(took)
				order = append(order, "run "+name)
				tx.AfterCommit(func() {
					if order = append(order, "end "+name); end != nil {
						end()
					}
				})
				return put(tx, name)
			}
		}
		var all sync.WaitGroup
		give := func(lane Lane, fn func(*Tx) error) {
			all.Go(func() { _ = db.Write(context.Background(), lane, fn) })
			synctest.Wait()
		}
		late := &job{fn: noted("late gate", 0, nil), lane: Urgent, given: time.Now(), done: make(chan error, 1)}
		give(Lengthy, noted("first", 2*patience, func() { _ = db.w.put(Urgent, late) }))
		give(Lengthy, noted("second", 0, nil))
		give(Urgent, noted("gate", 0, nil))
		all.Wait()
		require.NoError(t, <-late.done)
		require.Equal(t, []string{"run first", "run gate", "end first", "end gate", "run late gate", "end late gate", "run second", "end second"}, order)
	})
}
