package queue

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue/sqlite"
)

const killLimitsEnv = "RECADO_TEST_SPENDER"

// hasty is a clock of which a minute takes a fifth of a second, the same in every
// process that begins it at the same time.
type hasty struct{ from time.Time }

const haste = 300

func (c hasty) Now() time.Time {
	return c.from.Add(haste * time.Duration(time.Now().UnixNano()-c.from.UnixNano()))
}
func (c hasty) Trusted() bool { return true }

// spendable are the limits of the SIM that the spenders share.
var spendable = []Limit{{WindowMinute, 5, 3}, {WindowHour, 120, 0}, {WindowDay, 900, 0}}

// spender sends what it can on one SIM, for ever, whatever it is told.
func spender(arg string) {
	from, path, _ := strings.Cut(arg, ":")
	begun, err := strconv.ParseInt(from, 10, 64)
	if err != nil {
		return
	}
	ctx := context.Background()
	db, err := sqlite.Open(ctx, path, sqlite.Options{ReserveWAL: -1, ReserveFree: -1})
	if err != nil {
		return
	}
	s, err := New(ctx, db, Options{Clock: hasty{time.Unix(0, begun)}})
	if err != nil {
		return
	}
	l := line(1)
	classes := []Class{OTP, Alert, Normal, Bulk}
	for i := 0; ; i++ {
		_, _ = s.Submit(ctx, Request{To: []string{fmt.Sprintf("+3461000000%d", rand.IntN(6))}, Text: strings.Repeat("Prueba ", 1+i%40), Class: classes[rand.IntN(4)]}, nil)
		c, err := s.Claim(ctx, l)
		if err != nil || c == nil {
			if _, err := s.Wake(ctx); err == nil && c == nil {
				// Some other message, in spite of the claim: the gate alone must hold.
				c = &Claimed{Line: l}
				_ = db.Write(ctx, sqlite.Urgent, func(tx *sqlite.Tx) error {
					return tx.QueryRow(`UPDATE message SET claimed_by = ? WHERE seq = (SELECT max(seq) FROM message WHERE state = 'queued' AND claimed_by = '') RETURNING seq`, l.ICCID).Scan(&c.Message.Seq)
				})
			}
		}
		if c == nil || c.Message.Seq == 0 {
			continue
		}
		a, err := s.Gate(ctx, l, c.Message.Seq, c.Next+1)
		if err != nil {
			_ = s.Unclaim(ctx, l.ICCID, c.Message.Seq, Outcome{Retry: true})
			continue
		}
		fmt.Println("gated")
		o := Outcome{Verdict: Accepted, MR: i % 256}
		switch rand.IntN(5) {
		case 0:
			o = Outcome{Verdict: NotSent, MR: -1, Retry: true}
		case 1:
			o = Outcome{Verdict: Rejected, MR: -1, Reason: "rejected"}
		}
		_, _ = s.Outcome(ctx, a, o, nil)
	}
}

// TestKillNeverSpendsTooMuch kills spenders of one SIM at random moments, two at a
// time, which is more than the program ever has: no window of any kind has ever one
// gate too many in it, nor bulk any of its reserve.
func TestKillNeverSpendsTooMuch(t *testing.T) {
	zone(t, time.UTC)
	path := filepath.Join(t.TempDir(), "recado.db")
	begun := time.Now().UnixNano()
	b := &box{t: t, path: path, clock: newClock()}
	b.clock.now = hasty{time.Unix(0, begun)}.Now()
	b.open()
	b.known(line(1))
	b.limit(line(1), spendable...)
	require.NoError(t, b.db.Close())

	for range 12 {
		var spenders sync.WaitGroup
		for range 2 {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "TZ=UTC", fmt.Sprintf("%s=%d:%s", killLimitsEnv, begun, path))
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			stop := 1 + rand.IntN(8)
			spenders.Go(func() {
				late := time.AfterFunc(1500*time.Millisecond, func() { _ = cmd.Process.Kill() }) // nothing may be left to be spent
				defer late.Stop()
				lines := bufio.NewScanner(out)
				for n := 1; lines.Scan(); n++ {
					if n == stop {
						_ = cmd.Process.Kill()
					}
				}
				_ = cmd.Wait() // killed
			})
		}
		spenders.Wait()
	}
	b.open()
	defer func() { require.NoError(t, b.db.Close()) }()
	n := checkSpent(t, b)
	t.Logf("%d gates that count", n)
	require.Greater(t, n, 40)
}

// checkSpent holds the attempts that count against the limits.
func checkSpent(t *testing.T, b *box) int {
	t.Helper()
	type gate struct {
		at, done  time.Time
		recipient string
		class     Class
	}
	var gates []gate
	rows, err := b.db.Read().Query(`SELECT gate_at, done_at, recipient, m.class FROM attempt a JOIN message m ON m.seq = a.message WHERE outcome <> 'not_sent' ORDER BY a.id`)
	require.NoError(t, err)
	for rows.Next() {
		var g gate
		var gate, done int64
		require.NoError(t, rows.Scan(&gate, &done, &g.recipient, &g.class))
		g.at, g.done = at(gate), at(done)
		gates = append(gates, g)
	}
	require.NoError(t, rows.Close())
	full := 0
	for i, last := range gates {
		for _, l := range spendable {
			segments, people := 0, map[string]bool{}
			for j, g := range gates[:i+1] {
				// As the network counts, at its worst: when it was answered.
				within := g.done.Format(time.DateOnly) == last.at.Format(time.DateOnly)
				switch l.Window {
				case WindowMinute:
					within = last.at.Sub(g.done) <= time.Minute
				case WindowHour:
					within = last.at.Sub(g.done) <= time.Hour
				}
				if within || j == i {
					segments++
					people[g.recipient] = true
				}
			}
			most, mostPeople := l.MaxSegments, l.MaxRecipients
			if last.class == Bulk {
				most, mostPeople = most*8/10, mostPeople*8/10
			}
			require.LessOrEqual(t, segments, most, "%s of %s", l.Window, last.at)
			if l.MaxRecipients > 0 && last.class != Bulk {
				require.LessOrEqual(t, len(people), mostPeople, "recipients, %s of %s", l.Window, last.at)
			}
			if segments == most {
				full++
			}
		}
	}
	require.NotZero(t, full, "a limit was reached")
	return len(gates)
}
