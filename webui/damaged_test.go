package webui

import (
	"testing"

	"github.com/stretchr/testify/require"

	"recado/queue"
	"recado/queue/sqlite"
	"recado/webui/auth"
)

// What was found damaged, and what is held, is told by the health, the check-up and every page.
func TestDamagedAndHeldMessagesAreTold(t *testing.T) {
	b := newBox(t, 0)
	p := b.looks(auth.RoleReader)
	check := func(name string) map[string]any {
		t.Helper()
		for _, c := range b.do("GET", "/health/ready", nil).json(t)["checks"].([]any) {
			if c := c.(map[string]any); c["name"] == name {
				return c
			}
		}
		t.Fatal("no check", name)
		return nil
	}
	for _, name := range []string{"stored", "held"} {
		require.Equal(t, map[string]any{"name": name, "status": "pass"}, check(name))
	}
	require.NotContains(t, p.page("/"), "found damaged")
	res, err := b.s.store.Submit(t.Context(), queue.Request{To: []string{"600111222", "600111333"}, Text: "Hola", Class: queue.Normal}, nil)
	require.NoError(t, err)
	require.NoError(t, b.db.Write(t.Context(), sqlite.Ordinary, func(tx *sqlite.Tx) error {
		return b.s.store.FoundDamage(tx, queue.DamagedMessage, res.Messages[0].Seq, res.Messages[0].ID, "its text")
	}))
	_, err = b.s.store.HoldAll(t.Context(), queue.ReasonRestored)
	require.NoError(t, err)
	stored := check("stored")
	require.Equal(t, "warn", stored["status"])
	require.Regexp(t, `damaged: 1; the last on .* \(`+res.Messages[0].ID+`\).*recado restore FILE`, stored["detail"])
	held := check("held")
	require.Equal(t, "warn", held["status"])
	require.Regexp(t, `: 2 \(restored\).*held list`, held["detail"])
	require.Contains(t, p.page("/"), "1 stored message was found damaged")
	require.Contains(t, p.page("/doctor"), "Stored messages that were found damaged: 1")
}
