package queue

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue/sqlite"
)

// TestAKeptAnswerNeedsNoRoom: whoever asks again, because the first answer was
// lost, is told what became of it also when the disk is full.
func TestAKeptAnswerNeedsNoRoom(t *testing.T) {
	const disk = 10 << 30
	var free atomic.Int64
	free.Store(disk)
	ctx := context.Background()
	db, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "recado.db"),
		sqlite.Options{Room: func() (int64, int64, error) { return free.Load(), disk, nil }})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	s, err := New(ctx, db, Options{Clock: newClock()})
	require.NoError(t, err)
	ask := func(key, hash string) (Result, error) {
		return s.Submit(ctx, Request{To: []string{"+34600111222"}, Text: "Hola", Class: Alert},
			&Idempotency{Scope: "k", Key: key, Hash: []byte(hash), Answer: func(Result) []byte { return []byte(`{"kept":1}`) }})
	}
	_, err = ask("one", "h")
	require.NoError(t, err)
	free.Store(0)
	require.Eventually(t, func() bool { _, err := ask("two", "h"); return err != nil }, 20*time.Second, 50*time.Millisecond, "the disk is full")
	_, err = ask("two", "h")
	require.ErrorIs(t, err, sqlite.ErrFull)
	again, err := ask("one", "h")
	require.NoError(t, err)
	require.JSONEq(t, `{"kept":1}`, string(again.Replayed))
	_, err = ask("one", "other")
	require.ErrorIs(t, err, ErrMismatch)
}
