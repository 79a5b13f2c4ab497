package webui

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/pool"
	"recado/queue"
)

// TestOpenAPIDescribesTheTable: the document is 3.1, whole, and has exactly the
// routes of the API.
func TestOpenAPIDescribesTheTable(t *testing.T) {
	b := newBox(t, 0)
	a := b.do("GET", "/openapi.json", nil, "Authorization", "")
	require.Equal(t, 200, a.StatusCode)
	doc := a.json(t)
	require.Equal(t, "3.1.0", doc["openapi"])
	require.NotContains(t, string(a.body), "ErrorModel")
	require.NotContains(t, string(a.body), "http://", "nothing from elsewhere")

	described := map[string]bool{}
	ids := map[string]bool{}
	inPath := regexp.MustCompile(`\{(\w+)\}`)
	for path, item := range doc["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			o := op.(map[string]any)
			name := strings.ToUpper(method) + " " + path
			described[name] = true
			id := o["operationId"].(string)
			require.False(t, ids[id], "operationId %s is there twice", id)
			ids[id] = true
			require.NotEmpty(t, o["summary"], name)
			require.NotEmpty(t, o["security"], name)
			require.Contains(t, o["description"], "Needs the scope", name)
			responses := o["responses"].(map[string]any)
			require.Contains(t, responses, "default", name)
			require.Contains(t, responses["default"].(map[string]any)["content"], "application/problem+json", name)
			params := map[string]bool{}
			for _, p := range asList(o["parameters"]) {
				if p.(map[string]any)["in"] == "path" {
					params[p.(map[string]any)["name"].(string)] = true
				}
			}
			for _, m := range inPath.FindAllStringSubmatch(path, -1) {
				require.True(t, params[m[1]], "%s does not describe %s", name, m[1])
			}
		}
	}
	for _, r := range b.s.table() {
		if strings.HasPrefix(r.path, v1) {
			require.True(t, described[r.method+" "+r.path], "%s %s is not described", r.method, r.path)
			delete(described, r.method+" "+r.path)
		}
	}
	require.Empty(t, described)

	var refs func(any)
	refs = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				name := strings.TrimPrefix(ref, "#/components/schemas/")
				require.Contains(t, doc["components"].(map[string]any)["schemas"], name)
			}
			for _, one := range v {
				refs(one)
			}
		case []any:
			for _, one := range v {
				refs(one)
			}
		}
	}
	refs(doc)
}

func asList(v any) []any {
	list, _ := v.([]any)
	return list
}

// TestAnswersAreAsDescribed takes real answers of every operation and checks
// them against the schemas.
func TestAnswersAreAsDescribed(t *testing.T) {
	b := newBox(t, 1, func(o *Options) {
		o.Care = Care{Time: &told{wall: o.Clock.(*wall)}, Backups: &copies{},
			Erase: func(context.Context, string, string) (Erased, error) { return Erased{Messages: 1}, nil }}
	})
	b.ready(1)
	registry := b.s.api.OpenAPI().Components.Schemas
	seen := map[string]bool{}
	check := func(method, path, template string, body any) answer {
		t.Helper()
		a := b.do(method, v1+path, body)
		op := b.s.api.OpenAPI().Paths[v1+template]
		require.NotNil(t, op, template)
		o := map[string]*huma.Operation{"GET": op.Get, "POST": op.Post, "PATCH": op.Patch, "DELETE": op.Delete}[method]
		response := o.Responses[fmt.Sprint(a.StatusCode)]
		kind := "application/json"
		if response == nil {
			response, kind = o.Responses["default"], "application/problem+json"
		}
		seen[fmt.Sprint(method, " ", template, " ", a.StatusCode < 300)] = true
		if a.StatusCode == 204 {
			require.Empty(t, a.body)
			return a
		}
		require.Equal(t, kind, a.Header.Get("Content-Type"))
		var v any
		require.NoError(t, json.Unmarshal(a.body, &v), "%s", a.body)
		res := &huma.ValidateResult{}
		huma.Validate(registry, response.Content[kind].Schema, huma.NewPathBuffer([]byte{}, 0), huma.ModeReadFromServer, v, res)
		require.Empty(t, res.Errors, "%s %s: %s", method, path, a.body)
		return a
	}
	sim := check("GET", "/sims", "/sims", nil).json(t)["items"].([]any)[0].(map[string]any)
	iccid := sim["iccid"].(string)
	check("GET", "/sims/"+iccid, "/sims/{iccid}", nil)
	check("GET", "/sims/nope", "/sims/{iccid}", nil)
	named := check("PATCH", "/sims/"+iccid, "/sims/{iccid}", map[string]any{"name": "Registro", "number": "600999888"}).json(t)
	require.Equal(t, "Registro", named["name"])
	require.Equal(t, "+34600999888", named["number"])
	require.Equal(t, iccid, check("GET", "/sims/Registro", "/sims/{iccid}", nil).json(t)["iccid"])
	p := b.problem(check("PATCH", "/sims/"+iccid, "/sims/{iccid}", map[string]any{"limits": []any{map[string]any{"window": "year"}}}), 422, "invalid")
	require.Equal(t, "body.limits[0].window", p.Errors[0].Location)
	check("PATCH", "/sims/"+iccid, "/sims/{iccid}", map[string]any{"limits": []any{map[string]any{"window": "day", "max_segments": 500}},
		"send_window": map[string]any{"from": "00:00", "to": "00:00"}, "pace": -1})
	check("POST", "/sims/"+iccid+"/balance", "/sims/{iccid}/balance", nil)
	check("GET", "/sims/"+iccid+"/balance", "/sims/{iccid}/balance", nil)
	check("POST", "/sims/"+iccid+"/canary", "/sims/{iccid}/canary", map[string]any{})
	check("GET", "/canaries?sim="+iccid, "/canaries", nil)
	check("DELETE", "/sims/"+iccid+"/quarantine", "/sims/{iccid}/quarantine", nil)
	for _, settings := range []string{"/canary-settings", "/balance-settings", "/quiet-hours"} {
		check("GET", settings, settings, nil)
		check("PATCH", settings, settings, map[string]any{})
	}
	route := check("POST", "/routes", "/routes", map[string]any{"name": "all", "sims": []any{map[string]any{"sim": iccid}}}).json(t)
	routeID := fmt.Sprint(route["id"])
	check("GET", "/routes", "/routes", nil)
	check("GET", "/routes/"+routeID, "/routes/{id}", nil)
	check("PATCH", "/routes/"+routeID, "/routes/{id}", map[string]any{"enabled": false})
	require.Equal(t, 204, check("DELETE", "/routes/"+routeID, "/routes/{id}", nil).StatusCode)
	require.Equal(t, "disabled", check("PATCH", "/sims/Registro", "/sims/{iccid}", map[string]any{"enabled": false}).json(t)["state"])
	check("PATCH", "/sims/"+iccid, "/sims/{iccid}", map[string]any{"enabled": true, "name": ""})
	check("POST", "/sims/"+iccid+"/ussd", "/sims/{iccid}/ussd", map[string]any{"code": "*123#"})
	modem := check("GET", "/modems", "/modems", nil).json(t)["items"].([]any)[0].(map[string]any)
	check("GET", "/modems/"+modem["id"].(string), "/modems/{id}", nil)
	b.problem(check("GET", "/modems/nope", "/modems/{id}", nil), 404, "not_found")
	check("GET", "/modems/"+modem["id"].(string)+"/history", "/modems/{id}/history", nil)
	check("GET", "/modems/"+modem["id"].(string)+"/trace", "/modems/{id}/trace", nil)
	check("GET", "/doctor", "/doctor", nil)
	b.problem(check("POST", "/modems/nope/restart", "/modems/{id}/restart", nil), 404, "not_found")
	restarts := b.pool.Modems()[0].Restarts
	require.Equal(t, 202, check("POST", "/modems/"+modem["id"].(string)+"/restart", "/modems/{id}/restart", nil).StatusCode)
	// The answer says only that it will restart: its line is ready until it does.
	require.Eventually(t, func() bool { return b.pool.Modems()[0].Restarts > restarts }, 20*time.Second, 10*time.Millisecond)
	b.ready(1)

	locked := lockedModem(t, b, emulator.ModemOptions{Family: "huawei", PIN: "4829", PUK: "12345678"}, func(p *pool.Port) {
		p.PowerCycle = func(context.Context) error { b.net.Modems()[1].Reboot(); return nil }
	})
	b.problem(check("POST", "/modems/"+locked+"/puk", "/modems/{id}/puk", map[string]any{"puk": "12345678", "new_pin": "1234"}), 409, "conflict")
	blockSIM(t, b, locked)
	require.Equal(t, 200, check("POST", "/modems/"+locked+"/puk", "/modems/{id}/puk", map[string]any{"puk": "12345678", "new_pin": "7777"}).StatusCode)
	b.ready(2)
	require.Equal(t, 204, check("DELETE", "/sims/"+b.net.Modems()[1].ICCID()+"/pin", "/sims/{iccid}/pin", nil).StatusCode)
	check("POST", "/modems/"+locked+"/power", "/modems/{id}/power", nil)
	wantsPIN(t, b, locked)
	require.Equal(t, 200, check("POST", "/modems/"+locked+"/pin", "/modems/{id}/pin", map[string]any{"pin": "7777"}).StatusCode)
	b.ready(2)
	b.net.Modems()[1].Unplug()
	b.ready(1)

	require.Equal(t, true, check("POST", "/sending/pause", "/sending/pause", nil).json(t)["paused"])
	m := check("POST", "/messages", "/messages", map[string]any{"to": []string{"600111222", "nope"}, "text": "漢", "sim": iccid,
		"send_at": time.Now().Add(time.Hour), "valid_for": 60, "report": false, "flash": true}).json(t)["messages"].([]any)[0].(map[string]any)
	require.Equal(t, "scheduled", m["state"])
	id := m["id"].(string)
	check("POST", "/messages", "/messages", map[string]any{"to": "600111222"})
	check("GET", "/messages/"+id, "/messages/{id}", nil)
	check("GET", "/messages?limit=1", "/messages", nil)
	check("GET", "/messages/"+id+"/timeline", "/messages/{id}/timeline", nil)
	b.problem(check("GET", "/messages/nope/timeline", "/messages/{id}/timeline", nil), 404, "not_found")
	check("POST", "/messages/quote", "/messages/quote", map[string]any{"to": "600111222", "text": "漢"})
	check("DELETE", "/messages/"+id, "/messages/{id}", nil)
	b.problem(check("POST", "/messages/"+id+"/resolve", "/messages/{id}/resolve", map[string]any{"action": "resend"}), 409, "conflict")
	status := check("GET", "/status", "/status", nil).json(t)
	require.Equal(t, true, status["paused"])
	require.Equal(t, float64(1), status["lines_ready"])
	require.Equal(t, float64(0), status["queue"].(map[string]any)["queued"].(map[string]any)["otp"])
	require.Equal(t, false, check("POST", "/sending/resume", "/sending/resume", nil).json(t)["paused"])
	sent := check("POST", "/messages", "/messages", map[string]any{"to": "600111222", "text": "a"}).json(t)["messages"].([]any)[0].(map[string]any)
	b.until(sent["id"].(string), "delivered")
	check("GET", "/messages/"+sent["id"].(string), "/messages/{id}", nil)
	check("GET", "/messages/"+sent["id"].(string)+"/timeline", "/messages/{id}/timeline", nil)

	check("POST", "/emulator/inbound", "/emulator/inbound", map[string]any{"sim": iccid, "from": "+34600111222", "text": "hola"})
	b.problem(check("POST", "/emulator/inbound", "/emulator/inbound", map[string]any{"sim": "nope", "from": "+34600111222", "text": "hola"}), 422, "invalid")
	require.Eventually(t, func() bool { return b.do("GET", v1+"/status", nil).json(t)["unread"] == float64(1) }, 10*time.Second, 10*time.Millisecond)
	in := check("GET", "/inbox", "/inbox", nil).json(t)["items"].([]any)[0].(map[string]any)
	check("GET", "/inbox/"+in["id"].(string), "/inbox/{id}", nil)
	b.problem(check("GET", "/inbox/nope", "/inbox/{id}", nil), 404, "not_found")
	check("PATCH", "/inbox/"+in["id"].(string), "/inbox/{id}", map[string]any{"read": true})
	check("GET", "/conversations", "/conversations", nil)
	check("GET", "/conversations/+34600111222/messages", "/conversations/{number}/messages", nil)
	check("POST", "/conversations/+34600111222/reply", "/conversations/{number}/reply", map[string]any{"text": "adiós"})

	made := check("POST", "/keys", "/keys", map[string]any{"name": "k", "scopes": []string{"messages:send"}, "networks": []string{"127.0.0.1"},
		"expires_at": time.Now().Add(time.Hour)}).json(t)
	require.Regexp(t, `^rk_`, made["key"])
	require.NotContains(t, string(check("GET", "/keys", "/keys", nil).body), made["key"])
	require.Equal(t, 204, check("DELETE", "/keys/"+made["id"].(string), "/keys/{id}", nil).StatusCode)
	b.problem(check("DELETE", "/keys/"+made["id"].(string), "/keys/{id}", nil), 404, "not_found")

	checkCare(t, b, check)

	// What was sent has come to its end: its reports are no webhook's any more.
	require.Eventually(t, func() bool {
		list, _, err := b.s.store.Messages(t.Context(), queue.Filter{States: []queue.State{queue.Queued, queue.Sending, queue.Sent}})
		return err == nil && len(list) == 0
	}, 20*time.Second, 20*time.Millisecond)
	looked := checkWebhooks(t, b, check)
	b.problem(check("POST", "/webhook-deliveries/"+looked+"/replay", "/webhook-deliveries/{id}/replay", nil), 404, "not_found")

	for path, item := range b.s.api.OpenAPI().Paths {
		for method, o := range map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PATCH": item.Patch, "DELETE": item.Delete} {
			template := strings.TrimPrefix(path, v1)
			if o != nil && template != "/events" && template != "/messages/{id}/resolve" { // a good resolve has its own test
				require.True(t, seen[fmt.Sprint(method, " ", template, " ", true)], "no good answer of %s %s was looked at", method, template)
			}
		}
	}
}

// checkCare walks what looks after the data.
func checkCare(t *testing.T, b *box, check func(method, path, template string, body any) answer) {
	t.Helper()
	later, err := b.s.store.Submit(t.Context(), queue.Request{To: []string{"+34600111222", "+34600111223"}, Text: "mañana",
		SendAt: b.clock.Now().Add(time.Hour)}, nil)
	require.NoError(t, err)
	for _, deed := range []string{"release", "discard"} {
		_, err := b.s.store.HoldAll(t.Context(), queue.ReasonRestored)
		require.NoError(t, err)
		require.Equal(t, 2.0, check("GET", "/held", "/held", nil).json(t)["total"])
		if deed == "release" {
			one := "/messages/" + later.Messages[0].ID + "/release"
			require.Equal(t, "scheduled", check("POST", one, "/messages/{id}/release", nil).json(t)["state"])
			b.problem(check("POST", one, "/messages/{id}/release", nil), 409, "conflict")
		}
		check("POST", "/held/"+deed, "/held/"+deed, map[string]any{"reason": "restored"})
	}
	b.problem(check("POST", "/held/release", "/held/release", map[string]any{}), 422, "invalid")
	check("GET", "/clock", "/clock", nil)
	check("PATCH", "/clock", "/clock", map[string]any{"misfire_grace": 60, "misfire_policy": "send"})
	check("POST", "/clock/trust", "/clock/trust", map[string]any{})
	check("GET", "/backups", "/backups", nil)
	check("POST", "/backups", "/backups", nil)
	check("GET", "/retention", "/retention", nil)
	check("PATCH", "/retention", "/retention", map[string]any{"alert": map[string]any{"body_seconds": 86400}})
	check("POST", "/erase", "/erase", map[string]any{"number": "600111222"})
}

func TestDocsNeedNothingFromElsewhere(t *testing.T) {
	b := newBox(t, 0)
	a := b.do("GET", "/docs", nil, "Authorization", "")
	require.Equal(t, 200, a.StatusCode)
	require.NotContains(t, string(a.body), "://")
	require.NotContains(t, a.Header.Get("Content-Security-Policy"), "unsafe")
	for _, m := range regexp.MustCompile(`(?:src|href)="(/static/[^"]+)"`).FindAllStringSubmatch(string(a.body), -1) {
		require.Equal(t, 200, b.do("GET", m[1], nil, "Authorization", "").StatusCode, m[1])
	}
}
