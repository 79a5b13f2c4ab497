package queue

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue/sqlite"
)

// TestACodeGoesWhetherAnybodyKnowsTheTimeOrNot: by the steady clock, while the time
// of day is nobody's, over restarts, and also when the end was never noted.
func TestACodeGoesWhetherAnybodyKnowsTheTimeOrNot(t *testing.T) {
	b := newBox(t)
	b.clock.trust(false)
	m := b.submit(Request{Text: "su código es 482913", Class: OTP})
	b.report(line(1), m.To, 1, stDelivered, b.sent(line(1), 1).SentAt)
	other := b.submit(Request{Text: "buenos días"})
	b.sent(line(1), 2)
	b.wake()
	b.clock.forward(14*time.Minute + 50*time.Second)
	b.wake()
	b.restart()
	b.wake()
	require.NotEmpty(t, b.get(m.ID).Text, "15 minutes are not over")
	b.clock.forward(10 * time.Second)
	b.rounds()
	got := b.get(m.ID)
	require.Empty(t, got.Text)
	require.Equal(t, Delivered, got.State)
	require.False(t, got.TextDeletedAt.IsZero())
	require.False(t, got.Damaged)
	require.Empty(t, b.everywhere("482913"))
	require.NotEmpty(t, b.get(other.ID).Text)

	// One that was final when this version first started, and one of a steady clock
	// that was ahead: from now on.
	for i, noted := range []int64{0, ms(b.clock.Now().Add(time.Hour))} {
		m := b.submit(Request{Text: "1234", Class: OTP, To: []string{fmt.Sprintf("+3460011133%d", i)}})
		b.sent(line(1), 3+i)
		b.raw(`UPDATE message SET ended_steady = ? WHERE seq = ?`, noted, m.Seq)
		b.rounds()
		b.clock.forward(mostOTPBody - keepRound - time.Second)
		b.rounds()
		require.Empty(t, b.get(m.ID).Text)
	}
}

// A code that is sent again begins anew.
func TestACodeThatIsSentAgainIsKept(t *testing.T) {
	b := newBox(t)
	b.clock.trust(false)
	m := b.submit(Request{Text: "1234", Class: OTP})
	_, a := b.gated(line(1))
	b.outcome(a, lost())
	b.clock.forward(policies[OTP].window)
	b.wake()
	b.rounds()
	require.Equal(t, Uncertain, b.get(m.ID).State)
	steady := func() (n int64) {
		require.NoError(t, b.db.Read().QueryRow(`SELECT ended_steady FROM message WHERE seq = ?`, m.Seq).Scan(&n))
		return n
	}
	require.NotZero(t, steady())
	b.clock.forward(mostOTPBody - time.Minute)
	_, err := b.Resolve(t.Context(), m.ID, ResolveResend, "ana")
	require.NoError(t, err)
	require.Zero(t, steady())
	b.clock.forward(2 * time.Minute)
	b.rounds()
	require.Equal(t, "1234", b.get(m.ID).Text)
}

// inFiles says which of the database's files hold the text.
func (b *box) inFiles(text string) (found []string) {
	b.t.Helper()
	files, err := filepath.Glob(b.path + "*")
	require.NoError(b.t, err)
	for _, f := range slices.Backward(files) { // first the log: what is in it moves to the database
		raw, err := os.ReadFile(f)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a note has been replaced
		}
		require.NoError(b.t, err)
		if bytes.Contains(raw, []byte(text)) {
			found = append(found, filepath.Base(f))
		}
	}
	return found
}

// TestADeletedCodeIsInNoFile: neither in the database nor in its log, a quarter of
// an hour after its end, on a box that writes little more.
func TestADeletedCodeIsInNoFile(t *testing.T) {
	b := newBox(t)
	const code = "kX7-482913-qZ"
	send := func() Message {
		m := b.keyed("a", Request{To: []string{"+34600111222"}, Text: "Su código es " + code, Class: OTP}).Messages[0]
		b.report(line(1), m.To, 1, stDelivered, b.sent(line(1), 1).SentAt)
		return m
	}
	m := send()
	require.NotEmpty(t, b.inFiles(code))
	b.rounds()
	b.clock.forward(mostOTPBody)
	b.rounds()
	require.Empty(t, b.get(m.ID).Text)
	require.Empty(t, b.inFiles(code))

	// Not oftener than every quarter of an hour: the next one waits for that.
	size := func() int64 {
		st, err := os.Stat(b.path + "-wal")
		require.NoError(t, err)
		return st.Size()
	}
	b.clock.forward(time.Minute)
	other := b.submit(Request{Text: "2-" + code, Class: OTP, To: []string{"+34600111333"}})
	ret := DefaultRetention()
	ret.OTP.Body = 0
	require.NoError(t, b.SetRetention(t.Context(), ret, "ana"))
	b.sent(line(1), 2)
	b.rounds()
	b.rounds()
	require.Empty(t, b.get(other.ID).Text)
	before := size()
	require.NotZero(t, before)
	b.clock.forward(10 * time.Minute)
	b.wake()
	require.GreaterOrEqual(t, size(), before)
	require.NotEmpty(t, b.inFiles("2-"+code))
	// A restart in between forgets nothing.
	b.restart()
	b.wake()
	require.Empty(t, b.inFiles(code))
	v, err := b.Setting(t.Context(), settingScrub)
	require.NoError(t, err)
	require.Empty(t, v)
}

// What a reader still needs of the log is not waited for: modems would.
func TestTheLogIsCutWhenNobodyReadsIt(t *testing.T) {
	b := newBox(t)
	tx, err := b.db.Read().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	var n int
	require.NoError(t, tx.QueryRow(`SELECT count(*) FROM message`).Scan(&n))
	b.submit(Request{Text: "kX7-482913-qZ", Class: OTP})
	b.sent(line(1), 1)
	b.rounds()
	b.clock.forward(mostOTPBody)
	begun := time.Now()
	b.rounds()
	require.Less(t, time.Since(begun), 4*time.Second, "busy_timeout is 5 s")
	require.NotEmpty(t, b.inFiles("kX7-482913-qZ"))
	require.NoError(t, tx.Rollback())
	b.clock.forward(scrubAgain)
	b.rounds()
	require.Empty(t, b.inFiles("kX7-482913-qZ"))
	var timeout int
	require.NoError(t, b.db.Write(t.Context(), 0, func(w *sqlite.Tx) error { return w.QueryRow(`PRAGMA busy_timeout`).Scan(&timeout) }))
	require.Equal(t, 5000, timeout)
}

// What is deleted after the log was cut, and before that is noted, waits for the next cut.
func TestATextDeletedWhileTheLogIsCutIsNotForgotten(t *testing.T) {
	b := newBox(t)
	ctx := t.Context()
	deleted := func(tx *sqlite.Tx) error { return b.deleted(tx, 1, 0) }
	b.scrub.loaded = true
	require.NoError(t, b.db.Write(ctx, sqlite.Ordinary, deleted))
	begun, free := make(chan struct{}), make(chan struct{})
	ended := make(chan error, 3)
	go func() {
		ended <- b.db.Write(ctx, sqlite.Ordinary, func(*sqlite.Tx) error { close(begun); <-free; return nil })
	}()
	<-begun
	go func() { ended <- b.scrubLog(ctx, instant{steady: scrubTexts.Milliseconds()}) }()
	time.Sleep(300 * time.Millisecond) // now it waits for the writer
	go func() { ended <- b.db.Write(ctx, sqlite.Ordinary, deleted) }()
	time.Sleep(100 * time.Millisecond)
	close(free)
	for range cap(ended) {
		require.NoError(t, <-ended)
	}
	v, err := b.Setting(ctx, settingScrub)
	require.NoError(t, err)
	require.NotEmpty(t, v, "also after a restart")
	b.mu.Lock()
	defer b.mu.Unlock()
	require.True(t, b.scrub.codes)
	require.False(t, b.scrub.texts)
}
