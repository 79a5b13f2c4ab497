package webui

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue/sqlite"
	"recado/webui/auth"
)

// TestAMessageGoesOutAndItsReportAndReplyComeBack is the whole way, through
// emulated modems.
func TestAMessageGoesOutAndItsReportAndReplyComeBack(t *testing.T) {
	b := newBox(t, 2)
	b.ready(2)
	a := b.do("POST", v1+"/messages", map[string]any{"to": "600111222", "text": "¿Mañana a las 9? €", "reference": "ref-1", "class": "otp"})
	require.Equal(t, 202, a.StatusCode, "%s", a.body)
	m := a.json(t)["messages"].([]any)[0].(map[string]any)
	require.Equal(t, []any{}, a.json(t)["rejected"])
	require.Equal(t, "+34600111222", m["to"])
	require.Equal(t, "queued", m["state"])
	require.Equal(t, "gsm7", m["encoding"])
	require.Equal(t, "at_most_once", m["delivery"])
	require.Nil(t, m["from"])
	require.Nil(t, m["sim"])
	require.Nil(t, m["error"])
	id := m["id"].(string)

	m = b.until(id, "delivered")
	require.Equal(t, float64(1), m["attempts"])
	segment := m["segments"].([]any)[0].(map[string]any)
	require.Equal(t, "delivered", segment["state"])
	require.NotNil(t, segment["mr"])
	require.Equal(t, float64(0), segment["report_status"])
	require.Len(t, b.net.Ledger(), 2, "accepted, then delivered")

	events := []string{}
	for _, e := range b.do("GET", v1+"/messages/"+id+"/timeline", nil).json(t)["items"].([]any) {
		events = append(events, e.(map[string]any)["event"].(string))
	}
	require.Equal(t, []string{"accepted", "gate", "answer", "report"}, events)
	b.problem(b.do("DELETE", v1+"/messages/"+id, nil), 409, "conflict")
	b.problem(b.do("POST", v1+"/messages/"+id+"/resolve", map[string]any{"action": "resend"}), 409, "conflict")

	// The answer arrives on another SIM's number, and a reply leaves on that SIM.
	sims := b.do("GET", v1+"/sims", nil).json(t)["items"].([]any)
	require.Len(t, sims, 2)
	sim := sims[0].(map[string]any)
	a = b.do("POST", v1+"/emulator/inbound", map[string]any{"sim": sim["iccid"], "from": "+34600111222", "text": "Sí, gracias 👍"})
	require.Equal(t, 202, a.StatusCode, "%s", a.body)
	var received []any
	require.Eventually(t, func() bool {
		received = b.do("GET", v1+"/inbox?unread=true&from=%2B34600111222", nil).json(t)["items"].([]any)
		return len(received) == 1
	}, 10*time.Second, 10*time.Millisecond)
	in := received[0].(map[string]any)
	require.Equal(t, "Sí, gracias 👍", in["text"])
	require.Equal(t, sim["iccid"], in["sim"])
	require.Equal(t, map[string]any{"have": float64(1), "of": float64(1)}, in["segments"])
	require.Equal(t, false, in["read"])
	in = b.do("PATCH", v1+"/inbox/"+in["id"].(string), map[string]any{"read": true}).json(t)
	require.Equal(t, true, in["read"])
	require.Equal(t, in, b.do("GET", v1+"/inbox/"+in["id"].(string), nil).json(t))

	conversations := b.do("GET", v1+"/conversations", nil).json(t)["items"].([]any)
	require.Len(t, conversations, 1)
	require.Equal(t, float64(0), conversations[0].(map[string]any)["unread"])
	for _, number := range []string{"+34600111222", "%2B34600111222", "600111222"} {
		a = b.do("POST", v1+"/conversations/"+number+"/reply", map[string]any{"text": "Hasta mañana " + number[:1]})
		require.Equal(t, 202, a.StatusCode, "%s %s", number, a.body)
		require.Equal(t, sim["iccid"], a.json(t)["sim"])
		b.until(a.json(t)["id"].(string), "delivered")
	}
	thread := b.do("GET", v1+"/conversations/+34600111222/messages?limit=3", nil).json(t)
	require.Len(t, thread["items"], 3)
	require.NotNil(t, thread["next"])
	rest := b.do("GET", v1+"/conversations/+34600111222/messages?limit=3&cursor="+thread["next"].(string), nil).json(t)
	require.Len(t, rest["items"], 2)
	require.Nil(t, rest["next"])
	last := rest["items"].([]any)[1].(map[string]any)
	require.Equal(t, "out", last["direction"])
	require.Nil(t, last["inbound"])
	require.Equal(t, id, last["message"].(map[string]any)["id"])
	b.problem(b.do("GET", v1+"/conversations/600999888/messages", nil), 404, "not_found")
	b.problem(b.do("POST", v1+"/conversations/600999888/reply", map[string]any{"text": "x"}), 404, "not_found")
	b.problem(b.do("POST", v1+"/conversations/+34600111222/reply", map[string]any{"text": ""}), 422, "invalid")
}

func TestASenderWithANameIsNotAnswered(t *testing.T) {
	b := newBox(t, 1)
	b.ready(1)
	sim := b.do("GET", v1+"/sims", nil).json(t)["items"].([]any)[0].(map[string]any)
	a := b.do("POST", v1+"/emulator/inbound", map[string]any{"sim": sim["number"], "from": "Tu Banco", "text": "Hola"})
	require.Equal(t, 202, a.StatusCode, "%s", a.body)
	require.Eventually(t, func() bool {
		return len(b.do("GET", v1+"/inbox", nil).json(t)["items"].([]any)) == 1
	}, 10*time.Second, 10*time.Millisecond)
	require.Equal(t, 200, b.do("GET", v1+"/conversations/Tu%20Banco/messages", nil).StatusCode)
	p := b.problem(b.do("POST", v1+"/conversations/Tu%20Banco/reply", map[string]any{"text": "Hola"}), 422, "invalid")
	require.Equal(t, "invalid_number", p.Errors[0].Code)
}

// TestBadInput: every refusal names the place and says what to do, and nothing
// is half-done.
func TestBadInput(t *testing.T) {
	b := newBox(t, 0)
	long := strings.Repeat("ñ", 200)
	for _, c := range []struct {
		name, path, body, location string
	}{
		{"no body", "/messages", "", "body"},
		{"broken JSON", "/messages", `{"to":"600111222","text":"a"`, "body"},
		{"not an object", "/messages", `[]`, "body"},
		{"null", "/messages", `null`, "body"},
		{"no recipient", "/messages", `{"text":"a"}`, "body"},
		{"empty list", "/messages", `{"to":[],"text":"a"}`, "body.to"},
		{"a number as a number", "/messages", `{"to":600111222,"text":"a"}`, "body.to"},
		{"no text", "/messages", `{"to":"600111222"}`, "body"},
		{"empty text", "/messages", `{"to":"600111222","text":""}`, "body.text"},
		{"unknown field", "/messages", `{"to":"600111222","text":"a","form":"x"}`, "body.form"},
		{"unknown class", "/messages", `{"to":"600111222","text":"a","class":"urgent"}`, "body.class"},
		{"unknown delivery", "/messages", `{"to":"600111222","text":"a","delivery":"bounded"}`, "body.delivery"},
		{"bad time", "/messages", `{"to":"600111222","text":"a","send_at":"tomorrow"}`, "body.send_at"},
		{"negative validity", "/messages", `{"to":"600111222","text":"a","valid_for":-1}`, "body.valid_for"},
		{"too many segments", "/messages", `{"to":"600111222","text":"` + long + `","encoding":"ucs2","max_segments":2}`, "body.text"},
		{"outside GSM 7-bit", "/messages", `{"to":"600111222","text":"漢","encoding":"gsm7"}`, "body.text"},
		{"unknown SIM", "/messages", `{"to":"600111222","text":"a","sim":"nope"}`, "body.sim"},
		{"long reference", "/messages", `{"to":"600111222","text":"a","reference":"` + long + `"}`, "body.reference"},
		{"quote too", "/messages/quote", `{"to":"600111222","text":"a","form":"x"}`, "body.form"},
		{"unusable number", "/messages", `{"to":"hello","text":"a"}`, "body.to"},
		{"no scopes", "/keys", `{"name":"k","scopes":[]}`, "body.scopes"},
		{"unknown scope", "/keys", `{"name":"k","scopes":["messages:sent"]}`, "body.scopes[0]"},
		{"bad network", "/keys", `{"name":"k","scopes":["admin"],"networks":["lan"]}`, "body.networks"},
		{"unknown action", "/messages/0192f0c1-0000-7000-8000-000000000000/resolve", `{"action":"forget"}`, "body.action"},
	} {
		p := b.problem(b.do("POST", v1+c.path, c.body), 422, "invalid")
		require.NotEmpty(t, p.Errors, c.name)
		require.Equal(t, c.location, p.Errors[0].Location, "%s: %+v", c.name, p)
		require.NotEmpty(t, p.Errors[0].Message, c.name)
	}
	for _, query := range []string{"limit=0", "limit=501", "limit=x", "state=lost", "class=x", "since=yesterday", "cursor=!", "stat=sent"} {
		p := b.problem(b.do("GET", v1+"/messages?"+query, nil), 422, "invalid")
		require.Equal(t, "query."+strings.Split(query, "=")[0], strings.TrimSuffix(p.Errors[0].Location, "[0]"), query)
	}
	for _, path := range []string{"/inbox", "/conversations", "/sims", "/modems", "/keys"} {
		p := b.problem(b.do("GET", v1+path+"?cursor=!", nil), 422, "invalid")
		require.Equal(t, "query.cursor", p.Errors[0].Location, path)
	}
	b.problem(b.do("POST", v1+"/messages", `to=600111222`, "Content-Type", "application/x-www-form-urlencoded"), 415, "unsupported_media_type")
	list := b.do("GET", v1+"/messages", nil).json(t)
	require.Equal(t, []any{}, list["items"], "nothing was kept")
	require.Contains(t, list, "next")
	require.Nil(t, list["next"])
}

func TestRecipientsAreRefusedOneByOne(t *testing.T) {
	b := newBox(t, 0)
	a := b.do("POST", v1+"/messages", map[string]any{"text": "a", "to": []string{"600111222", "hello", "+33612345678", "803123456", "+34 600 111 222", "+34600111222"}})
	require.Equal(t, 202, a.StatusCode, "%s", a.body)
	var got Submitted
	require.NoError(t, json.Unmarshal(a.body, &got))
	require.Len(t, got.Messages, 1)
	codes := map[string]string{}
	for _, r := range got.Rejected {
		codes[r.To] = r.Code
		require.NotEmpty(t, r.Detail)
	}
	require.Equal(t, "invalid_number", codes["hello"])
	require.Equal(t, "country_not_allowed", codes["+33612345678"])
	require.Equal(t, "premium_number", codes["803123456"])
	require.Equal(t, "duplicate", codes["+34600111222"])

	p := b.problem(b.do("POST", v1+"/messages", map[string]any{"text": "a", "to": []string{"hello", "+33612345678", "hello"}}), 422, "invalid")
	require.Len(t, p.Errors, 3)
	require.Equal(t, "body.to[0]", p.Errors[0].Location)
	require.Equal(t, "invalid_number", p.Errors[0].Code)
	require.Equal(t, "body.to[1]", p.Errors[1].Location)
	require.Equal(t, "country_not_allowed", p.Errors[1].Code)
	require.Equal(t, "body.to[2]", p.Errors[2].Location)
}

func TestListsFilterAndPage(t *testing.T) {
	b := newBox(t, 0)
	for i := range 7 {
		class := map[bool]string{true: "bulk", false: "alert"}[i%2 == 0]
		a := b.do("POST", v1+"/messages", map[string]any{"to": fmt.Sprintf("60011122%d", i), "text": "a", "class": class, "reference": fmt.Sprint("r", i)})
		require.Equal(t, 202, a.StatusCode)
	}
	seen := []string{}
	cursor := ""
	for range 4 {
		list := b.do("GET", v1+"/messages?limit=3&cursor="+cursor, nil).json(t)
		for _, m := range list["items"].([]any) {
			seen = append(seen, m.(map[string]any)["reference"].(string))
		}
		if list["next"] == nil {
			break
		}
		cursor = list["next"].(string)
	}
	require.Equal(t, []string{"r6", "r5", "r4", "r3", "r2", "r1", "r0"}, seen)
	for query, n := range map[string]int{
		"class=bulk": 4, "reference=r3": 1, "to=%2B34600111221": 1, "to=+34600111221": 1, "to=600111221": 1, "to=nobody": 0, "state=queued": 7,
		"state=sent,delivered": 0, "state=queued,sent": 7, "campaign=x": 0, "since=2100-01-01T00:00:00Z": 0, "until=2100-01-01T00:00:00Z": 7,
		"since=2020-01-01T00:00:00%2B02:00&class=alert": 3,
	} {
		a := b.do("GET", v1+"/messages?"+query, nil)
		require.Len(t, a.json(t)["items"], n, "%s %s", query, a.body)
	}
	one := b.do("GET", v1+"/messages?reference=r3", nil).json(t)["items"].([]any)[0].(map[string]any)
	m := b.do("DELETE", v1+"/messages/"+one["id"].(string), nil)
	require.Equal(t, 200, m.StatusCode)
	require.Equal(t, "cancelled", m.json(t)["state"])
	require.Equal(t, 200, b.do("DELETE", v1+"/messages/"+one["id"].(string), nil).StatusCode, "once more does no harm")
}

func TestQuoteCountsAndStoresNothing(t *testing.T) {
	b := newBox(t, 1)
	b.ready(1)
	a := b.do("POST", v1+"/messages/quote", map[string]any{"to": []string{"600111222", "nope"}, "text": strings.Repeat("a", 160) + "ý"})
	require.Equal(t, 200, a.StatusCode, "%s", a.body)
	q := a.json(t)
	require.Equal(t, "ucs2", q["encoding"])
	require.Equal(t, float64(3), q["segments"])
	require.Equal(t, float64(67), q["per_segment"])
	require.Equal(t, float64(2), q["recipients"])
	require.Equal(t, float64(1), q["accepted"])
	require.Equal(t, float64(3), q["total_segments"])
	require.Equal(t, []any{map[string]any{"char": "ý", "at": float64(160), "suggestion": "y"}}, q["outside_gsm7"])
	require.Equal(t, strings.Repeat("a", 160)+"y", q["transliterated_text"])
	require.NotNil(t, q["eta_seconds"])
	require.Len(t, q["sims"], 1)
	require.Len(t, q["rejected"], 1)
	require.Empty(t, b.do("GET", v1+"/messages", nil).json(t)["items"])
}

func TestAKeyOfOneClassSendsThatClass(t *testing.T) {
	b := newBox(t, 0)
	a := b.do("POST", v1+"/keys", map[string]any{"name": "otp", "scopes": []string{"messages:send"}, "class": "otp"})
	require.Equal(t, 201, a.StatusCode, "%s", a.body)
	key := a.json(t)["key"].(string)
	require.Equal(t, 202, b.do("POST", v1+"/messages", map[string]any{"to": "600111222", "text": "a", "class": "otp"}, "X-API-Key", key).StatusCode)
	b.problem(b.do("POST", v1+"/messages", map[string]any{"to": "600111222", "text": "a"}, "X-API-Key", key), 403, "forbidden")
}

func TestIdempotency(t *testing.T) {
	b := newBox(t, 0)
	post := func(key, text string, more ...string) answer {
		return b.do("POST", v1+"/messages", `{"to":"600111222","text":"`+text+`"}`, append([]string{"Idempotency-Key", key}, more...)...)
	}
	first := post("k1", "a")
	require.Equal(t, 202, first.StatusCode)
	require.Empty(t, first.Header.Get("Idempotency-Replayed"))
	again := post("k1", "a")
	require.Equal(t, 202, again.StatusCode)
	require.Equal(t, "true", again.Header.Get("Idempotency-Replayed"))
	require.JSONEq(t, string(first.body), string(again.body))
	reordered := b.do("POST", v1+"/messages", `{ "text":"a", "to":"600111222" }`, "Idempotency-Key", "k1")
	require.Equal(t, "true", reordered.Header.Get("Idempotency-Replayed"), "the meaning counts, not the octets")
	b.problem(post("k1", "b"), 422, "idempotency_mismatch")
	require.Empty(t, post("k2", "a").Header.Get("Idempotency-Replayed"))
	other := b.key(auth.MessagesSend)
	require.Empty(t, post("k1", "b", "X-API-Key", other).Header.Get("Idempotency-Replayed"), "another key's keys are its own")
	b.problem(post("clé", "a"), 422, "invalid")
	b.problem(post(strings.Repeat("k", 256), "a"), 422, "invalid")
	require.Len(t, b.do("GET", v1+"/messages", nil).json(t)["items"], 3)
	b.clock.pass(71 * time.Hour)
	require.Equal(t, "true", post("k1", "a").Header.Get("Idempotency-Replayed"))
}

// TestAKeyIsLookedUpBeforeTheBoxIsAsked: what was accepted stays accepted,
// though the box would refuse it today.
func TestAKeyIsLookedUpBeforeTheBoxIsAsked(t *testing.T) {
	b := newBox(t, 1)
	b.ready(1)
	sim := v1 + "/sims/" + b.do("GET", v1+"/sims", nil).json(t)["items"].([]any)[0].(map[string]any)["iccid"].(string)
	require.Equal(t, 200, b.do("PATCH", sim, map[string]any{"name": "Padrón"}).StatusCode)
	soon := b.clock.Now().Add(364 * 24 * time.Hour).UTC().Format(time.RFC3339)
	post := func(sim, text string) answer {
		return b.do("POST", v1+"/messages", map[string]any{"to": "600111222", "text": text, "sim": sim, "send_at": soon}, "Idempotency-Key", "k")
	}
	first := post("Padrón", "a")
	require.Equal(t, 202, first.StatusCode, "%s", first.body)
	require.Equal(t, 200, b.do("PATCH", sim, map[string]any{"name": "Archivo"}).StatusCode)
	b.clock.pass(-48 * time.Hour) // and by this clock send_at is more than a year ahead
	again := post("Padrón", "a")
	require.Equal(t, 202, again.StatusCode, "%s", again.body)
	require.Equal(t, "true", again.Header.Get("Idempotency-Replayed"))
	require.JSONEq(t, string(first.body), string(again.body))
	b.problem(post("Padrón", "b"), 422, "idempotency_mismatch")
	b.problem(post("nope", "a"), 422, "idempotency_mismatch")
	require.Len(t, b.do("GET", v1+"/messages", nil).json(t)["items"], 1)
	p := b.problem(b.do("POST", v1+"/messages", map[string]any{"to": "600111222", "text": "a", "sim": "Padrón"}, "Idempotency-Key", "new"), 422, "invalid")
	require.Equal(t, "body.sim", p.Errors[0].Location)
}

// TestAnIdempotencyKeyThatIsNone is refused: who sends one relies on it, and
// without it a repeat would be a second message.
func TestAnIdempotencyKeyThatIsNone(t *testing.T) {
	b := newBox(t, 0)
	for name, c := range map[string]struct {
		keys []string
		code string
	}{
		"empty":                {[]string{""}, "idempotency_key_empty"},
		"blank":                {[]string{"  "}, "idempotency_key_empty"},
		"an empty quoted one":  {[]string{`""`}, "idempotency_key_empty"},
		"a blank quoted one":   {[]string{`" "`}, "idempotency_key_empty"},
		"two":                  {[]string{"a", "b"}, "idempotency_key_twice"},
		"twice the same":       {[]string{"a", "a"}, "idempotency_key_twice"},
		"empty beside another": {[]string{"", "a"}, "idempotency_key_twice"},
		"too long":             {[]string{strings.Repeat("k", 256)}, "idempotency_key_long"},
		"a letter":             {[]string{"clé"}, "idempotency_key_ascii"},
	} {
		r := httptest.NewRequest("POST", "http://localhost"+v1+"/messages", strings.NewReader(`{"to":"600111222","text":"a"}`))
		r.Header.Set("Authorization", "Bearer "+b.admin)
		r.Header.Set("Content-Type", "application/json")
		r.Header["Idempotency-Key"] = c.keys
		w := httptest.NewRecorder()
		b.s.Handler().ServeHTTP(w, r)
		p := b.problem(answer{w.Result(), w.Body.Bytes()}, 422, "invalid")
		require.Len(t, p.Errors, 1, name)
		require.Equal(t, "header.Idempotency-Key", p.Errors[0].Location, name)
		require.Equal(t, c.code, p.Errors[0].Code, name)
	}
	require.Empty(t, b.do("GET", v1+"/messages", nil).json(t)["items"], "nothing was accepted")
	require.Equal(t, 202, b.do("POST", v1+"/messages", `{"to":"600111222","text":"a"}`, "Idempotency-Key", strings.Repeat("k", 255)).StatusCode)
	require.Equal(t, 202, b.do("POST", v1+"/messages", `{"to":"600111222","text":"a"}`, "Idempotency-Key", `"k"`).StatusCode)
}

func TestTheSameKeyManyTimesAtOnceMakesOneMessage(t *testing.T) {
	b := newBox(t, 0)
	var mu sync.Mutex
	codes := map[int]int{}
	var wg sync.WaitGroup
	for range 24 {
		wg.Go(func() {
			a := b.do("POST", v1+"/messages", `{"to":"600111222","text":"a"}`, "Idempotency-Key", "same")
			mu.Lock()
			codes[a.StatusCode]++
			mu.Unlock()
			if a.StatusCode == 409 {
				require.NotEmpty(t, a.Header.Get("Retry-After"))
			}
		})
	}
	wg.Wait()
	require.Equal(t, 24, codes[202]+codes[409], "%v", codes)
	require.Positive(t, codes[202])
	require.Len(t, b.do("GET", v1+"/messages", nil).json(t)["items"], 1)
}

func TestARunningIdempotencyKeyIsAConflict(t *testing.T) {
	b := newBox(t, 0)
	entered, leave := make(chan struct{}), make(chan struct{})
	var stuck sync.WaitGroup
	stuck.Go(func() { // the writer is busy
		_ = b.db.Write(context.Background(), sqlite.Urgent, func(*sqlite.Tx) error {
			close(entered)
			<-leave
			return nil
		})
	})
	<-entered
	first := make(chan answer, 1)
	stuck.Go(func() {
		first <- b.do("POST", v1+"/messages", `{"to":"600111222","text":"a"}`, "Idempotency-Key", "k")
	})
	require.Eventually(t, func() bool {
		n := 0
		b.s.running.Range(func(any, any) bool { n++; return true })
		return n == 1
	}, 5*time.Second, time.Millisecond)
	b.problem(b.do("POST", v1+"/messages", `{"to":"600111222","text":"a"}`, "Idempotency-Key", "k"), 409, "conflict")
	close(leave)
	stuck.Wait()
	require.Equal(t, 202, (<-first).StatusCode)
}

// FuzzSubmit: whatever the body, the answer is one of the contract's and the
// server lives.
func FuzzSubmit(f *testing.F) {
	b := newBox(f, 0)
	for _, seed := range []string{`{"to":"600111222","text":"hola"}`, `{"to":["600111222"],"text":"\ud83d\ude00","class":"otp"}`, `{"to":"x"`, `null`, `[]`, `""`,
		`{"to":{},"text":1}`, `{"to":[null],"text":"a"}`, `{"to":"600111222","text":"a","valid_for":1e99}`, `{"to":"600111222","text":"a","send_at":"9999-12-31T23:59:59Z"}`,
		`{"to":"600111222","text":"\u0000"}`, `{"to":[[[[[[]]]]]],"text":"a"}`, `{"to":"600111222","text":"a","max_segments":255,"report":null}`, "{\"to\":\"600111222\",\"text\":\"\xff\xfe\"}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, path := range []string{"/messages", "/messages/quote"} {
			r := httptest.NewRequest("POST", "http://localhost"+v1+path, strings.NewReader(string(body)))
			r.Header.Set("Authorization", "Bearer "+b.admin)
			w := httptest.NewRecorder()
			b.s.Handler().ServeHTTP(w, r)
			raw, err := io.ReadAll(w.Body)
			require.NoError(t, err)
			switch w.Code {
			case 200, 202, 413, 422:
			default:
				t.Fatalf("%d for %q: %s", w.Code, body, raw)
			}
			require.True(t, json.Valid(raw), "%s", raw)
		}
	})
}
