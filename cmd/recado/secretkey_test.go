package main

import (
	"bytes"
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"recado/queue"
)

func TestTheKeyForPINs(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	dir := dataDir(t.TempDir())
	key, err := dir.secret()
	require.NoError(t, err)
	require.Len(t, key, queue.KeySize)
	require.NotEqual(t, make([]byte, queue.KeySize), key)
	mode := func() os.FileMode {
		info, err := os.Stat(dir.secretFile())
		require.NoError(t, err)
		return info.Mode().Perm()
	}
	require.Equal(t, os.FileMode(0o600), mode())
	require.NoFileExists(t, dir.secretFile()+".part")

	again, err := dir.secret()
	require.NoError(t, err)
	require.Equal(t, key, again, "made once")
	require.NoError(t, os.Chmod(dir.secretFile(), 0o644))
	_, err = dir.secret()
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), mode())

	other, err := dataDir(t.TempDir()).secret()
	require.NoError(t, err)
	require.NotEqual(t, key, other)

	// A credential wins; a service without one has the folder all the same.
	given := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", given)
	again, err = dir.secret()
	require.NoError(t, err)
	require.Equal(t, key, again)
	credential := bytes.Repeat([]byte{0xa5}, queue.KeySize)
	file := filepath.Join(given, secretName)
	for _, text := range []string{string(credential), hex.EncodeToString(credential), hex.EncodeToString(credential) + "\n"} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o400))
		got, err := dir.secret()
		require.NoError(t, err)
		require.Equal(t, credential, got)
		require.NoError(t, os.Remove(file))
	}
	for _, text := range []string{"", "secret", string(credential[:31]), hex.EncodeToString(credential[:31])} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		_, err := dir.secret()
		require.ErrorContains(t, err, "is no key")
		require.NotContains(t, err.Error(), "secret\"")
	}
}

// TestAHalfWrittenKeyIsMadeAnew: the power went while it was written.
func TestAHalfWrittenKeyIsMadeAnew(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	dir := dataDir(t.TempDir())
	require.NoError(t, os.WriteFile(dir.secretFile()+".part", []byte("half"), 0o600))
	key, err := dir.secret()
	require.NoError(t, err)
	again, err := dir.secret()
	require.NoError(t, err)
	require.Equal(t, key, again)
}

// TestWhatIsRememberedOutlivesTheDaemon: the stores are opened with the same key
// each time, and without it they know no PIN.
func TestWhatIsRememberedOutlivesTheDaemon(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	dir := dataDir(t.TempDir())
	const iccid = "8934079900000000011"
	open := func() *stores {
		kept, err := openStores(t.Context(), dir, phoneFlag{Country: "ES"}, newClock(true), slog.New(slog.DiscardHandler), nil)
		require.NoError(t, err)
		t.Cleanup(func() { _ = kept.db.Close() })
		return kept
	}
	kept := open()
	require.NoError(t, kept.queue.CodeWorked(t.Context(), iccid, queue.CodePIN, "4711", "4711"))
	require.NoError(t, kept.db.Close())
	kept = open()
	pin, err := kept.queue.RememberedPIN(t.Context(), iccid)
	require.NoError(t, err)
	require.Equal(t, "4711", pin)
	require.NoError(t, kept.db.Close())
	require.NoError(t, os.Remove(dir.secretFile()))
	_, err = open().queue.RememberedPIN(t.Context(), iccid)
	require.ErrorIs(t, err, queue.ErrSealed)
}
