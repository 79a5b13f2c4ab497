package webui

import (
	"context"
	"html"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"recado/queue/sqlite"
	"recado/webui/auth"
)

// TestWhoStopsSendingNeedNotWait: who throws a kill switch and closes the page has
// thrown it, on disk and with a row in the audit trail.
func TestWhoStopsSendingNeedNotWait(t *testing.T) {
	b := newBox(t, 1)
	b.ready(1)
	sim := b.iccid(0)
	for object, request := range map[string]*SendingRequest{"": nil, "sim " + sim: {SIM: sim}, "class bulk": {Class: "bulk"}} {
		for _, paused := range []bool{true, false} {
			ctx, leave := context.WithCancel(consoleContext(t))
			leave()
			out, err := b.s.turnSwitch(ctx, request, paused)
			require.NoError(t, err)
			require.Equal(t, paused, out.Body.Paused || len(out.Body.SIMs)+len(out.Body.Classes) > 0)
			require.Equal(t, []string{switched(paused) + " " + object + " "}, b.trail(1))
			b.s.audited(ctx, "what", "was", "done") // whatever it is
			require.Equal(t, []string{"what was done"}, b.trail(1))
		}
	}
}

// TestAKillSwitchThatIsNotStoredHolds: it is said that a restart would undo it, and
// who threw it stands in the audit trail.
func TestAKillSwitchThatIsNotStoredHolds(t *testing.T) {
	b := newBox(t, 1)
	b.ready(1)
	require.NoError(t, b.db.Write(t.Context(), sqlite.Ordinary, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`CREATE TRIGGER no_setting BEFORE INSERT ON setting BEGIN SELECT RAISE(ABORT, 'no'); END`)
		return err
	}))
	p := b.problem(b.do("POST", v1+"/sending/pause", nil), 503, "storage_failed")
	require.Contains(t, p.Detail, "it is stopped")
	require.Equal(t, true, b.do("GET", v1+"/status", nil).json(t)["sending"].(map[string]any)["paused"])
	require.Equal(t, []string{"sending.pause  "}, b.trail(1))
	admin := b.cookie(auth.RoleAdmin)
	for lang, words := range map[string][]string{
		"en": {"It is stopped, but that could not be stored", "a restart would undo it. It is tried again by itself", "look at the disk"},
		"es": {"Está parado, pero no se ha podido guardar", "si el aparato se reinicia, volverá a enviar. Se intenta de nuevo solo", "mirar el disco"},
	} {
		page := b.browse("POST", "/sending/pause", admin+"; "+cookieLang+"="+lang, url.Values{"class": {"bulk"}})
		require.Equal(t, 503, page.StatusCode)
		require.NotContains(t, string(page.body), `"/sending/pause"`, "that is no page")
		for _, w := range words {
			require.Contains(t, html.UnescapeString(string(page.body)), w)
		}
	}
	require.Equal(t, []string{"sending.pause class bulk "}, b.trail(1))
	page := b.do("POST", "/sending/pause", "class=bulk", "Authorization", "", "Accept", "text/html", "Sec-Fetch-Site", "same-origin",
		"Cookie", admin, "Content-Type", "application/x-www-form-urlencoded", "Referer", b.http.URL+"/lines?all=1")
	require.Contains(t, string(page.body), `name="next" value="/lines?all=1"`, "who lets it send again is led back")
	require.Equal(t, 500, b.do("POST", v1+"/sending/resume", nil).StatusCode)
	require.Equal(t, []string{"sending.pause class bulk "}, b.trail(1), "that did not happen")
}
