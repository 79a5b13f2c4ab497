package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"recado/queue"
	"recado/queue/backup"
)

// TestErasingANumberReplacesTheBackups: what an erasure leaves behind is in no
// automatic copy and in none that a migration has made.
func TestErasingANumberReplacesTheBackups(t *testing.T) {
	ctx := t.Context()
	dir := dataDir(filepath.Join(t.TempDir(), "data"))
	require.NoError(t, dir.create())
	clock, log := newClock(true), slog.New(slog.DiscardHandler)
	kept, err := openStores(ctx, dir, phoneFlag{Country: "ES"}, clock, log, prometheus.NewRegistry())
	require.NoError(t, err)
	defer func() { require.NoError(t, kept.db.Close()) }()
	src, err := dir.source()
	require.NoError(t, err)
	waits := make(chan time.Duration)
	keeper := backup.NewKeeper(backup.Options{Source: src, Key: kept.key, Clock: clock, Log: log,
		After: func(d time.Duration) <-chan time.Time { waits <- d; return nil }})
	_, err = kept.queue.Submit(ctx, queue.Request{To: []string{"+34600111222"}, Text: "secret"}, nil)
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, keeper.Make(ctx))
	}
	bak := dir.database() + ".schema2-" + time.Now().UTC().Format("20060102-150405") + ".bak"
	require.NoError(t, os.WriteFile(bak, []byte("+34600111222"), 0o600))
	running := make(chan error)
	go func() { running <- keeper.Run(ctx) }()
	<-waits
	care := dir.care(kept, clock, keeper)
	_, err = care.Erase(ctx, "", "ana")
	require.Error(t, err, "no number: nothing is done")
	require.NoFileExists(t, filepath.Join(backup.LocalFolder(string(dir)), "renew"))
	require.FileExists(t, bak)
	e, err := care.Erase(ctx, "+34600111222", "ana")
	require.NoError(t, err)
	require.Equal(t, 1, e.Messages)
	<-waits
	require.Empty(t, keeper.Status().Error)
	require.NoFileExists(t, bak)
	list, err := backup.Copies(backup.LocalFolder(string(dir)))
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.EqualValues(t, 3, list[0].No)
}
