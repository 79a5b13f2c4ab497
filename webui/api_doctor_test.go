package webui

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/pool"
	"recado/webui/auth"
)

// TestDoctor: findings of the pool and of the rest of the program, in the
// language that is asked for, and in the health page.
func TestDoctor(t *testing.T) {
	var beside []pool.Finding
	b := newBox(t, 1, func(o *Options) { o.Findings = func(context.Context) []pool.Finding { return beside } })
	b.ready(1)
	a := b.do("GET", v1+"/doctor", nil)
	require.Equal(t, 200, a.StatusCode)
	require.JSONEq(t, `{"status":"pass","findings":[]}`, string(a.body))

	beside = []pool.Finding{pool.NewFinding("disk_low", pool.FindingWarn, pool.AboutBox, "", map[string]string{"free": "90"}),
		{Code: "x", Severity: pool.FindingInfo, Subject: pool.AboutBox, Says: "untranslated"}}
	locked := b.net.AddModem(emulator.ModemOptions{PIN: rightPIN})
	require.NoError(t, b.pool.Add(pool.Port{Name: "emulated:9", Open: locked.Open, Emulated: true}))
	var findings []any
	require.Eventually(t, func() bool {
		d := b.do("GET", v1+"/doctor?lang=es", nil).json(t)
		findings = d["findings"].([]any)
		return len(findings) == 3 && d["status"] == "fail"
	}, 20*time.Second, 10*time.Millisecond)
	first, second, third := findings[0].(map[string]any), findings[1].(map[string]any), findings[2].(map[string]any)
	require.Equal(t, "Al disco de los datos le quedan 90 MB.", first["says"])
	require.Nil(t, first["name"])
	require.Equal(t, "untranslated", second["says"])
	require.Nil(t, second["do"])
	require.Equal(t, map[string]any{}, second["facts"])
	require.Equal(t, "sim_pin", third["code"])
	require.Equal(t, "sim", third["subject"])
	require.Equal(t, "emulated:9", third["facts"].(map[string]any)["port"])
	require.NotContains(t, string(b.do("GET", v1+"/doctor", nil).body), rightPIN)
	b.problem(b.do("GET", v1+"/doctor?lang=fr", nil), 422, "invalid")

	// One line that does not work leaves the box at its work.
	a = b.do("GET", "/health/ready", nil)
	require.Equal(t, 200, a.StatusCode)
	require.Equal(t, "warn", a.json(t)["status"])
	require.Contains(t, a.json(t)["checks"], map[string]any{"name": "sims", "status": "warn", "detail": pin(b)})
	require.Contains(t, a.json(t)["checks"], map[string]any{"name": "networks", "status": "pass"})

	require.Equal(t, 403, b.do("GET", v1+"/doctor", nil, "X-API-Key", b.key(auth.MessagesSend)).StatusCode)
	require.Equal(t, 200, b.do("GET", v1+"/doctor", nil, "X-API-Key", b.key(auth.SIMsRead)).StatusCode)
	require.Equal(t, 403, b.do("GET", v1+"/modems/"+locked.IMEI()+"/trace", nil, "X-API-Key", b.key(auth.MessagesSend)).StatusCode)
}

// pin is what the doctor says of the SIM that wants its PIN, in English.
func pin(b *box) string {
	for _, f := range b.pool.Findings(context.Background()) {
		if f.Code == "sim_pin" {
			return f.Says
		}
	}
	return ""
}

// TestModemsFlightRecorder: what was said and what happened, and the end of it
// when the modem goes.
func TestModemsFlightRecorder(t *testing.T) {
	b := newBox(t, 0)
	m := b.net.AddModem(emulator.ModemOptions{})
	require.NoError(t, b.pool.Add(pool.Port{Name: "emulated:9", Open: m.Open, Emulated: true}))
	b.ready(1)
	path := v1 + "/modems/" + m.IMEI()
	trace := b.do("GET", path+"/trace?limit=3", nil).json(t)
	require.Len(t, trace["items"], 3)
	require.Empty(t, trace["crashes"])
	require.Equal(t, "home", trace["registrations"].(map[string]any)["cs"])
	b.problem(b.do("GET", path+"/trace?limit=0", nil), 422, "invalid")

	m.Unplug()
	require.Eventually(t, func() bool { return len(b.do("GET", path+"/trace", nil).json(t)["crashes"].([]any)) == 1 }, 20*time.Second, 10*time.Millisecond)
	crash := b.do("GET", path+"/trace", nil).json(t)["crashes"].([]any)[0].(map[string]any)
	require.Equal(t, "absent", crash["state"])
	require.NotEmpty(t, crash["items"])
	history := b.do("GET", path+"/history?limit=1", nil).json(t)
	require.Len(t, history["items"], 1)
	require.NotNil(t, history["next"], "newest first, and there is more")
	older := b.do("GET", path+"/history?cursor="+history["next"].(string), nil).json(t)["items"].([]any)
	require.NotEmpty(t, older)
	require.LessOrEqual(t, older[0].(map[string]any)["at"], history["items"].([]any)[0].(map[string]any)["at"])
	b.problem(b.do("GET", v1+"/modems/nope/history", nil), 404, "not_found")
}
