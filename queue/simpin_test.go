package queue

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"recado/queue/sqlite"
)

const pinKillEnv = "RECADO_TEST_PIN_VICTIM"

var pinKey = bytes.Repeat([]byte{7}, KeySize)

const (
	anICCID = "8934079900000000011"
	another = "8934079900000000029"
)

// pinStore is a store with a key, and a way to open it anew with another.
func pinStore(t *testing.T, path string, key []byte) (*Store, *sqlite.DB) {
	t.Helper()
	db, err := sqlite.Open(context.Background(), path, sqlite.Options{ReserveWAL: -1, ReserveFree: -1})
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	s, err := New(context.Background(), db, Options{Clock: newClock(), Key: key})
	require.NoError(t, err)
	return s, db
}

func TestWhatASIMWasSent(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "recado.db")
	s, db := pinStore(t, path, pinKey)
	tried := func(sim string, kind CodeKind, code string) CodeTry {
		t.Helper()
		r, err := s.CodeTried(ctx, sim, kind, code)
		require.NoError(t, err)
		return r
	}
	fresh := CodeTry{Before: -1, After: -1}
	require.Equal(t, fresh, tried(anICCID, CodePIN, "4711"))
	require.Error(t, s.TryCode(ctx, "", CodePIN, "4711", 3), "of no SIM")

	require.NoError(t, s.TryCode(ctx, anICCID, CodePIN, "1111", 3))
	require.Equal(t, CodeTry{State: CodeSent, Before: 3, After: -1, Sends: 1, Failed: true}, tried(anICCID, CodePIN, "1111"))
	require.Equal(t, fresh, tried(another, CodePIN, "1111"), "another SIM")
	require.Equal(t, fresh, tried(anICCID, CodePUK, "1111"), "another kind")
	require.Equal(t, CodeTry{Before: -1, After: -1, Failed: true}, tried(anICCID, CodePIN, "4711"))
	require.NoError(t, s.CodeRefused(ctx, anICCID, CodePIN, "1111", 2))
	require.Equal(t, CodeTry{State: CodeRefused, Before: 3, After: 2, Sends: 1, Failed: true}, tried(anICCID, CodePIN, "1111"))

	require.NoError(t, s.TryCode(ctx, anICCID, CodePIN, "4711", 2))
	require.NoError(t, s.CodeWorked(ctx, anICCID, CodePIN, "4711", "4711"))
	require.Equal(t, CodeTry{State: CodeWorked, Before: 2, After: -1, Worked: true}, tried(anICCID, CodePIN, "4711"))
	require.Equal(t, CodeRefused, tried(anICCID, CodePIN, "1111").State, "for ever")
	require.False(t, tried(anICCID, CodePIN, "1111").Failed, "the counter is full again")

	// It is all there after a restart; a new send of what worked is counted.
	require.NoError(t, db.Close())
	s, db = pinStore(t, path, pinKey)
	require.NoError(t, s.TryCode(ctx, anICCID, CodePIN, "4711", 3))
	require.NoError(t, s.TryCode(ctx, anICCID, CodePIN, "4711", 3))
	require.Equal(t, CodeTry{State: CodeSent, Before: 3, After: -1, Sends: 2, Worked: true, Failed: true}, tried(anICCID, CodePIN, "4711"))
	require.Equal(t, CodeRefused, tried(anICCID, CodePIN, "1111").State)
	pin, err := s.RememberedPIN(ctx, anICCID)
	require.NoError(t, err)
	require.Equal(t, "4711", pin)

	// Nothing in the files is a PIN.
	require.NoError(t, db.Close())
	files, err := filepath.Glob(path + "*")
	require.NoError(t, err)
	for _, f := range files {
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		require.NotContains(t, string(text), "4711", f)
		require.NotContains(t, string(text), "1111", f)
	}
}

func TestAnAnswerThatNobodyLivedToSee(t *testing.T) {
	ctx := context.Background()
	s, _ := pinStore(t, filepath.Join(t.TempDir(), "recado.db"), pinKey)
	state := func(code string) CodeState {
		r, err := s.CodeTried(ctx, anICCID, CodePIN, code)
		require.NoError(t, err)
		return r.State
	}
	require.NoError(t, s.SIMOpened(ctx, anICCID), "nothing was sent")
	require.NoError(t, s.TryCode(ctx, another, CodePIN, "4711", 3))
	require.NoError(t, s.TryCode(ctx, anICCID, CodePIN, "4711", 3))
	require.NoError(t, s.SIMOpened(ctx, anICCID))
	require.Equal(t, CodeWorked, state("4711"))
	r, err := s.CodeTried(ctx, another, CodePIN, "4711")
	require.NoError(t, err)
	require.Equal(t, CodeSent, r.State, "of another SIM")
	require.NoError(t, s.TryCode(ctx, anICCID, CodePIN, "1111", 3))
	require.NoError(t, s.TryCode(ctx, anICCID, CodePIN, "2222", 3))
	require.NoError(t, s.SIMOpened(ctx, anICCID))
	require.Equal(t, CodeSent, state("1111"), "one of two: nobody knows which")
	require.Equal(t, CodeSent, state("2222"))
	pin, err := s.RememberedPIN(ctx, anICCID)
	require.NoError(t, err)
	require.Empty(t, pin, "only its hash was left")
}

func TestARememberedPIN(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "recado.db")
	s, db := pinStore(t, path, pinKey)
	is := func(want string) {
		t.Helper()
		pin, err := s.RememberedPIN(ctx, anICCID)
		require.NoError(t, err)
		require.Equal(t, want, pin)
		kept, err := s.RemembersPIN(ctx, anICCID)
		require.NoError(t, err)
		require.Equal(t, want != "", kept)
	}
	is("")
	require.NoError(t, s.CodeWorked(ctx, anICCID, CodePIN, "4711", ""))
	is("")
	require.NoError(t, s.CodeWorked(ctx, anICCID, CodePIN, "4711", "4711"))
	is("4711")
	require.NoError(t, s.CodeRefused(ctx, anICCID, CodePIN, "1111", 2))
	is("4711")
	require.NoError(t, s.CodeRefused(ctx, anICCID, CodePIN, "4711", 1))
	is("")
	// The PUK sets another one, whatever was on record of that.
	require.NoError(t, s.TryCode(ctx, anICCID, CodePUK, "12345678", 10))
	require.NoError(t, s.CodeWorked(ctx, anICCID, CodePUK, "12345678", "1111"))
	is("1111")
	r, err := s.CodeTried(ctx, anICCID, CodePIN, "1111")
	require.NoError(t, err)
	require.Equal(t, CodeWorked, r.State)
	require.False(t, r.Failed)
	r, err = s.CodeTried(ctx, anICCID, CodePUK, "12345678")
	require.NoError(t, err)
	require.Equal(t, CodeWorked, r.State)
	require.NoError(t, s.ForgetPIN(ctx, anICCID))
	is("")
	require.NoError(t, s.ForgetPIN(ctx, another), "nothing to forget")

	// Sealed for this SIM and under this key.
	require.NoError(t, s.CodeWorked(ctx, anICCID, CodePIN, "87654321", "87654321"))
	is("87654321")
	require.NoError(t, db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`INSERT INTO sim_pin SELECT '` + another + `', sealed, at FROM sim_pin`)
		return err
	}))
	_, err = s.RememberedPIN(ctx, another)
	require.ErrorIs(t, err, ErrSealed)
	require.NoError(t, db.Close())
	s, _ = pinStore(t, path, bytes.Repeat([]byte{8}, KeySize))
	_, err = s.RememberedPIN(ctx, anICCID)
	require.ErrorIs(t, err, ErrSealed)
	r, err = s.CodeTried(ctx, anICCID, CodePIN, "87654321")
	require.NoError(t, err)
	require.Equal(t, CodeNew, r.State, "another key knows nothing")
}

// TestSealedPINsTellNothing: neither how long a PIN is, nor that two are equal.
func TestSealedPINsTellNothing(t *testing.T) {
	k, err := newCodeKeys(pinKey)
	require.NoError(t, err)
	a, err := k.sealPIN(anICCID, "4711")
	require.NoError(t, err)
	b, err := k.sealPIN(anICCID, "4711")
	require.NoError(t, err)
	c, err := k.sealPIN(anICCID, "12345678")
	require.NoError(t, err)
	require.NotEqual(t, a, b)
	require.Len(t, c, len(a))
	_, err = k.sealPIN(anICCID, "123456789")
	require.Error(t, err)
	require.NotEqual(t, k.of(anICCID, CodePIN, "4711"), k.of(another, CodePIN, "4711"))
	require.Equal(t, k.of(anICCID, CodePIN, "4711"), k.of(anICCID, CodePIN, "4711"))
	_, err = newCodeKeys([]byte("short"))
	require.Error(t, err)
	one, err := newCodeKeys(nil)
	require.NoError(t, err)
	two, err := newCodeKeys(nil)
	require.NoError(t, err)
	require.NotEqual(t, one.of("", CodePIN, ""), two.of("", CodePIN, ""), "of this run only")
}

// pinVictim tries one PIN after the other and prints what is on disk, and only
// then would it be sent.
func pinVictim(path string) {
	ctx := context.Background()
	db, err := sqlite.Open(ctx, path, sqlite.Options{ReserveWAL: -1, ReserveFree: -1})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	s, err := New(ctx, db, Options{Key: pinKey})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	for i := range 10000 {
		code := fmt.Sprintf("%04d", i)
		if err := s.TryCode(ctx, anICCID, CodePIN, code, 3); err != nil {
			fmt.Println("error", err)
			return
		}
		fmt.Println("tried", code)
	}
}

// TestATryIsOnDiskBeforeItIsSent kills the program right after it was told so.
func TestATryIsOnDiskBeforeItIsSent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recado.db")
	for round := range 3 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), pinKillEnv+"="+path)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(out)
		last := ""
		for n := 0; n < 3+round && lines.Scan(); n++ {
			code, ok := strings.CutPrefix(lines.Text(), "tried ")
			require.True(t, ok, lines.Text())
			last = code
		}
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait() // killed
		require.NotEmpty(t, last)
		s, db := pinStore(t, path, pinKey)
		r, err := s.CodeTried(context.Background(), anICCID, CodePIN, last)
		require.NoError(t, err)
		require.Equal(t, CodeSent, r.State)
		require.NoError(t, db.Close())
	}
}
