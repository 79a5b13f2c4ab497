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
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue/sqlite"
)

const killEnv = "RECADO_TEST_VICTIM"

// victim submits, claims, gates and answers for ever, and prints what it was
// told to be on disk.
func victim(path string) {
	say := func(v ...any) { _, _ = fmt.Fprintln(os.Stdout, v...) } // one write a line
	ctx := context.Background()
	db, err := sqlite.Open(ctx, path, sqlite.Options{ReserveWAL: -1, ReserveFree: -1})
	if err != nil {
		say("error", err)
		return
	}
	s, err := New(ctx, db, Options{})
	if err != nil {
		say("error", err)
		return
	}
	for c := range 8 {
		go func() {
			for i := 0; ; i++ {
				res, err := s.Submit(ctx, Request{To: []string{fmt.Sprintf("+3461%07d", c*1000+i%1000)}, Text: strings.Repeat("Prueba ", 1+i%40), Class: Bulk}, nil)
				if err != nil {
					say("error", err)
					return
				}
				say("submitted", res.Messages[0].ID)
			}
		}()
	}
	l := line(1)
	for mr := 0; ; mr++ {
		c, err := s.Claim(ctx, l)
		if err != nil {
			say("error", err)
			return
		}
		if c == nil {
			continue
		}
		a, err := s.Gate(ctx, l, c.Message.Seq, c.Next+1)
		if err != nil {
			say("error", err)
			return
		}
		say("gated", a)
		if _, err := s.Outcome(ctx, a, Outcome{Verdict: Accepted, MR: mr % 256}, nil); err != nil {
			say("error", err)
			return
		}
		say("answered", a)
	}
}

// TestKill kills the program at random moments: whatever it had acknowledged is
// there after, an answer that it was not told of is uncertain.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recado.db")
	submitted, gated, answered := map[string]bool{}, map[int64]bool{}, map[int64]bool{}
	uncertain := 0
	for round := range 25 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), killEnv+"="+path)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(out)
		stop := 20 + rand.IntN(200) // acknowledgements, then the kill
		for n := 0; lines.Scan(); n++ {
			if n == stop {
				// Not waited for: what is already in the pipe counts too.
				require.NoError(t, cmd.Process.Kill())
			}
			what, id, _ := strings.Cut(lines.Text(), " ")
			switch what {
			case "submitted":
				submitted[id] = true
			case "gated", "answered":
				n, err := strconv.ParseInt(id, 10, 64)
				require.NoError(t, err)
				map[string]map[int64]bool{"gated": gated, "answered": answered}[what][n] = true
			default:
				t.Fatalf("the victim said %q", lines.Text())
			}
		}
		_ = cmd.Wait() // killed

		b := &box{t: t, path: path, clock: newClock()}
		b.clock.now = time.Now()
		b.open()
		uncertain = checkKilled(t, b, round, submitted, gated, answered)
		require.NoError(t, b.db.Close())
	}
	require.NotEmpty(t, submitted)
	require.NotEmpty(t, answered)
	t.Logf("%d submitted, %d answered, %d uncertain", len(submitted), len(answered), uncertain)
}

func checkKilled(t *testing.T, b *box, round int, submitted map[string]bool, gated, answered map[int64]bool) (uncertain int) {
	t.Helper()
	count := func(query string, args ...any) (n int) {
		t.Helper()
		require.NoError(t, b.db.Read().QueryRow(query, args...).Scan(&n))
		return n
	}
	var check string
	require.NoError(t, b.db.Read().QueryRow(`PRAGMA quick_check`).Scan(&check))
	require.Equal(t, "ok", check)
	there := map[string]bool{}
	rows, err := b.db.Read().Query(`SELECT id FROM message`)
	require.NoError(t, err)
	for rows.Next() {
		var id string
		require.NoError(t, rows.Scan(&id))
		there[id] = true
	}
	require.NoError(t, rows.Close())
	for id := range submitted {
		require.True(t, there[id], "round %d: acknowledged message %s is lost", round, id)
	}
	outcomes := map[int64]string{}
	rows, err = b.db.Read().Query(`SELECT id, outcome FROM attempt`)
	require.NoError(t, err)
	for rows.Next() {
		var id int64
		var outcome string
		require.NoError(t, rows.Scan(&id, &outcome))
		outcomes[id] = outcome
		if outcome == "ambiguous" {
			uncertain++
		}
	}
	require.NoError(t, rows.Close())
	for id := range answered {
		require.Equal(t, "accepted", outcomes[id], "round %d: attempt %d", round, id)
	}
	for id := range gated {
		require.NotEmpty(t, outcomes[id], "round %d: attempt %d passed the gate and is lost, or still open", round, id)
	}
	require.Zero(t, count(`SELECT count(*) FROM message WHERE claimed_by <> ''`))
	require.Equal(t, uncertain, count(`SELECT count(*) FROM message WHERE state = 'uncertain'`))
	require.Equal(t, count(`SELECT count(*) FROM message`), count(`SELECT sum(n) FROM tally`))
	return uncertain
}
