package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTeardownStopsNewestFirstWhateverFails(t *testing.T) {
	down := &teardown{log: slog.New(slog.DiscardHandler)}
	var order []string
	stop := func(name string, err error) {
		down.add(name, func(context.Context) error {
			order = append(order, name)
			return err
		})
	}
	stop("database", errors.New("disk gone"))
	stop("ports", nil)
	stop("HTTP", errors.New("busy"))
	err := down.run(t.Context())
	require.Equal(t, []string{"HTTP", "ports", "database"}, order)
	require.ErrorContains(t, err, "stop HTTP: busy")
	require.ErrorContains(t, err, "stop database: disk gone")
	require.NoError(t, down.run(t.Context()), "what is stopped is not stopped twice")
}

func TestARunnerThatEndsByItselfIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parts := newRunners()
		parts.start("quiet", func() error { return nil })
		require.EqualError(t, <-parts.failed, "quiet ended by itself: it returned")
		parts.start("loud", func() error { return errors.New("boom") })
		require.EqualError(t, <-parts.failed, "loud ended by itself: boom")
		parts.stopping()
		<-parts.start("late", func() error { return errors.New("told to") })
		synctest.Wait()
		require.Empty(t, parts.failed)
	})
}

func TestAwaitGivesUpAfterItsGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bound, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		require.Error(t, await(bound, make(chan struct{}), 3*time.Second))
		require.Equal(t, 63*time.Second, time.Since(began))
		ended := make(chan struct{})
		close(ended)
		require.NoError(t, await(bound, ended, time.Second))
	})
}

func TestOneProcessAFolder(t *testing.T) {
	dir := dataDir(filepath.Join(t.TempDir(), "deep", "data"))
	require.NoError(t, dir.create())
	state, err := os.Stat(string(dir))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), state.Mode().Perm())

	first, err := dir.lock()
	require.NoError(t, err)
	_, err = dir.lock()
	locked, ok := errors.AsType[*lockedError](err)
	require.True(t, ok)
	require.Equal(t, os.Getpid(), locked.pid)
	require.ErrorContains(t, err, "name another folder with --data")
	require.NoError(t, first.Close())
	again, err := dir.lock()
	require.NoError(t, err)
	require.NoError(t, again.Close())
}

func TestRootBecomesTheFoldersOwner(t *testing.T) {
	folder := t.TempDir()
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chown(folder, 65534, 65534))
	}
	uid, _, needed, err := dataDir(folder).owner(0)
	require.NoError(t, err)
	require.NotZero(t, uid)
	require.True(t, needed, "root would leave files that the daemon cannot open")
	_, _, needed, err = dataDir(folder).owner(uid)
	require.NoError(t, err)
	require.False(t, needed)
	_, _, needed, err = dataDir("/").owner(0)
	require.NoError(t, err)
	require.False(t, needed, "root's own folder")
}

func TestLogbook(t *testing.T) {
	book := newLogbook()
	var journal strings.Builder
	log := newLogger(&journal, book, slog.LevelInfo)
	log.Debug("not written")
	for range logbookLines + 5 {
		log.Info("old")
	}
	log.Info("newest")
	recent, lines, stop := book.follow(2)
	require.Len(t, recent, 2)
	require.Contains(t, recent[1], "msg=newest")
	log.Warn("live")
	require.Contains(t, <-lines, "msg=live")
	stop()
	log.Warn("unheard")
	require.Empty(t, lines)
	require.NotContains(t, journal.String(), "not written")
	require.Contains(t, journal.String(), "unheard")

	// Who does not read never holds up the log.
	_, slow, stop := book.follow(0)
	defer stop()
	for range 2 * followerLines {
		log.Info("flood")
	}
	require.Len(t, slow, followerLines)
}

func TestErrorsAreOneLine(t *testing.T) {
	require.Equal(t, "a; b", oneLine(errors.Join(errors.New("a"), errors.New("b"))))
}
