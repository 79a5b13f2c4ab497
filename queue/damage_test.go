package queue

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue/sqlite"
)

// raw changes the database behind the Store's back.
func (b *box) raw(query string, args ...any) {
	b.t.Helper()
	require.NoError(b.t, b.db.Write(context.Background(), sqlite.Ordinary, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(query, args...)
		return err
	}))
}

// sendAll sends what can be claimed, and gives the octets that left.
func (b *box) sendAll(l Line) (left [][]byte) {
	b.t.Helper()
	for {
		c := b.claimed(l)
		if c == nil {
			return left
		}
		a, err := b.GateTPDU(context.Background(), l, c.Message.Seq, c.Next+1, c.Message.Segments[c.Next].TPDU)
		require.NoError(b.t, err)
		left = append(left, c.Message.Segments[c.Next].TPDU)
		b.outcome(a, accepted(len(left)%256))
	}
}

func TestNothingDamagedIsSentAndTheRestIs(t *testing.T) {
	for name, damage := range map[string]string{
		"text":            `UPDATE message SET text = 'Hole' WHERE seq = ?`,
		"number":          `UPDATE message SET recipient = '+34600111223' WHERE seq = ?`,
		"class":           `UPDATE message SET class = 'bulk' WHERE seq = ?`,
		"id":              `UPDATE message SET id = 'other' WHERE seq = ?`,
		"sum":             `UPDATE message SET crc = crc + 1 WHERE seq = ?`,
		"no sum":          `UPDATE segment SET crc = -1 WHERE message = ?`,
		"octets":          `UPDATE segment SET tpdu = substr(tpdu, 1, 8) || x'00' || substr(tpdu, 10) WHERE message = ?`,
		"no octets":       `UPDATE segment SET tpdu = x'', crc = crc32c(message, n, x'') WHERE message = ?`,
		"segment gone":    `DELETE FROM segment WHERE message = ?`,
		"another segment": `UPDATE segment SET tpdu = (SELECT tpdu FROM segment WHERE message = 1) WHERE message = ?`,
		"torn":            `UPDATE message SET created_at = 'x', valid_ms = x'ff' WHERE seq = ?`,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			first := b.submit(Request{To: []string{"+34600111001"}, Text: "uno"})
			bad := b.submit(Request{To: []string{"+34600111222"}, Text: "Hola"})
			last := b.submit(Request{To: []string{"+34600111003"}, Text: "tres"})
			b.raw(damage, bad.Seq)

			require.Equal(t, [][]byte{first.Segments[0].TPDU, last.Segments[0].TPDU}, b.sendAll(line(1)))
			list, _, err := b.Messages(context.Background(), Filter{})
			require.NoError(t, err, "a damaged row must not keep the others from being read")
			require.Len(t, list, 3)
			got := list[1]
			require.Equal(t, Failed, got.State)
			require.Equal(t, ReasonCorrupt, got.Reason)
			require.Equal(t, ErrorCorrupt, got.Error.Code)
			require.Contains(t, got.Error.Detail, "was not sent; check the disk, and write it again")
			require.Equal(t, []State{Sent, Sent}, []State{list[0].State, list[2].State})
			n, found, err := b.Damaged(context.Background(), 10)
			require.NoError(t, err)
			require.Equal(t, 1, n)
			require.Equal(t, DamagedMessage, found[0].Kind)
			require.Contains(t, b.events(), "system.damaged")
			require.Contains(t, b.events(), "message.failed")
			_, err = b.Resolve(context.Background(), got.ID, ResolveResend, "ana")
			require.ErrorIs(t, err, ErrState)
		})
	}
}

func TestDamageAfterASegmentHasLeftIsPartial(t *testing.T) {
	b := newBox(t)
	m := b.submit(Request{Text: strings.Repeat("largo ", 60)})
	require.Len(t, m.Segments, 3)
	b.sent(line(1), 1)
	b.raw(`UPDATE segment SET tpdu = zeroblob(20) WHERE message = ? AND n = 3`, m.Seq)
	require.Nil(t, b.claimed(line(1)))
	got := b.get(m.ID)
	require.Equal(t, Failed, got.State)
	require.Equal(t, ReasonPartial, got.Reason)
	require.Equal(t, ErrorCorrupt, got.Error.Code)
	require.Contains(t, got.Error.Detail, "1 of 3 segments had been sent")
	require.True(t, got.Damaged)
}

func TestDamageOfWhatMayHaveArrivedIsNoCertainty(t *testing.T) {
	b := newBox(t)
	m := b.submit(Request{Class: Alert})
	_, a := b.gated(line(1))
	b.outcome(a, lost())
	b.raw(`UPDATE message SET text = 'x' WHERE seq = ?`, m.Seq)
	b.clock.forward(time.Hour)
	b.wake()
	require.Nil(t, b.claimed(line(2)))
	got := b.get(m.ID)
	require.Equal(t, Uncertain, got.State)
	require.Equal(t, ReasonNoEvidence, got.Reason)
	require.Equal(t, ErrorCorrupt, got.Error.Code)
	_, err := b.Resolve(context.Background(), m.ID, ResolveResend, "ana")
	require.ErrorIs(t, err, ErrDamaged)
}

func TestTheGateLooksAgain(t *testing.T) {
	b := newBox(t)
	m := b.submit(Request{})
	c := b.claimed(line(1))
	_, err := b.GateTPDU(context.Background(), line(1), m.Seq, 1, append([]byte{0}, c.Message.Segments[0].TPDU...))
	require.ErrorIs(t, err, ErrNotClaimed, "other octets than the stored ones")
	b.raw(`UPDATE segment SET tpdu = x'0102' WHERE message = ?`, m.Seq)
	_, err = b.GateTPDU(context.Background(), line(1), m.Seq, 1, c.Message.Segments[0].TPDU)
	require.ErrorIs(t, err, ErrDamaged)
	require.Equal(t, Failed, b.get(m.ID).State)
	require.Zero(t, b.get(m.ID).Attempts)
	require.NoError(t, b.Unclaim(context.Background(), line(1).ICCID, m.Seq, Outcome{Retry: true}))
	require.Equal(t, Failed, b.get(m.ID).State)
}

func TestDamageIsNotMadeRightByEncodingAnew(t *testing.T) {
	b := newBox(t)
	m := b.submit(Request{})
	_, a := b.gated(line(1))
	b.raw(`UPDATE message SET text = 'Hole' WHERE seq = ?`, m.Seq)
	b.outcome(a, Outcome{Verdict: Rejected, MR: -1, Code: "cms_1", Retry: true, Degrade: degradeAlphabet})
	require.Nil(t, b.claimed(line(1)))
	require.Equal(t, ReasonCorrupt, b.get(m.ID).Reason)
}

// Octets that are flipped in the file itself: whatever becomes of it, what
// leaves is what was accepted.
func TestFlippedOctetsInTheFileAreNotSent(t *testing.T) {
	b := newBox(t)
	var ids []string
	want := map[string]bool{}
	const n = 20
	for i := range n {
		m := b.submit(Request{To: []string{fmt.Sprintf("+3460011%04d", i)}, Text: fmt.Sprintf("Su código es %06d, no lo diga", i*7919)})
		ids = append(ids, m.ID)
		want[string(m.Segments[0].TPDU)] = true
	}
	require.NoError(t, b.db.Close())
	file, err := os.ReadFile(b.path)
	require.NoError(t, err)
	flipped := 0
	for i := 0; i < n; i += 2 { // in the text, in the octets
		m := fmt.Sprintf("Su código es %06d", i*7919)
		at := bytes.Index(file, []byte(m))
		require.Positive(t, at)
		file[at+len(m)-1] ^= 1
		flipped++
	}
	for tpdu := range want {
		if flipped == n/2+4 {
			break
		}
		at := bytes.Index(file, []byte(tpdu))
		require.Positive(t, at)
		file[at+len(tpdu)-2] ^= 0x10
		delete(want, tpdu)
		flipped++
	}
	require.NoError(t, os.WriteFile(b.path, file, 0o600))
	b.open()
	for _, tpdu := range b.sendAll(line(1)) {
		require.True(t, want[string(tpdu)], "what was changed on the disk left")
	}
	states := map[State]int{}
	for _, id := range ids {
		m := b.get(id)
		states[m.State]++
		require.Equal(t, m.State == Failed, m.Damaged)
	}
	require.Len(t, states, 2)
	require.GreaterOrEqual(t, states[Failed], n/2)
	require.GreaterOrEqual(t, states[Sent], n/2-4)
}

func TestTheSweepFindsDamageBeforeALineDoes(t *testing.T) {
	b := newBox(t)
	fill(t, b, 2*sweepBatch)
	held := b.submit(Request{Class: OTP, SendAt: b.clock.Now().Add(time.Hour)})
	b.raw(`UPDATE message SET text = 'x' WHERE seq IN (?, ?, ?)`, sweepBatch-1, sweepBatch+7, held.Seq)
	for range 3 {
		require.NoError(t, b.sweep(context.Background(), 0))
	}
	n, _, err := b.Damaged(context.Background(), 10)
	require.NoError(t, err)
	require.Equal(t, 2, n, "the queued ones")
	b.restart()
	for range 8 {
		require.NoError(t, b.sweep(context.Background(), 0))
	}
	n, list, err := b.Damaged(context.Background(), 2)
	require.NoError(t, err)
	require.Equal(t, 3, n)
	require.Len(t, list, 2)
	require.Equal(t, ReasonCorrupt, b.get(held.ID).Reason)
	looked, bad, err := b.VerifyQueued(context.Background())
	require.NoError(t, err)
	require.Equal(t, []int{2*sweepBatch - 2, 0}, []int{looked, bad})
}
