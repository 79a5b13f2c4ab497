package inbox

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue"
	"recado/queue/sqlite"
)

const day = 24 * time.Hour

func TestReceivedTextsAreDeletedAndStillKnown(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	parts := b.parts(ana, strings.Repeat("largo ", 60), 5)
	b.ingest(parts...)
	half := b.parts("+34600111999", strings.Repeat("medio ", 60), 6)
	b.ingest(half[0])
	_, err := b.queue.Wake(ctx) // which deletes old events
	require.NoError(t, err)
	b.clock.forward(29 * day)
	require.NoError(t, b.Tick(ctx))
	_, err = b.queue.Wake(ctx)
	require.NoError(t, err)
	list, _, err := b.List(ctx, Filter{})
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Contains(t, list[1].Text, "largo")
	require.Zero(t, list[1].TextDeletedAt)
	b.clock.forward(day)
	require.NoError(t, b.Tick(ctx))
	list, _, err = b.List(ctx, Filter{})
	require.NoError(t, err)
	for _, m := range list {
		require.Empty(t, m.Text)
		require.Equal(t, b.clock.Now(), m.TextDeletedAt)
		require.False(t, m.Damaged)
	}
	conv, err := b.Conversation(ctx, ana)
	require.NoError(t, err)
	require.Empty(t, conv.LastText)
	_, err = b.db.Scrub(ctx) // else the log holds it until it comes round
	require.NoError(t, err)
	require.Empty(t, b.found(map[string][]byte{"text": []byte("largo largo")}))
	found, _, err := b.List(ctx, Filter{Search: "largo"})
	require.NoError(t, err)
	require.Empty(t, found)
	b.clock.forward(336 * day)
	require.NoError(t, b.Tick(ctx))
	for _, table := range []string{"inbound", "inbound_segment", "inbound_raw", "conversation", "damaged"} {
		var n int
		require.NoError(t, b.db.Read().QueryRow(`SELECT count(*) FROM `+table).Scan(&n))
		require.Zero(t, n, table)
	}
	again := b.parts(ana, "nuevo", 1)
	b.ingest(again...)
	list, _, err = b.List(ctx, Filter{})
	require.NoError(t, err)
	require.Greater(t, list[0].Seq, int64(2), "a number names one message for ever")
}

func TestATextThatIsDeletedAtOnceIsNotReceivedTwice(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	r := queue.DefaultRetention()
	r.Inbound.Body = 0
	require.NoError(t, b.queue.SetRetention(ctx, r, "ana"))
	raw := b.parts(ana, "secreto", 1)[0]
	in := b.in(raw)
	in.Memory = "ME"
	require.NoError(t, b.Ingest(ctx, in))
	b.clock.forward(time.Second)
	require.NoError(t, b.Tick(ctx))
	list, _, err := b.List(ctx, Filter{})
	require.NoError(t, err)
	require.Empty(t, list[0].Text)
	var data string
	require.NoError(t, b.db.Read().QueryRow(`SELECT data FROM event WHERE type = 'inbound.received'`).Scan(&data))
	require.NotContains(t, data, "secreto")
	require.Contains(t, data, `"text_deleted_at"`)
	require.NoError(t, b.Ingest(ctx, in))
	in.ICCID, in.IMSI = "8934000000000000009", "214070000000009" // the modem's own memory, under another SIM's name
	require.NoError(t, b.Ingest(ctx, in))
	list, _, err = b.List(ctx, Filter{})
	require.NoError(t, err)
	require.Len(t, list, 1)
}

func TestADamagedReceivedMessageIsShownAndFlagged(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	b.ingest(b.parts(ana, "Hola", 1)...)
	parts := b.parts("+34600111999", strings.Repeat("largo ", 60), 5)
	b.ingest(parts[0])
	for _, q := range []string{`UPDATE inbound SET text = 'Hole' WHERE sender = '` + ana + `'`, `UPDATE inbound_segment SET data = zeroblob(length(data))`} {
		require.NoError(t, b.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error { _, err := tx.Exec(q); return err }))
	}
	b.ingest(parts[1:]...)
	list, _, err := b.List(ctx, Filter{})
	require.NoError(t, err)
	require.Len(t, list, 2)
	for _, m := range list {
		require.True(t, m.Damaged, m.From)
	}
	require.NoError(t, b.Tick(ctx))
	n, found, err := b.queue.Damaged(ctx, 10)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.Equal(t, queue.DamagedInbound, found[0].Kind)
	// A row whose numbers are none is read all the same.
	require.NoError(t, b.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`UPDATE inbound SET received_at = 'x' WHERE sender = ?`, ana)
		return err
	}))
	_, _, err = b.List(ctx, Filter{})
	require.NoError(t, err)
	_, _, err = b.Thread(ctx, ana, 10, "")
	require.NoError(t, err)
	_, err = b.SetRead(ctx, found[0].ID, true)
	require.NoError(t, err)
}
