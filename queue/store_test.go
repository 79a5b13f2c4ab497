package queue

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/pdu"
	"recado/queue/sqlite"
)

// clock is a wall clock that tests set.
type clock struct {
	mu        sync.Mutex
	now       time.Time
	untrusted bool
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Trusted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.untrusted
}

func (c *clock) trust(yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.untrusted = !yes
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// box is a Store over a real file, that can be closed and opened again.
type box struct {
	*Store
	t     testing.TB
	path  string
	db    *sqlite.DB
	clock *clock
	time  Clock // what the store goes by; nil: clock
}

// blank is a database with all tables and nothing in them: to make one takes longer
// than many a test.
var blank = sync.OnceValues(func() (content []byte, err error) {
	dir, err := os.MkdirTemp("", "recado-queue")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "recado.db")
	db, err := sqlite.Open(context.Background(), path, sqlite.Options{ReserveWAL: -1, ReserveFree: -1})
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

func newBox(t testing.TB) *box {
	t.Helper()
	b := &box{t: t, path: filepath.Join(t.TempDir(), "recado.db"), clock: newClock()}
	content, err := blank()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(b.path, content, 0o600))
	b.open()
	t.Cleanup(func() { _ = b.db.Close() })
	return b
}

func (b *box) open() {
	b.t.Helper()
	var err error
	b.db, err = sqlite.Open(context.Background(), b.path, sqlite.Options{ReserveWAL: -1, ReserveFree: -1})
	require.NoError(b.t, err)
	o := Options{Clock: b.clock}
	if b.time != nil {
		o.Clock = b.time
	}
	b.Store, err = New(context.Background(), b.db, o)
	require.NoError(b.t, err)
}

// restart is a stop that nobody was told of.
func (b *box) restart() {
	b.t.Helper()
	require.NoError(b.t, b.db.Close())
	b.open()
}

func (b *box) submit(r Request) Message {
	b.t.Helper()
	if r.To == nil {
		r.To = []string{"+34600111222"}
	}
	if r.Text == "" {
		r.Text = "Hola"
	}
	res, err := b.Submit(context.Background(), r, nil)
	require.NoError(b.t, err)
	require.Len(b.t, res.Messages, 1)
	return res.Messages[0]
}

func (b *box) get(id string) Message {
	b.t.Helper()
	m, err := b.Message(context.Background(), id)
	require.NoError(b.t, err)
	return m
}

func line(n int) Line {
	return Line{ICCID: fmt.Sprintf("89340000000000000%02d", n), IMSI: fmt.Sprintf("2140700000000%02d", n),
		Number: fmt.Sprintf("+346990000%02d", n), Modem: fmt.Sprintf("modem%d", n)}
}

func (b *box) claimed(l Line) *Claimed {
	b.t.Helper()
	c, err := b.Claim(context.Background(), l)
	require.NoError(b.t, err)
	return c
}

// gated claims the line's next message and opens its gate.
func (b *box) gated(l Line) (*Claimed, int64) {
	b.t.Helper()
	c := b.claimed(l)
	require.NotNil(b.t, c, "nothing to claim")
	a, err := b.Gate(context.Background(), l, c.Message.Seq, c.Next+1)
	require.NoError(b.t, err)
	return c, a
}

func (b *box) outcome(attempt int64, o Outcome) {
	b.t.Helper()
	if o.At.IsZero() {
		o.At = b.clock.Now()
	}
	_, err := b.Outcome(context.Background(), attempt, o, nil)
	require.NoError(b.t, err)
}

func accepted(mr int) Outcome { return Outcome{Verdict: Accepted, MR: mr} }

func lost() Outcome {
	return Outcome{Verdict: Ambiguous, MR: -1, Code: "timeout", Class: "unknown", Detail: "no answer in 180 s"}
}

// sent takes a one-segment message through the gate to its acceptance.
func (b *box) sent(l Line, mr int) Message {
	b.t.Helper()
	c, a := b.gated(l)
	b.outcome(a, accepted(mr))
	return b.get(c.Message.ID)
}

func (b *box) report(l Line, ra string, mr int, st uint8, scts time.Time) {
	b.t.Helper()
	require.NoError(b.t, b.Report(context.Background(), b.reportIn(l, ra, mr, st, scts)))
}

func (b *box) reportIn(l Line, ra string, mr int, st uint8, scts time.Time) ReportIn {
	now := b.clock.Now()
	raw := fmt.Sprintf("%s %d %d %d %d", ra, mr, st, scts.UnixMilli(), now.UnixMilli())
	return ReportIn{ICCID: l.ICCID, IMSI: l.IMSI, Modem: l.Modem, At: now,
		PDU: pdu.Received{Kind: pdu.KindStatusReport, Raw: []byte(raw), Address: ra, MR: uint8(mr), ST: st, SCTS: scts, DT: now}}
}

func (b *box) wake() time.Time {
	b.t.Helper()
	next, err := b.Wake(context.Background())
	require.NoError(b.t, err)
	return next
}

// tended is wake until nothing more is to be done at once: deleting what is old has
// its time in each, which a slow disk may use up.
func (b *box) tended() time.Time {
	b.t.Helper()
	for range 1000 {
		if next := b.wake(); !next.Equal(b.clock.Now()) {
			return next
		}
	}
	require.FailNow(b.t, "Wake has something to do for ever")
	return time.Time{}
}

func (b *box) events() (types []string) {
	b.t.Helper()
	list, err := b.Events(context.Background(), 0, 10_000)
	require.NoError(b.t, err)
	for _, e := range list {
		types = append(types, e.Type)
	}
	return types
}

func dump(b []byte) string { return hex.EncodeToString(b) }
