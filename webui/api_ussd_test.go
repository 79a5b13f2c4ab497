package webui

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/webui/auth"
)

func TestUSSDOverTheAPI(t *testing.T) {
	b := newBox(t, 1)
	b.ready(1)
	sim := b.net.Modems()[0].ICCID()
	ask := func(body map[string]any, headers ...string) answer {
		t.Helper()
		return b.do("POST", v1+"/sims/"+sim+"/ussd", body, headers...)
	}
	a := ask(map[string]any{"code": "*123#"})
	require.Equal(t, 200, a.StatusCode, "%s", a.body)
	require.JSONEq(t, `{"text":"Su saldo es 12,34 EUR.","status":"done","wants_reply":false}`, string(a.body))

	// A menu, whose session is its caller's alone.
	a = ask(map[string]any{"code": "*100#"})
	require.Equal(t, true, a.json(t)["wants_reply"])
	cookie := []string{"Cookie", b.cookie(auth.RoleAdmin), "Sec-Fetch-Site", "same-origin"}
	for _, body := range []map[string]any{{"code": "*123#"}, {"reply": "1"}, {"end": true}} {
		require.Contains(t, b.problem(ask(body, cookie...), 409, "conflict").Detail, "somebody else")
	}
	a = ask(map[string]any{"reply": "2"})
	require.Equal(t, "Bonos\n1. 1 GB 5 €\n2. 3 GB 9 €\n0. Volver", a.json(t)["text"])
	require.Equal(t, map[string]any{"text": "", "status": "terminated", "wants_reply": false}, ask(map[string]any{"end": true}).json(t))
	require.Contains(t, b.problem(ask(map[string]any{"reply": "1"}, cookie...), 409, "conflict").Detail, "no USSD session")
	require.Equal(t, 200, ask(map[string]any{"code": "*123#"}, cookie...).StatusCode, "it is free again")

	// What is refused.
	p := b.problem(ask(map[string]any{"code": "**21*600111222#"}), 422, "invalid")
	require.Equal(t, "body.code", p.Errors[0].Location)
	require.Contains(t, p.Detail, "call forwarding")
	require.Equal(t, "body.reply", b.problem(ask(map[string]any{"reply": "#31#"}), 422, "invalid").Errors[0].Location)
	for _, body := range []map[string]any{{}, {"code": "*1#", "reply": "1"}, {"reply": "1", "end": true}, {"end": false}, {"code": nil}, {"text": "*1#"}, {"code": "*1234567890123456789012345678901#"}} {
		b.problem(ask(body), 422, "invalid")
	}
	require.Contains(t, b.problem(ask(map[string]any{"code": "*109#"}), 409, "conflict").Detail, "refused")
	b.problem(b.do("POST", v1+"/sims/nope/ussd", map[string]any{"code": "*123#"}), 404, "not_found")

	// Operators look after SIMs, and may not; nor may a key that controls them.
	b.problem(ask(map[string]any{"code": "*123#"}, "Authorization", "Bearer "+b.key(auth.SIMsControl, auth.SIMsRead)), 403, "forbidden")
	require.Equal(t, 403, ask(map[string]any{"code": "*123#"}, "Cookie", b.cookie(auth.RoleOperator), "Sec-Fetch-Site", "same-origin").StatusCode)

	// The audit trail has that it was, and not what.
	rows := b.auditRows()
	require.Contains(t, rows, "sim.ussd "+sim+" begin done")
	require.Contains(t, rows, "sim.ussd "+sim+" begin refused")
	require.Contains(t, rows, "sim.ussd "+sim+" end terminated")
	for _, text := range []string{"saldo", "*123", "600111222"} {
		require.NotContains(t, rows, text)
	}

	b.net.Modems()[0].Unplug()
	require.Eventually(t, func() bool { return b.pool.Ready() == 0 }, 10*time.Second, 5*time.Millisecond)
	require.Contains(t, b.problem(ask(map[string]any{"code": "*123#"}), 409, "conflict").Detail, "in no modem that is ready")
}

// An answer that takes longer than other requests may is still written.
func TestUSSDAnswerThatTakesLong(t *testing.T) {
	b := newBox(t, 1)
	// A server of its own: what a running one is set to may not be changed.
	first := b.http
	b.http = httptest.NewUnstartedServer(nil)
	b.http.Config = b.s.HTTP(b.s.Handler())
	b.http.Config.WriteTimeout = 300 * time.Millisecond
	b.http.Start()
	t.Cleanup(func() {
		b.http.Close()
		b.http = first
	})
	b.ready(1)
	m := b.net.Modems()[0]
	m.Inject(emulator.Fault{Kind: emulator.FaultSlow, On: "+CUSD=1", Delay: time.Second})
	a := b.do("POST", v1+"/sims/"+m.ICCID()+"/ussd", map[string]any{"code": "*123#"})
	require.Equal(t, 200, a.StatusCode)
	require.Contains(t, string(a.body), "12,34")
}

// auditRows are the audit trail, a row a line.
func (b *box) auditRows() string {
	b.t.Helper()
	trail, err := b.auth.AuditTrail(b.t.Context(), 100)
	require.NoError(b.t, err)
	text := ""
	for _, e := range trail {
		text += e.Action + " " + e.Object + " " + e.Detail + "\n"
	}
	return text
}
