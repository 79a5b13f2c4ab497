package webui

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/pool"
)

// TestNoPINIsShown drives a PIN and a PUK through and looks for them in the API,
// the metrics and the log.
func TestNoPINIsShown(t *testing.T) {
	const pin, puk = rightPIN, rightPUK
	b := newBox(t, 0)
	em := b.net.AddModem(emulator.ModemOptions{PIN: pin, PUK: puk})
	require.NoError(t, b.pool.Add(pool.Port{Name: "emulated:0", Open: em.Open, Emulated: true}))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	hint, stop := b.pool.Watch()
	defer stop()
	until := func(state string) string {
		for {
			if m := b.pool.Modems()[0]; string(m.State) == state {
				return m.ID
			}
			select {
			case <-hint:
			case <-ctx.Done():
				require.FailNow(t, "never came: "+state)
			}
		}
	}
	id := until("sim_blocked")
	require.Error(t, b.pool.EnterPUK(ctx, id, puk, pin), "no PUK is asked for")
	require.NoError(t, b.pool.EnterPIN(ctx, id, pin))
	until("ready")
	codes := `(^|\D)(` + pin + `|` + puk + `)(\D|$)`
	read := 0
	for _, path := range []string{"/api/v1/modems", "/api/v1/modems/" + id, "/api/v1/modems/" + id + "/trace", "/api/v1/sims", "/api/v1/sims/" + em.ICCID(),
		"/api/v1/status", "/health/ready", "/metrics"} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.http.URL+path, nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+b.admin)
		res, err := b.http.Client().Do(req)
		require.NoError(t, err)
		text, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		if res.StatusCode == http.StatusOK {
			read++
		}
		require.NotRegexp(t, codes, string(text), path)
	}
	require.GreaterOrEqual(t, read, 5)
	require.NotRegexp(t, codes, b.logs.withoutTimes())
}
