package proof

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
)

// TestAnAnswerAfterTheRestart: the program is killed while the network's answer to
// a message is awaited, and once more while it listens for it after the restart.
// The answer comes half a minute later, when the next message waits already; its
// report comes before it, when the SIM has not been asked for yet. Both are the
// first one's, on a serial line that knows no difference between the programs.
func TestAnAnswerAfterTheRestart(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1, true, 100*time.Millisecond)
	require.True(t, b.start(""))
	web := &http.Client{Timeout: 10 * time.Second}
	first := b.history.begin("otp", false, false)
	first.To = "+34609999305" // answered 30 s late
	require.True(t, b.post(web, first, first.Text))
	b.until("the submission", 30*time.Second, func() bool { return len(b.ledger()) > 0 })
	for range 2 {
		b.daemon.Kill()
		b.ended()
		require.True(t, b.start(""))
		b.until("listening", 10*time.Second, func() bool {
			var modems struct {
				Items []struct{ State, Reason string }
			}
			return b.get("/api/v1/modems", &modems) == nil && len(modems.Items) == 1 && strings.Contains(modems.Items[0].Reason, "from before the restart")
		})
	}
	second := b.history.begin("normal", false, false)
	require.True(t, b.post(web, second, second.Text))
	b.until("both delivered", 90*time.Second, func() bool {
		for _, r := range []*request{first, second} {
			var m struct{ State string }
			if b.get("/api/v1/messages/"+r.acknowledged(), &m) != nil || m.State != "delivered" {
				return false
			}
		}
		return true
	})
	var modems struct{ Items []struct{ ID string } }
	require.NoError(t, b.get("/api/v1/modems", &modems))
	require.Len(t, modems.Items, 1)
	var history json.RawMessage
	require.NoError(t, b.get("/api/v1/modems/"+modems.Items[0].ID+"/history", &history))
	require.Contains(t, string(history), "came late")
	o := b.outcome()
	o.Drained = true
	b.holds(o)
	sent := 0
	for _, e := range o.Ledger {
		if e.Type == emulator.EntrySubmit {
			sent++
		}
	}
	require.Equal(t, 2, sent, "each left once")
	for _, a := range o.Attempts {
		require.Equal(t, "accepted", a.Outcome)
		require.GreaterOrEqual(t, a.MR, 0)
	}
	require.False(t, strings.Contains(string(history), "restarted"), "a busy modem is not reset")
}
