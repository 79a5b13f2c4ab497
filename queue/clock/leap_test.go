package clock_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue"
	"recado/queue/sqlite"
)

// ended submits a message that is at its end at once.
func (w *world) ended() string {
	w.t.Helper()
	r, err := w.store.Submit(context.Background(), queue.Request{To: []string{"+34600111222"}, Text: "keep me"}, nil)
	require.NoError(w.t, err)
	_, err = w.store.Cancel(context.Background(), r.Messages[0].ID)
	require.NoError(w.t, err)
	return r.Messages[0].ID
}

// there says whether a message is still there, after the rounds that delete.
func (w *world) there(id string) bool {
	w.t.Helper()
	for range 4 {
		_, err := w.store.Wake(context.Background())
		require.NoError(w.t, err)
	}
	m, err := w.store.Message(context.Background(), id)
	if err != nil {
		require.ErrorIs(w.t, err, queue.ErrNotFound)
		return false
	}
	return m.Text != ""
}

// TestAWrongWordDeletesNothing: one reading of a network, or a slip of an
// operator, ten years ahead: nothing is deleted for a day, over a restart too.
func TestAWrongWordDeletesNothing(t *testing.T) {
	for name, word := range map[string]func(w *world){
		"network": func(w *world) {
			w.reboot(time.Minute, 0)
			w.clock.SCTS("+34609", w.true.AddDate(10, 0, 0), true)
			w.clock.NITZ("modem1", w.true.AddDate(10, 0, 0), true, true)
		},
		"operator": func(w *world) {
			require.NoError(w.t, w.clock.Trust(context.Background(), "ana", w.true.AddDate(10, 0, 0), true))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, t.TempDir())
			defer func() { _ = w.db.Close() }()
			w.lied = true
			w.ntp()
			require.True(t, w.clock.Settled())
			id := w.ended()
			word(w)
			require.True(t, w.clock.Trusted())
			require.False(t, w.clock.Settled())
			require.True(t, w.there(id))
			w.restart()
			require.True(t, w.clock.Trusted())
			require.False(t, w.clock.Settled(), "a restart does not forget it")
			require.True(t, w.there(id))
			w.pass(23 * time.Hour)
			require.True(t, w.there(id))
			w.pass(61 * time.Minute)
			require.True(t, w.clock.Settled())
			require.False(t, w.there(id), "nobody said otherwise for a day")
		})
	}
}

// TestNTPSettlesALeap, and an operator's later word lowers the high-water mark.
func TestNTPSettlesALeap(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer func() { _ = w.db.Close() }()
	w.lied = true
	w.ntp()
	id := w.ended()
	require.NoError(t, w.clock.Trust(context.Background(), "ana", w.true.AddDate(10, 0, 0), true))
	require.NoError(t, w.clock.Trust(context.Background(), "ana", w.true, false))
	require.WithinDuration(t, w.true, w.clock.Status().HighWater, time.Minute, "also downwards")
	require.False(t, w.clock.Settled(), "whoever slipped once")
	require.True(t, w.there(id))
	w.ntp()
	w.pass(2 * time.Second)
	require.Equal(t, "ntp", w.clock.Status().Source)
	require.True(t, w.clock.Settled())
	require.True(t, w.there(id))
}

// TestBlankingReachesTheConversation also when the answer was dated by a clock
// that was years ahead.
func TestBlankingReachesTheConversation(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer func() { _ = w.db.Close() }()
	w.ntp()
	require.NoError(t, w.db.Write(context.Background(), sqlite.Ordinary, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`INSERT INTO conversation (number, last_at, last_text, iccid) VALUES ('+34600111222', 1, 'hi', 'x')`)
		return err
	}))
	w.reboot(time.Minute, w.at(time.Date(2038, 1, 19, 0, 0, 0, 0, time.UTC)))
	require.False(t, w.clock.Trusted())
	id := w.ended()
	w.ntp()
	require.True(t, w.there(id))
	w.pass(31 * 24 * time.Hour)
	require.False(t, w.there(id))
	var text string
	require.NoError(t, w.db.Read().QueryRow(`SELECT last_text FROM conversation`).Scan(&text))
	require.Empty(t, text)
}
