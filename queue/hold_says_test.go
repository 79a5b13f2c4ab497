package queue

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A hold of very many at a start: whoever waits for it sees that it goes on.
func TestAHoldSaysHowFarItIs(t *testing.T) {
	b := newBox(t)
	var log bytes.Buffer
	b.log = slog.New(slog.NewTextHandler(&log, nil))
	b.raw(`WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < ?1) INSERT INTO message
		(seq, crc, id, recipient, text, class, lane, state, encoding, delivery, segments, valid_ms, created_at, expires_at)
		SELECT i, 0, 'id' || i, '+34600111222', 'x', 'bulk', 2, 'scheduled', 'gsm7', 'at_most_once', 1, 1000, 1, 99999999999999 FROM g`, 2*holdBatch)
	b.holdSays = 0
	require.Equal(t, 2*holdBatch, b.holdAll(ReasonRestored))
	require.Equal(t, 2, strings.Count(log.String(), "state=scheduled"))
	require.Contains(t, log.String(), "held=1000")

	log.Reset()
	b.holdSays = holdSays
	b.holdAll(ReasonCloned)
	require.NotContains(t, log.String(), "holding messages")
}
