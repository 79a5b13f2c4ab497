package proof

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue/failpoint"
)

// TestKilledBeforeABackupHasItsName: under the name of a copy there is nothing but a
// whole one, and the next start makes it.
func TestKilledBeforeABackupHasItsName(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1, false, 100*time.Millisecond)
	copies := filepath.Join(b.data(), "backups")
	require.NoError(t, os.MkdirAll(copies, 0o700))
	owed := filepath.Join(copies, "renew") // as an erasure asks for: one is made at once
	require.NoError(t, os.WriteFile(owed, nil, 0o600))
	b.start(failpoint.BackupRename + "=kill")
	b.ended()
	found := func(pattern string) []string {
		list, err := filepath.Glob(filepath.Join(copies, pattern))
		require.NoError(t, err)
		return list
	}
	require.Empty(t, found("*.age"))
	require.Len(t, found("*.part"), 1, "it was written, and has no name yet")
	b.startAgain("")
	b.until("the copy", time.Minute, func() bool {
		_, err := os.Stat(owed)
		return os.IsNotExist(err)
	})
	require.Len(t, found("*.age"), 1)
	require.Empty(t, found("*.part"))
}

// TestKilledBeforeADeliveryIsMarked: a webhook's event that had arrived comes once
// more, under the same webhook-id, and then no more.
func TestKilledBeforeADeliveryIsMarked(t *testing.T) {
	t.Parallel()
	arrived := make(chan string, 100)
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNoContent)
		arrived <- r.Header.Get("webhook-id")
	}))
	defer sink.Close()
	next := func() string {
		select {
		case id := <-arrived:
			return id
		case <-time.After(time.Minute):
			require.FailNow(t, "nothing arrived")
			return ""
		}
	}
	const loopback = "RECADO_WEBHOOK_LOOPBACK=true"
	b := newBox(t, 1, false, 100*time.Millisecond)
	require.True(t, b.start(failpoint.OutboxMark+"=kill", loopback))
	b.ask("/api/v1/webhooks", `{"url":"`+sink.URL+`","events":["message.sent"],"allow_private":true}`, http.StatusCreated)
	b.ask("/api/v1/messages", `{"to":"+34600111222","text":"Prueba."}`, http.StatusAccepted)
	first := next()
	b.ended()
	require.True(t, b.start("", loopback))
	require.Equal(t, first, next())
	b.ask("/api/v1/messages", `{"to":"+34600111223","text":"Prueba."}`, http.StatusAccepted)
	require.NotEqual(t, first, next())
	b.stop()
	require.Empty(t, arrived)
}

// ask posts to the API.
func (b *box) ask(path, body string, status int) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, "http://"+b.listen+path, strings.NewReader(body))
	require.NoError(b.t, err)
	r.Header.Set("Authorization", "Bearer "+b.key)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	require.NoError(b.t, err)
	defer answer.Body.Close()
	require.Equal(b.t, status, answer.StatusCode, path)
}
