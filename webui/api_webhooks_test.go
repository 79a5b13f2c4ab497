package webui

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"recado/webui/auth"
)

// hookSink is a program that is told.
type hookSink struct {
	*httptest.Server
	status int
	got    chan *http.Request
	bodies chan []byte
}

func newHookSink(t *testing.T) *hookSink {
	s := &hookSink{status: 200, got: make(chan *http.Request, 1000), bodies: make(chan []byte, 1000)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(s.status)
		s.bodies <- body
		s.got <- r
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *hookSink) next(t *testing.T) (*http.Request, string) {
	t.Helper()
	select {
	case r := <-s.got:
		return r, string(<-s.bodies)
	case <-time.After(20 * time.Second):
		require.FailNow(t, "nothing arrived")
		return nil, ""
	}
}

// checkWebhooks looks at a good answer of every operation, and gives the id of a
// delivery that is gone.
func checkWebhooks(t *testing.T, b *box, check func(method, path, template string, body any) answer) string {
	t.Helper()
	s := newHookSink(t)
	made := check("POST", "/webhooks", "/webhooks", map[string]any{"url": s.URL, "events": []string{"message.*"}, "allow_private": true}).json(t)
	require.Regexp(t, `^whsec_`, made["secret"])
	at := "/webhooks/" + made["id"].(string)
	require.NotContains(t, string(check("GET", "/webhooks", "/webhooks", nil).body), "secret\"")
	require.Equal(t, "new", check("GET", at, "/webhooks/{id}", nil).json(t)["health"])
	require.Equal(t, "CRM", check("PATCH", at, "/webhooks/{id}", map[string]any{"description": "CRM"}).json(t)["description"])
	test := check("POST", at+"/test", "/webhooks/{id}/test", nil).json(t)
	require.Equal(t, "delivered", test["state"])
	s.next(t)
	require.NotEqual(t, made["secret"], check("POST", at+"/rotate", "/webhooks/{id}/rotate", nil).json(t)["secret"])
	list := check("GET", at+"/deliveries?state=delivered", "/webhooks/{id}/deliveries", nil).json(t)["items"].([]any)
	require.Len(t, list, 1)
	require.Equal(t, 202, check("POST", "/webhook-deliveries/"+test["id"].(string)+"/replay", "/webhook-deliveries/{id}/replay", nil).StatusCode)
	r, body := s.next(t)
	require.Equal(t, test["event_id"], r.Header.Get("webhook-id"))
	require.Contains(t, body, `"system.test"`)
	require.Equal(t, float64(0), check("POST", at+"/replay", "/webhooks/{id}/replay", nil).json(t)["replayed"])
	require.Equal(t, 204, check("DELETE", at, "/webhooks/{id}", nil).StatusCode)
	b.problem(check("GET", at, "/webhooks/{id}", nil), 404, "not_found")
	b.problem(check("GET", at+"/deliveries", "/webhooks/{id}/deliveries", nil), 404, "not_found")
	return test["id"].(string)
}

// TestWebhookIsToldOfAMessage: from the API to the sink, without the text, signed.
func TestWebhookIsToldOfAMessage(t *testing.T) {
	b := newBox(t, 1)
	b.ready(1)
	s := newHookSink(t)
	made := b.do("POST", v1+"/webhooks", map[string]any{"url": s.URL, "events": []string{"message.sent", "inbound.received"}, "allow_private": true}).json(t)
	check, err := standardwebhooks.NewWebhook(made["secret"].(string))
	require.NoError(t, err)
	m := b.do("POST", v1+"/messages", map[string]any{"to": "600111222", "text": "muy secreto"}).json(t)["messages"].([]any)[0].(map[string]any)
	r, body := s.next(t)
	require.NoError(t, check.Verify([]byte(body), r.Header))
	require.Contains(t, body, m["id"])
	require.Contains(t, body, `"type":"message.sent"`)
	require.NotContains(t, body, "secreto")
	b.do("POST", v1+"/emulator/inbound", map[string]any{"sim": b.net.Modems()[0].ICCID(), "from": "+34600111222", "text": "de vuelta"})
	_, body = s.next(t)
	require.Contains(t, body, "de vuelta")
	require.NotContains(t, b.logs.String(), made["secret"].(string)[10:])
}

// TestWebhooksAreGuarded: what cannot be an address is refused when it is
// entered, and private networks are for administrators.
func TestWebhooksAreGuarded(t *testing.T) {
	b := newBox(t, 0)
	key := b.key(auth.Webhooks)
	post := func(body map[string]any, headers ...string) answer {
		if body["events"] == nil {
			body["events"] = []string{"*"}
		}
		return b.do("POST", v1+"/webhooks", body, headers...)
	}
	for _, bad := range []string{"http://example.org/", "https://127.0.0.1/", "https://localhost/", "https://10.0.0.1/", "https://169.254.169.254/", "https://2130706433/",
		"https://[::ffff:7f00:1]/", "https://u:p@example.org/", "ftp://example.org/", "https://example.org:22/"} {
		p := b.problem(post(map[string]any{"url": bad}, "X-API-Key", key), 422, "invalid")
		require.Equal(t, "body.url", p.Errors[0].Location, bad)
	}
	p := b.problem(post(map[string]any{"url": "https://example.org/", "events": []string{"massage.sent"}}), 422, "invalid")
	require.Equal(t, "body.events", p.Errors[0].Location)
	b.problem(post(map[string]any{"url": "https://example.org/", "events": []string{}}), 422, "invalid")
	b.problem(post(map[string]any{"url": "https://example.org/", "secret": "mine"}), 422, "invalid")
	b.problem(post(map[string]any{"url": "http://10.0.0.1/", "allow_private": true}, "X-API-Key", key), 403, "forbidden")

	hook := post(map[string]any{"url": "http://10.0.0.1/", "allow_private": true}).json(t)
	at := v1 + "/webhooks/" + hook["id"].(string)
	b.problem(b.do("PATCH", at, map[string]any{"url": "http://10.0.0.2/"}, "X-API-Key", key), 403, "forbidden")
	require.Equal(t, 200, b.do("PATCH", at, map[string]any{"active": false}, "X-API-Key", key).StatusCode)
	b.problem(b.do("PATCH", at, map[string]any{"allow_private": false}, "X-API-Key", key), 422, "invalid")
	require.Equal(t, 200, b.do("PATCH", at, map[string]any{"allow_private": false, "url": "https://example.org/"}, "X-API-Key", key).StatusCode)
	b.problem(b.do("PATCH", at, map[string]any{"allow_private": true}, "X-API-Key", key), 403, "forbidden")
	for i := range 31 {
		require.Equal(t, 201, post(map[string]any{"url": fmt.Sprintf("https://example.org/%d", i)}).StatusCode)
	}
	b.problem(post(map[string]any{"url": "https://example.org/32"}), 409, "conflict")
	page := b.do("GET", v1+"/webhooks?limit=30", nil).json(t)
	require.Len(t, page["items"], 30)
	require.Len(t, b.do("GET", v1+"/webhooks?limit=30&cursor="+page["next"].(string), nil).json(t)["items"], 2)
}

// TestWebhookPages: an administrator adds one, sees its secret once, tests it,
// sees why it fails, replays, rotates and deletes it.
func TestWebhookPages(t *testing.T) {
	b := newBox(t, 0)
	admin, operator := b.cookie(auth.RoleAdmin), b.cookie(auth.RoleOperator)
	require.Equal(t, 403, b.browse("GET", "/settings/webhooks", operator, nil).StatusCode)
	require.NotContains(t, string(b.browse("GET", "/settings", operator, nil).body), "/settings/webhooks")
	require.Contains(t, string(b.browse("GET", "/settings", admin, nil).body), "/settings/webhooks")
	s := newHookSink(t)
	form := url.Values{"url": {"http://10.0.0.1/"}, "event": {"message.*"}, "description": {"Padrón <b>"}, "active": {"1"}}
	a := b.browse("POST", "/settings/webhooks", admin, form)
	require.Equal(t, 422, a.StatusCode)
	require.Contains(t, string(a.body), "tiene que empezar por https://")
	require.Contains(t, string(a.body), `value="http://10.0.0.1/"`, "what was typed is kept")
	form.Set("url", s.URL)
	form.Set("private", "1")
	a = b.browse("POST", "/settings/webhooks", admin, form)
	require.Equal(t, 200, a.StatusCode)
	secret := regexp.MustCompile(`whsec_[A-Za-z0-9+/=&#;]+`).FindString(string(a.body))
	require.NotEmpty(t, secret)
	require.Contains(t, string(a.body), "Padrón &lt;b&gt;")
	list := string(b.browse("GET", "/settings/webhooks", admin, nil).body)
	require.NotContains(t, list, "whsec_")
	at := regexp.MustCompile(`/settings/webhooks/[0-9a-f-]{36}`).FindString(list)
	require.NotEmpty(t, at)

	a = b.browse("POST", at+"/test", admin, url.Values{})
	require.Contains(t, string(a.body), "Ha llegado")
	s.next(t)
	s.status = 503
	a = b.browse("POST", at+"/test", admin, url.Values{})
	require.Contains(t, string(a.body), "La prueba no ha llegado")
	require.Contains(t, string(a.body), "Respondió 503, que no es un «recibido».")
	require.NotContains(t, string(a.body), "it answered")
	s.next(t)

	require.NoError(t, b.s.store.Emit(t.Context(), "message.sent", map[string]int{"n": 1}))
	s.next(t)
	id := at[strings.LastIndex(at, "/")+1:]
	require.Eventually(t, func() bool { // the mark follows the answer
		return b.do("GET", v1+"/webhooks/"+id, nil).json(t)["last_error"] == "it answered 503"
	}, 10*time.Second, 5*time.Millisecond)
	page := string(b.browse("GET", at+"?state=pending", admin, nil).body)
	require.Contains(t, page, "message.sent")
	require.Contains(t, page, "· respondió 503, que no es", "of the delivery")
	require.Contains(t, page, `<dd class="break">respondió 503, que no es`, "of the webhook")
	replay := regexp.MustCompile(at + `/deliveries/[0-9a-f-]{36}/replay`).FindString(page)
	s.status = 200
	a = b.browse("POST", replay, admin, url.Values{})
	require.Equal(t, 303, a.StatusCode)
	s.next(t)
	require.Eventually(t, func() bool { return b.do("GET", v1+"/webhooks/"+id, nil).json(t)["health"] == "ok" }, 10*time.Second, 5*time.Millisecond)

	a = b.browse("POST", at+"/rotate", admin, url.Values{})
	require.Contains(t, string(a.body), "whsec_")
	require.NotContains(t, string(a.body), secret)
	require.Contains(t, string(a.body), "El secreto anterior sirve hasta")
	a = b.browse("POST", at, admin, url.Values{"url": {s.URL}, "event": {"inbound.received"}, "private": {"1"}})
	require.Equal(t, 303, a.StatusCode, "%s", a.body)
	require.Equal(t, "off", b.do("GET", v1+"/webhooks/"+id, nil).json(t)["health"])
	require.Equal(t, 422, b.browse("POST", at, admin, url.Values{"url": {s.URL}, "private": {"1"}}).StatusCode, "no event chosen")
	require.Equal(t, 303, b.browse("POST", at+"/replay", admin, url.Values{}).StatusCode)
	require.Equal(t, 303, b.browse("POST", at+"/delete", admin, url.Values{}).StatusCode)
	require.Equal(t, 404, b.browse("GET", at, admin, nil).StatusCode)
	trail, err := b.auth.AuditTrail(t.Context(), 20)
	require.NoError(t, err)
	var did []string
	for _, row := range trail {
		did = append(did, row.Action)
	}
	for _, action := range []string{"create", "test", "change", "rotate", "replay", "delete"} {
		require.Contains(t, did, "webhook."+action)
	}
}

// TestAFailingWebhookIsSaid on the dashboard and by the doctor, once it is worth it.
func TestAFailingWebhookIsSaid(t *testing.T) {
	b := newBox(t, 0)
	admin := b.cookie(auth.RoleAdmin)
	s := newHookSink(t)
	s.status = 410
	made := b.do("POST", v1+"/webhooks", map[string]any{"url": s.URL, "events": []string{"*"}, "allow_private": true, "description": "Biblioteca"}).json(t)
	require.NotContains(t, string(b.browse("GET", "/", admin, nil).body), "Biblioteca")
	require.NoError(t, b.s.store.Emit(t.Context(), "message.sent", map[string]int{"n": 1}))
	s.next(t)
	require.Eventually(t, func() bool {
		return b.do("GET", v1+"/webhooks/"+made["id"].(string), nil).json(t)["health"] == "gone"
	}, 10*time.Second, 5*time.Millisecond)
	page := string(b.browse("GET", "/", admin, nil).body)
	require.Contains(t, page, "El webhook Biblioteca está desactivado")
	require.Contains(t, page, `href="/settings/webhooks"`)
	found, err := WebhookFindings(t.Context(), b.s.hooks, b.clock.Now())
	require.NoError(t, err)
	require.Equal(t, "webhook_gone", found[0].Code)
	found, err = WebhookFindings(t.Context(), nil, b.clock.Now())
	require.NoError(t, err)
	require.Empty(t, found)
}
