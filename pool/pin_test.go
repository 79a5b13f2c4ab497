package pool_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem"
	"recado/modem/emulator"
	"recado/pool"
	"recado/queue"
	"recado/queue/inbox"
	"recado/queue/sqlite"
)

// safeBuffer is a log that tests read.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// pinRig is a program with one emulated modem; run starts it again on the same
// data.
type pinRig struct {
	*rig
	em   *emulator.Modem
	path string
	logs *safeBuffer
	stop func()
}

func newPINRig(t *testing.T, pin, puk string) *pinRig {
	p := &pinRig{rig: &rig{t: t, clock: &manualClock{}}, path: filepath.Join(t.TempDir(), "recado.db"), logs: &safeBuffer{}}
	p.net = emulator.NewNetwork(emulator.NetworkOptions{})
	p.em = p.net.AddModem(emulator.ModemOptions{BootTime: time.Millisecond, PIN: pin, PUK: puk})
	p.run()
	t.Cleanup(func() {
		p.stop()
		require.NoError(t, p.net.Close())
	})
	return p
}

func (p *pinRig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	log := slog.New(slog.NewTextHandler(p.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	db, err := sqlite.Open(ctx, p.path, sqlite.Options{Log: log, ReserveWAL: -1, ReserveFree: -1})
	require.NoError(p.t, err)
	p.store, err = queue.New(ctx, db, queue.Options{Clock: p.clock, Log: log, Key: bytes.Repeat([]byte{3}, queue.KeySize)})
	require.NoError(p.t, err)
	p.inbox = inbox.New(db, p.store, inbox.Options{Clock: p.clock, Log: log})
	p.pool = pool.New(pool.Options{Store: p.store, Inbox: p.inbox, Clock: p.clock, Log: log})
	require.NoError(p.t, p.pool.Add(pool.Port{Name: "emulated:0", Open: p.em.Open, Emulated: true}))
	done := make(chan error, 1)
	running := p.pool
	go func() { done <- running.Run(ctx) }()
	p.stop = func() {
		cancel()
		require.NoError(p.t, <-done)
		require.NoError(p.t, db.Close())
	}
}

func (p *pinRig) id() string { return p.pool.Modems()[0].ID }

// blocked waits until the SIM waits for somebody, for a reason with word in it.
func (p *pinRig) blocked(word string) {
	p.t.Helper()
	p.until("a SIM that wants "+word, func() bool {
		m := p.pool.Modems()[0]
		return m.State == modem.StateSIMBlocked && strings.Contains(m.Reason, word)
	})
}

// entered counts the codes that reached the modem in this run of the program.
func (p *pinRig) entered() (n int) {
	trace, err := p.pool.Trace(p.id())
	require.NoError(p.t, err)
	for _, e := range trace {
		if e.Out && strings.HasPrefix(e.Line, "AT+CPIN=") {
			n++
		}
	}
	return n
}

// shown is everything that a person can come to see.
func (p *pinRig) shown() string {
	var b strings.Builder
	trace, err := p.pool.Trace(p.id())
	require.NoError(p.t, err)
	history, err := p.pool.History(p.id())
	require.NoError(p.t, err)
	sims, err := p.pool.SIMs(context.Background())
	require.NoError(p.t, err)
	text, err := json.Marshal([]any{p.pool.Modems(), sims, trace, history})
	require.NoError(p.t, err)
	fmt.Fprintf(&b, "%s\n%s\n", text, p.logs.String())
	files, err := filepath.Glob(p.path + "*")
	require.NoError(p.t, err)
	for _, f := range files {
		data, err := os.ReadFile(f)
		require.NoError(p.t, err)
		b.Write(data)
	}
	return b.String()
}

// spoil uses up the SIM's tries, as another program would.
func (p *pinRig) spoil() {
	port, err := p.em.Open(context.Background())
	require.NoError(p.t, err)
	defer port.Close()
	r := bufio.NewReader(port)
	for range 3 {
		_, err := port.Write([]byte("AT+CPIN=\"0000\"\r"))
		require.NoError(p.t, err)
		for line := ""; !strings.Contains(line, "ERROR"); {
			line, err = r.ReadString('\n')
			require.NoError(p.t, err)
		}
	}
}

func TestPINsAreRemembered(t *testing.T) { synctest.Test(t, testPINsAreRemembered) }

func testPINsAreRemembered(t *testing.T) {
	const pin, puk = "4711", "12345678"
	ctx := context.Background()
	p := newPINRig(t, pin, puk)
	var seen strings.Builder
	look := func(err error) {
		fmt.Fprintf(&seen, "%v\n", err)
		seen.WriteString(p.shown())
	}
	remembers := func(want bool) {
		t.Helper()
		is, err := p.pool.RemembersPIN(ctx, p.em.ICCID())
		require.NoError(t, err)
		require.Equal(t, want, is)
	}
	p.blocked("enter it")
	err := p.pool.EnterPIN(ctx, p.id(), "9998")
	require.Error(t, err)
	look(err)
	require.NoError(t, p.pool.EnterPIN(ctx, p.id(), pin))
	p.ready(1)
	look(nil)
	remembers(true)

	// A restart of the program, and of the modem with it.
	p.stop()
	p.em.Reboot()
	p.run()
	p.ready(1)
	require.Equal(t, 1, p.entered())
	look(nil)

	// What was refused stays so; what is forgotten has to be entered.
	require.NoError(t, p.pool.ForgetPIN(ctx, p.em.ICCID()))
	remembers(false)
	p.stop()
	p.em.Reboot()
	p.run()
	p.blocked("enter it")
	require.ErrorContains(t, p.pool.EnterPIN(ctx, p.id(), "9998"), "before")
	require.Zero(t, p.entered())

	// The PUK, wrong and right.
	p.stop()
	p.spoil()
	p.run()
	p.blocked("PUK")
	err = p.pool.EnterPUK(ctx, p.id(), "87654321", "5823")
	require.Error(t, err)
	look(err)
	require.ErrorContains(t, p.pool.EnterPUK(ctx, p.id(), "87654321", "5823"), "before")
	require.NoError(t, p.pool.EnterPUK(ctx, p.id(), puk, "5823"))
	p.ready(1)
	remembers(true)
	require.Equal(t, 2, p.entered())
	look(nil)
	p.stop()
	p.em.Reboot()
	p.run()
	p.ready(1)
	require.Equal(t, 1, p.entered(), "the new PIN")
	look(nil)

	require.ErrorIs(t, p.pool.EnterPUK(ctx, "nobody", puk, pin), pool.ErrNoModem)
	require.ErrorIs(t, p.pool.ForgetPIN(ctx, "nothing"), pool.ErrNoSIM)
	_, err = p.pool.RemembersPIN(ctx, "nothing")
	require.ErrorIs(t, err, pool.ErrNoSIM)
	require.Contains(t, seen.String(), "opened the SIM")
	for _, code := range []string{pin, puk, "9998", "5823", "87654321"} {
		require.False(t, hasNumber(seen.String(), code), code)
	}
	require.True(t, hasNumber("PIN 4711.", pin))
	require.False(t, hasNumber("14711 47110", pin))
}

// hasNumber finds digits that stand by themselves; a regular expression takes
// half a minute over so much text.
func hasNumber(text, digits string) bool {
	digit := func(i int) bool { return i >= 0 && i < len(text) && text[i] >= '0' && text[i] <= '9' }
	for at := 0; ; {
		i := strings.Index(text[at:], digits)
		if i < 0 {
			return false
		}
		if at += i; !digit(at-1) && !digit(at+len(digits)) {
			return true
		}
		at++
	}
}
